package tfe

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// tlsServer starts a server with a certificate from its own authority, and returns its host
// and port.
func tlsServer(t *testing.T, handle http.HandlerFunc) (*httptest.Server, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handle)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are expected
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, strings.TrimPrefix(server.URL, "https://")
}

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// authorityFile writes the authority of a test server to a file.
func authorityFile(t *testing.T, server *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLSTrustsOnlyNamedAuthorities(t *testing.T) {
	server, _ := tlsServer(t, func(http.ResponseWriter, *http.Request) {})
	ca := authorityFile(t, server)
	for _, tt := range []struct {
		does, caFile, variable string
		trusted                bool
	}{
		{"no file", "", "", false},
		{"--ca-file", ca, "", true},
		{"SSL_CERT_FILE", "", ca, true},
		{"--ca-file with a missing SSL_CERT_FILE", ca, "/no-cert-file.crt", true},
		{"a missing SSL_CERT_FILE", "", "/no-cert-file.crt", false},
	} {
		t.Run(tt.does, func(t *testing.T) {
			config, err := TLSConfig(tt.caFile, environment("SSL_CERT_FILE="+tt.variable))
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
			t.Cleanup(client.CloseIdleConnections)
			resp, err := client.Get(server.URL)
			if err == nil {
				_ = resp.Body.Close() // empty
			}
			if trusted := err == nil; trusted != tt.trusted {
				t.Errorf("trusted is %v: %v", trusted, err)
			}
		})
	}
}

func TestTLSRefusesVersionsBefore12(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	server.StartTLS()
	t.Cleanup(server.Close)
	config, err := TLSConfig(authorityFile(t, server), environment())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	if _, err := client.Get(server.URL); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("%v, want an error about the protocol version", err)
	}
}

func TestTLSConfigErrors(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "none.pem")
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		none:  "cannot be read: " + syscall.ENOENT.Error(),
		empty: "contains no PEM certificate (-----BEGIN CERTIFICATE-----)",
	} {
		if _, err := TLSConfig(file, environment()); err == nil || !strings.HasPrefix(err.Error(), "the certificate authority file ") || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v; want it to end in %q", err, want)
		}
	}
}
