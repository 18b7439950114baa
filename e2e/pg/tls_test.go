package pg_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/pg"
)

// writeCertificate writes server.crt, a certificate for 127.0.0.1, and server.key, and returns the
// certificate as its own authority.
func writeCertificate(dir string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tfhaul tests"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	if err := os.WriteFile(filepath.Join(dir, "server.crt"), text, 0o600); err != nil {
		return nil, err
	}
	return text, os.WriteFile(filepath.Join(dir, "server.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}

// The default requires TLS, and verify-full verifies the server with the authorities of the
// program, such as those in --ca-file, or with those that the address names.
func TestTLS(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	d.put("default", []byte("{}"))
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, d.server.authority, 0o600); err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(d.server.authority)
	for _, tt := range []struct {
		name, params, host string
		trusted            *x509.CertPool
		want               string
	}{
		{"the default", "", "127.0.0.1", x509.NewCertPool(), ""},
		{"verified with --ca-file", "&sslmode=verify-full", "127.0.0.1", trusted, ""},
		{"verified with sslrootcert", "&sslmode=verify-full&sslrootcert=" + file, "127.0.0.1", x509.NewCertPool(), ""},
		{"an unknown authority", "&sslmode=verify-full", "127.0.0.1", x509.NewCertPool(), "certificate"},
		{"another host", "&sslmode=verify-full", "localhost", trusted, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d.params = tt.params
			address := strings.Replace(d.address("default"), "127.0.0.1", tt.host, 1)
			kinds := backend.Kinds{pg.Kind(backend.Connection{TLS: &tls.Config{RootCAs: tt.trusted, MinVersion: tls.VersionTLS12}})}
			in, _, err := find(t, kinds, address, backend.Filter{})[0].Open(t.Context(), nil)
			if err == nil {
				err = in.Close()
			}
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !backend.Untrusted(err)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// withoutTLS starts a server that refuses TLS, and returns its port.
func withoutTLS(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 8)) // the request for TLS
			_, _ = c.Write([]byte("N"))
			_ = c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
