package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// Credentials of the servers' owner. They are valid only for servers started by these
// tests.
const (
	ownerKey    = "AKIATFHAULE2EOWNER00"
	ownerSecret = "owner-secret-of-the-e2e-tests-only"
)

// gateway is the server of all tests except those of regions.
var gateway *server

func TestMain(m *testing.M) {
	if config := os.Getenv(gatewayVariable); config != "" {
		if err := serveGateway(config); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(runWithGateway(m))
}

func runWithGateway(m *testing.M) int {
	isolateFromMachine()
	dir, err := os.MkdirTemp("", "tfhaul-e2e-s3-")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // only the temporary directory is left behind
	if gateway, err = startServer(dir, "us-east-1"); err != nil {
		log.Print(err)
		return 1
	}
	defer gateway.stop()
	return m.Run()
}

// isolateFromMachine hides this machine's AWS configuration from the SDK.
func isolateFromMachine() {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name) // the name is valid: it comes from the environment
		}
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": ownerKey, "AWS_SECRET_ACCESS_KEY": ownerSecret,
		"AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE":           os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
}

// server is a running S3 server.
type server struct {
	address string // host:port
	iam     string // directory of its accounts
	child   *exec.Cmd
	alive   io.Closer // its standard input: closing it ends the server
	client  *s3.Client
}

func (s *server) url() string { return "http://" + s.address }

// startServer starts a child that serves the directory dir.
func startServer(dir, region string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := gatewayConfig{
		Address: address, Region: region, AccessKey: ownerKey, SecretKey: ownerSecret,
		Objects: filepath.Join(dir, "objects"), Versions: filepath.Join(dir, "versions"), IAM: filepath.Join(dir, "iam"),
	}
	for _, d := range []string{config.Objects, config.Versions, config.IAM} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	encoded, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), gatewayVariable+"="+string(encoded))
	var said bytes.Buffer
	child.Stdout, child.Stderr = &said, &said
	alive, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	s := &server{address: address, iam: config.IAM, child: child, alive: alive}
	s.client = s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(s.url()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(ownerKey, ownerSecret, ""),
	})
	if err := waitUntilHealthy(s.url()); err != nil {
		s.stop()
		return nil, fmt.Errorf("the S3 server did not start: %w\n%s", err, said.String())
	}
	return s, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitUntilHealthy waits until the server responds.
func waitUntilHealthy(endpoint string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/healthz", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			err = answer.Body.Close()
			if err == nil && answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (s *server) stop() {
	_ = s.alive.Close() // the child sees the end of its input
	_ = s.child.Wait()  // its exit code means nothing
}

// bucket is a bucket used by only one test.
type bucket struct {
	t      testing.TB
	server *server
	name   string
}

var buckets atomic.Int64

func (s *server) bucket(t testing.TB) *bucket {
	t.Helper()
	b := &bucket{t: t, server: s, name: fmt.Sprintf("states-%d-%s", buckets.Add(1), strings.ToLower(rand.Text()[:6]))}
	if _, err := s.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &b.name}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *server) versionedBucket(t testing.TB) *bucket {
	t.Helper()
	b := s.bucket(t)
	b.enableVersioning()
	return b
}

func (b *bucket) enableVersioning() {
	b.t.Helper()
	_, err := b.server.client.PutBucketVersioning(b.t.Context(), &s3.PutBucketVersioningInput{
		Bucket: &b.name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// put writes an object and returns its version, or "" if the bucket is not versioned.
func (b *bucket) put(key string, data []byte) (version string) {
	b.t.Helper()
	out, err := b.server.client.PutObject(b.t.Context(), &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(data)})
	if err != nil {
		b.t.Fatalf("putting %q: %v", key, err)
	}
	return aws.ToString(out.VersionId)
}

// putAll writes objects whose content is their key, concurrently.
func (b *bucket) putAll(keys []string) {
	b.t.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	for _, key := range keys {
		g.Go(func() error {
			_, err := b.server.client.PutObject(b.t.Context(), &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: strings.NewReader(key)})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bucket) removeVersion(key, version string) {
	b.t.Helper()
	if _, err := b.server.client.DeleteObject(b.t.Context(), &s3.DeleteObjectInput{Bucket: &b.name, Key: &key, VersionId: &version}); err != nil {
		b.t.Fatalf("deleting %q: %v", key, err)
	}
}

func (b *bucket) remove(key string) {
	b.t.Helper()
	if _, err := b.server.client.DeleteObject(b.t.Context(), &s3.DeleteObjectInput{Bucket: &b.name, Key: &key}); err != nil {
		b.t.Fatalf("deleting %q: %v", key, err)
	}
}

// get returns an object's content, or nil if it does not exist.
func (b *bucket) get(key string) []byte {
	b.t.Helper()
	out, err := b.server.client.GetObject(b.t.Context(), &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	var none *types.NoSuchKey
	if errors.As(err, &none) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = out.Body.Close() }() // only read
	data, err := io.ReadAll(out.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// ref returns the source for a key or prefix that needs no escaping, with further
// parameters name, value, …
func (b *bucket) ref(key string, params ...string) string {
	v := url.Values{"endpoint": {b.server.url()}, "path-style": {"true"}}
	for i := 0; i < len(params); i += 2 {
		v.Add(params[i], params[i+1])
	}
	return "s3://" + b.name + "/" + key + "?" + v.Encode()
}
