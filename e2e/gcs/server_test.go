// Package gcs_test tests gs:// sources and targets against a Cloud Storage server
// (fake-gcs-server, on loopback, started by the tests) and the real terraform. It is a module
// of its own, so that it can need programs that .ci/run installs. Run it with
//
//	cd e2e/gcs && go test ./...
package gcs_test

import (
	"bytes"
	"context"
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

	"tfhaul/backend"
	"tfhaul/backend/gcs"
)

// version is that of fake-gcs-server, as in .ci/run.
const version = "v1.56.1"

// server is the endpoint of the server of all tests, without the path; "" without a server.
var server string

func TestMain(m *testing.M) { os.Exit(runWithServer(m)) }

func runWithServer(m *testing.M) int {
	for _, entry := range os.Environ() { // hide this machine's configuration
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "GOOGLE_") || name == "STORAGE_EMULATOR_HOST" {
			_ = os.Unsetenv(name) // the name is valid: it comes from the environment
		}
	}
	program := findServer()
	if program == "" {
		return m.Run()
	}
	address, err := freeAddress()
	if err != nil {
		log.Print(err)
		return 1
	}
	_, port, _ := net.SplitHostPort(address)
	child := exec.Command(program, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-public-host", address, "-log-level", "error")
	var said bytes.Buffer
	child.Stdout, child.Stderr = &said, &said
	if err := child.Start(); err != nil {
		log.Print(err)
		return 1
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait() // its exit code means nothing
	}()
	server = "http://" + address
	if err := waitUntilHealthy(server); err != nil {
		log.Printf("the server did not start: %v\n%s", err, said.String())
		return 1
	}
	for name, value := range map[string]string{"GOOGLE_OAUTH_ACCESS_TOKEN": "of-the-tests", "GOOGLE_STORAGE_CUSTOM_ENDPOINT": server + "/storage/v1/"} {
		if err := os.Setenv(name, value); err != nil {
			log.Print(err)
			return 1
		}
	}
	return m.Run()
}

// findServer returns the path of the server, or "".
func findServer() string {
	if path, err := exec.LookPath("fake-gcs-server"); err == nil {
		return path
	}
	if cache, err := os.UserCacheDir(); err == nil {
		if path, err := exec.LookPath(filepath.Join(cache, "tfhaul-tests", "fake-gcs-server-"+version, "fake-gcs-server")); err == nil {
			return path
		}
	}
	return ""
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
		_, _, err := ask(ctx, http.MethodGet, endpoint+"/_internal/healthcheck", "", nil)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// ask sends a request and returns the response.
func ask(ctx context.Context, method, at, contentType string, body []byte) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// bucket is a bucket used by only one test.
type bucket struct {
	t    testing.TB
	name string
}

var buckets atomic.Int64

func newBucket(t testing.TB, versioned bool) *bucket {
	t.Helper()
	if server == "" {
		t.Skip("NOT TESTED without fake-gcs-server, which .ci/run builds")
	}
	b := &bucket{t, fmt.Sprintf("states-%d", buckets.Add(1))}
	text, err := json.Marshal(map[string]any{"name": b.name, "versioning": map[string]bool{"enabled": versioned}})
	if err != nil {
		t.Fatal(err)
	}
	b.must(200, http.MethodPost, "/storage/v1/b", "application/json", text)
	return b
}

func (b *bucket) must(want int, method, at, contentType string, body []byte) []byte {
	b.t.Helper()
	status, text, err := ask(context.Background(), method, server+at, contentType, body)
	if err != nil || status != want {
		b.t.Fatalf("%s %s: %d, %v", method, at, status, err)
	}
	return text
}

func (b *bucket) put(key string, data []byte) {
	b.t.Helper()
	b.must(200, http.MethodPost, "/upload/storage/v1/b/"+b.name+"/o?uploadType=media&name="+url.QueryEscape(key), "text/plain", data)
}

func (b *bucket) remove(key string) {
	b.t.Helper()
	b.must(200, http.MethodDelete, "/storage/v1/b/"+b.name+"/o/"+url.PathEscape(key), "", nil)
}

// get returns an object's content, or nil if it does not exist.
func (b *bucket) get(key string) []byte {
	b.t.Helper()
	status, text, err := ask(context.Background(), http.MethodGet, server+"/storage/v1/b/"+b.name+"/o/"+url.PathEscape(key)+"?alt=media", "", nil)
	switch {
	case err != nil || status != 200 && status != 404:
		b.t.Fatalf("%s: %d, %v", key, status, err)
	case status == 404:
		return nil
	}
	return text
}

func (b *bucket) ref(key string) string { return "gs://" + b.name + "/" + key }

func kind() backend.Kind { return gcs.Kind(backend.Connection{}) }
