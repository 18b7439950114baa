package s3_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// gatewayVariable turns the test binary into an S3 server: it contains its gatewayConfig.
// versitygw can run only once in a process, and a child process can be ended like any
// server.
const gatewayVariable = "TFHAUL_E2E_S3_GATEWAY"

type gatewayConfig struct {
	Address, Region, AccessKey, SecretKey string
	Objects, Versions, IAM                string // directories
}

// serveGateway is the child's main function. It ends when its standard input does, which
// happens whenever the tests that started it end.
func serveGateway(config string) error {
	var c gatewayConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until it ends
		os.Exit(0)                           // immediately: there is nothing to keep
	}()
	store, err := posix.New(c.Objects, meta.XattrMeta{}, posix.PosixOpts{VersioningDir: c.Versions})
	if err != nil {
		return fmt.Errorf("the object directory %s cannot be used (it must be on a file system with extended attributes: set TMPDIR): %w", c.Objects, err)
	}
	return embedgw.RunVersityGW(ctx, store, &embedgw.Config{
		RootUserAccess: c.AccessKey, RootUserSecret: c.SecretKey, Region: c.Region,
		Ports: []string{c.Address}, MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 10000,
		HealthPath: "/healthz", IAMDir: c.IAM, KeepAlive: true, Quiet: true,
	})
}
