package tfe

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"tfhaul/plainwords"
)

// TLSConfig returns a configuration that trusts the system's authorities, those in caFile
// (PEM; may be empty), and those in the file named by SSL_CERT_FILE. Go reads that variable
// only on some systems, and instead of the system's own file; here it adds to it
// everywhere. As in Go, a SSL_CERT_FILE that cannot be used is ignored, because some build
// environments set it to a missing file; caFile must be usable.
func TLSConfig(caFile string, env func(string) string) (*tls.Config, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		if caFile == "" {
			return nil, fmt.Errorf("the system's certificate authorities cannot be read: %w; name some with --ca-file", err)
		}
		roots = x509.NewCertPool()
	}
	if file := env("SSL_CERT_FILE"); file != "" {
		if pem, err := os.ReadFile(file); err == nil {
			roots.AppendCertsFromPEM(pem)
		}
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("the certificate authority file %q cannot be read: %w", caFile, plainwords.WithoutPath(err))
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf(`the certificate authority file %q contains no PEM certificate (-----BEGIN CERTIFICATE-----)`, caFile)
		}
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}
