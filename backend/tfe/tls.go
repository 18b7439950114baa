package tfe

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLSConfig trusts the system's authorities, those in caFile (PEM; may be empty), and those in the file
// that SSL_CERT_FILE names. Go reads that variable on some systems only and then instead of the system's
// own file; here it adds, everywhere. As for Go, a SSL_CERT_FILE that cannot be used is none, because
// some build environments set it to a file that does not exist; caFile must be usable.
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
			return nil, fmt.Errorf("the file of certificate authorities %q cannot be read: %w", caFile, reasonOf(err))
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf(`the file of certificate authorities %q holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)`, caFile)
		}
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}
