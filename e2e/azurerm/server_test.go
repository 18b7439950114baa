// Package azurerm_test tests azurerm:// sources and targets against a server of Azure Blob
// Storage (Azurite, on loopback, started by the tests) and the real terraform. It is a module
// of its own, so that it can need programs that .ci/run installs. Run it with
//
//	cd e2e/azurerm && go test ./...
//
// Terraform's azurerm backend has no argument for another server. So everything goes through a
// proxy that connects every host to Azurite, which has a certificate for the real host.
package azurerm_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/azurerm"
)

// version is that of Azurite, as in .ci/run.
const version = "3.37.0"

// The storage account of all tests.
const (
	account = "tfhaultests"
	host    = account + ".blob.core.windows.net"
)

var key = []byte("the key of the tests, which must not appear in any output")

// caFile is the path of the certificate authority of the server; "" without a server. client
// reaches the server.
var (
	caFile string
	client http.Client
)

func TestMain(m *testing.M) { os.Exit(runWithServer(m)) }

func runWithServer(m *testing.M) int {
	for _, entry := range os.Environ() { // hide this machine's configuration
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "ARM_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			_ = os.Unsetenv(name) // the name is valid: it comes from the environment
		}
	}
	program := findServer()
	if program == "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "azurite")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // only of the tests
	stop, err := startServer(program, dir)
	if err != nil {
		log.Print(err)
		return 1
	}
	defer stop()
	return m.Run()
}

// findServer returns the path of Azurite, or "".
func findServer() string {
	if path, err := exec.LookPath("azurite-blob"); err == nil {
		return path
	}
	if cache, err := os.UserCacheDir(); err == nil {
		if path, err := exec.LookPath(filepath.Join(cache, "tfhaul-tests", "azurite-"+version, "node_modules", ".bin", "azurite-blob")); err == nil {
			return path
		}
	}
	return ""
}

// startServer starts Azurite and the proxy, and sets the environment that leads there.
func startServer(program, dir string) (stop func(), err error) {
	cert, certKey, err := certificate(dir)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	child := exec.Command(program, "--silent", "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", port, "--cert", cert, "--key", certKey)
	child.Dir = dir
	child.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+account+":"+base64.StdEncoding.EncodeToString(key))
	var said bytes.Buffer
	child.Stdout, child.Stderr = &said, &said
	if err := child.Start(); err != nil {
		return nil, err
	}
	proxy, err := startProxy(address)
	if err != nil {
		return nil, err
	}
	stop = func() {
		_ = child.Process.Kill()
		_ = child.Wait() // its exit code means nothing
		_ = proxy.Close()
	}
	for name, value := range map[string]string{"HTTPS_PROXY": "http://" + proxy.Addr().String(), "ARM_ACCESS_KEY": base64.StdEncoding.EncodeToString(key), "SSL_CERT_FILE": cert} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(cert)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	client.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 16}
	caFile = cert
	if err := waitUntilHealthy(); err != nil {
		stop()
		return nil, fmt.Errorf("the server did not start: %w\n%s", err, said.String())
	}
	return stop, nil
}

// certificate makes a certificate for the real host, and returns the paths of it and its key.
func certificate(dir string) (cert, certKey string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	text, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return "", "", err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, certKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return cert, certKey, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: text}), 0o600),
		os.WriteFile(certKey, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// startProxy serves a proxy that connects every host to one address.
func startProxy(to string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			http.Error(w, "no server", http.StatusBadGateway)
			return
		}
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = out.Close() // unused
			return
		}
		_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n") // a failure shows below
		var both sync.WaitGroup
		for _, pipe := range []struct{ to, from net.Conn }{{in, out}, {out, in}} {
			both.Go(func() {
				_, _ = io.Copy(pipe.to, pipe.from) // either side may end it
				_ = pipe.to.Close()
			})
		}
		both.Wait()
	})
	go func() { _ = http.Serve(l, handler) }() // ends with the listener
	return l, nil
}

// waitUntilHealthy waits until the server responds.
func waitUntilHealthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, _, _, err := ask(ctx, http.MethodGet, "/?comp=list", nil, nil)
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

// ask sends a signed request, independently of the package under test.
func ask(ctx context.Context, method, at string, header map[string]string, body []byte) (int, http.Header, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+host+at, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	r.Header.Set("x-ms-version", "2021-12-02")
	r.Header.Set("x-ms-date", time.Now().UTC().Format(http.TimeFormat))
	for name, value := range header {
		r.Header.Set(name, value)
	}
	var own []string
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-ms-") {
			own = append(own, name+":"+r.Header.Get(name)+"\n")
		}
	}
	slices.Sort(own)
	length := ""
	if len(body) > 0 {
		length = strconv.Itoa(len(body))
	}
	text := method + "\n\n\n" + length + "\n\n" + r.Header.Get("Content-Type") + "\n\n\n\n\n\n\n" + strings.Join(own, "") + "/" + account + r.URL.EscapedPath()
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range r.URL.Query() {
			if !yield(name) {
				return
			}
		}
	}) {
		text += "\n" + name + ":" + r.URL.Query().Get(name)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	r.Header.Set("Authorization", "SharedKey "+account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	out, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, out, err
}

// container is a container used by only one test.
type container struct {
	t    testing.TB
	name string
}

var containers atomic.Int64

func newContainer(t testing.TB) *container {
	t.Helper()
	if caFile == "" {
		t.Skip("NOT TESTED without Azurite, which .ci/run installs")
	}
	c := &container{t, fmt.Sprintf("states-%d", containers.Add(1))}
	c.must(201, http.MethodPut, "", "restype=container", nil, nil)
	return c
}

func (c *container) path(blob string) string {
	if blob == "" {
		return "/" + c.name
	}
	return "/" + c.name + "/" + strings.ReplaceAll(url.PathEscape(blob), "%2F", "/")
}

func (c *container) must(want int, method, blob, query string, header map[string]string, body []byte) http.Header {
	c.t.Helper()
	if query != "" {
		query = "?" + query
	}
	status, h, text, err := ask(context.Background(), method, c.path(blob)+query, header, body)
	if err != nil || status != want {
		c.t.Fatalf("%s %s%s: %d, %v\n%s", method, blob, query, status, err, text)
	}
	return h
}

// put stores a blob as a program does that has the lease, if there is one.
func (c *container) put(blob string, data []byte) {
	c.t.Helper()
	c.must(201, http.MethodPut, blob, "", map[string]string{"x-ms-blob-type": "BlockBlob"}, data)
}

func (c *container) remove(blob string) {
	c.t.Helper()
	c.must(202, http.MethodDelete, blob, "", nil, nil)
}

// get returns a blob's content, or nil if it does not exist, and its headers.
func (c *container) get(blob string) ([]byte, http.Header) {
	c.t.Helper()
	status, h, text, err := ask(context.Background(), http.MethodGet, c.path(blob), nil, nil)
	switch {
	case err != nil || status != 200 && status != 404:
		c.t.Fatalf("%s: %d, %v", blob, status, err)
	case status == 404:
		return nil, nil
	}
	return text, h
}

func (c *container) text(blob string) []byte {
	c.t.Helper()
	text, _ := c.get(blob)
	return text
}

// locked reports whether a blob has a lease.
func (c *container) locked(blob string) bool {
	c.t.Helper()
	_, h := c.get(blob)
	return h.Get("x-ms-lease-status") == "locked"
}

func (c *container) ref(blob string) string {
	return "azurerm://" + account + "/" + c.name + "/" + blob
}

func kind() backend.Kind {
	pool := x509.NewCertPool()
	if text, err := os.ReadFile(caFile); err == nil { // without a server, no test uses it
		pool.AppendCertsFromPEM(text)
	}
	return azurerm.Kind(backend.Connection{TLS: &tls.Config{RootCAs: pool}})
}
