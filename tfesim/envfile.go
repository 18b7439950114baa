package tfesim

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// WriteEnvFile writes a file (mode 0600) of export lines that make tfhaul, go-tfe, curl and
// the real terraform use this server: TFE_ADDRESS, TFE_HOSTNAME, TFE_TOKEN (the owner's),
// TFE_TEAM_TOKEN, TFE_ORG_TOKEN, TFE_ORG, TFHAUL_CA_FILE, SSL_CERT_FILE, TF_CLI_CONFIG_FILE
// and TF_CLOUD_HOSTNAME, which stands in for a hostname in cloud {}. The files that it names are written beside it. If one of the files
// exists, is not empty and was not written by a server, WriteEnvFile returns a
// *ForeignFileError and writes nothing. Close removes the files unless they have changed.
// The env file is written last, so once it exists the server is ready.
//
// SSL_CERT_FILE contains the system's authorities and this server's. Go programs on macOS
// and Windows ignore it and need --ca-file.
func (r *Running) WriteEnvFile(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	org := r.server.options.Organizations[0]
	files := []struct {
		name    string
		content []byte
	}{
		{path + ".ca.pem", append([]byte(ownLine), r.caPEM...)},
		{path + ".authorities.pem", slices.Concat([]byte(ownLine), systemAuthorities(), r.caPEM)},
		{path + ".tfrc", fmt.Appendf([]byte(ownLine), "credentials %q {\n  token = %q\n}\n", r.Host(), r.server.Token(Owner))},
	}
	var env bytes.Buffer
	env.WriteString(ownLine)
	for _, line := range [][2]string{
		{"TFE_ADDRESS", r.URL()},
		{"TFE_HOSTNAME", r.Host()},
		{"TFE_TOKEN", r.server.Token(Owner)},
		{"TFE_TEAM_TOKEN", r.server.TeamToken(org)},
		{"TFE_ORG_TOKEN", r.server.OrganizationToken(org)},
		{"TFE_ORG", org},
		{"TFHAUL_CA_FILE", files[0].name},
		{"SSL_CERT_FILE", files[1].name},
		{"TF_CLI_CONFIG_FILE", files[2].name},
		{"TF_CLOUD_HOSTNAME", r.Host()},
	} {
		fmt.Fprintf(&env, "export %s='%s'\n", line[0], strings.ReplaceAll(line[1], "'", `'\''`))
	}
	files = append(files, struct {
		name    string
		content []byte
	}{path, env.Bytes()})
	for _, f := range files {
		if err := checkOwn(f.name); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := writeWhole(f.name, f.content); err != nil {
			return err
		}
		r.written = append(r.written, writtenFile{f.name, md5.Sum(f.content)})
	}
	return nil
}

// ownLine is the first line of every file from WriteEnvFile. It is a comment in all of
// them, and allows a later server to replace the file.
const ownLine = "# Written by tfhaul sim, which replaces this file and removes it when it ends.\n"

// A ForeignFileError is returned by WriteEnvFile when it would have to replace a file that
// it did not write.
type ForeignFileError struct {
	Path string
}

// Error implements error.
func (e *ForeignFileError) Error() string {
	return fmt.Sprintf("%s exists and was not written by tfhaul sim", e.Path)
}

// A writtenFile is a file that WriteEnvFile wrote.
type writtenFile struct {
	name string
	sum  [md5.Size]byte
}

// checkOwn refuses to replace anything but an empty file or one from WriteEnvFile.
func checkOwn(name string) error {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return &ForeignFileError{name}
	case info.Size() == 0:
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	first := make([]byte, len(ownLine))
	if _, err := io.ReadFull(f, first); err != nil || string(first) != ownLine {
		return &ForeignFileError{name}
	}
	return nil
}

// writeWhole writes a file (mode 0600) atomically.
func writeWhole(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (r *Running) removeFiles() error {
	var errs []error
	for _, f := range r.written {
		// Another server, or the user, may have replaced the file.
		if content, err := os.ReadFile(f.name); err == nil && md5.Sum(content) != f.sum {
			continue
		}
		if err := os.Remove(f.name); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	r.written = nil
	return errors.Join(errs...)
}

// systemAuthorities reads the system's certificate bundle, from where Go looks for it.
func systemAuthorities() []byte {
	places := []string{
		os.Getenv("SSL_CERT_FILE"),
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/cert.pem",
	}
	for _, p := range places {
		if p == "" {
			continue
		}
		if b, err := os.ReadFile(p); err == nil {
			return append(bytes.TrimRight(b, "\n"), '\n')
		}
	}
	return nil
}
