package tfesim_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"tfhaul/tfesim"
)

// The file has what the command line promises. The files that it names exist, are private,
// and are removed by Close.
func TestEnvFile(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "")
	s := start(t, tfesim.Options{Organizations: []string{"acme"}})
	folder := t.TempDir()
	file := filepath.Join(folder, "it's env")
	if err := s.Running.WriteEnvFile(file); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := regexp.MustCompile(`^export ([A-Z_]+)='(.*)'\n$`).FindStringSubmatch(line)
		if m == nil {
			t.Fatal("a line is not an export")
		}
		env[m[1]] = strings.ReplaceAll(m[2], `'\''`, "'")
	}
	for name, want := range map[string]string{
		"TFE_ADDRESS": s.Running.URL(), "TFE_HOSTNAME": s.Running.Host(), "TF_CLOUD_HOSTNAME": s.Running.Host(), "TFE_ORG": "acme",
		"TFE_TOKEN": s.Token(tfesim.Owner), "TFE_TEAM_TOKEN": s.TeamToken("acme"), "TFE_ORG_TOKEN": s.OrganizationToken("acme"),
	} {
		if env[name] != want {
			t.Errorf("%s is not what it should be", name)
		}
	}
	for _, name := range []string{"TFHAUL_CA_FILE", "SSL_CERT_FILE", "TF_CLI_CONFIG_FILE"} {
		info, err := os.Stat(env[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %o", name, info.Mode().Perm())
		}
	}
	bundle, err := os.ReadFile(env["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(bundle, s.Running.CAPEM()) {
		t.Error("SSL_CERT_FILE does not have the server's authority")
	}
	resp, err := clientTrusting(bundle).Get(env["TFE_ADDRESS"] + "/api/v2/ping")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := s.Running.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

func TestCertificate(t *testing.T) {
	s := start(t, tfesim.Options{})
	_, port, err := net.SplitHostPort(s.Running.Host())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		client := s.Running.Client()
		resp, err := client.Get("https://" + net.JoinHostPort(host, port) + "/api/v2/ping")
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		resp.Body.Close()
		leaf := resp.TLS.PeerCertificates[0]
		if err := leaf.VerifyHostname("::1"); err != nil {
			t.Error(err)
		}
		if leaf.PublicKeyAlgorithm != x509.ECDSA || time.Until(leaf.NotAfter) < 24*time.Hour {
			t.Errorf("the certificate is %v until %v", leaf.PublicKeyAlgorithm, leaf.NotAfter)
		}
		if resp.ProtoMajor != 2 {
			t.Errorf("the protocol is %s", resp.Proto)
		}
		client.CloseIdleConnections()
	}
	block, rest := pem.Decode(s.Running.CAPEM())
	if block == nil || len(rest) > 0 {
		t.Fatal("CAPEM is not one certificate")
	}
	// A client that does not trust the authority cannot connect.
	var unknown x509.UnknownAuthorityError
	if _, err := http.Get(s.Running.URL()); !errors.As(err, &unknown) {
		t.Errorf("a client that does not trust the authority: %v", err)
	}
}

func TestStartListensOnLoopbackOnly(t *testing.T) {
	s := newServer(t, tfesim.Options{})
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:0", "example.com:0", "127.0.0.1"} {
		if r, err := s.Start(addr); err == nil {
			t.Errorf("it listens on %s", addr)
			r.Close()
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]tfesim.Options{
		"an organization's name":          {Organizations: []string{"a/b"}},
		"a folder that cannot be created": {Data: string([]byte{0})},
		"an unknown execution mode":       {ExecutionMode: "lunar"},
	} {
		if s, err := tfesim.New(o); err == nil {
			t.Errorf("%s was taken", name)
			s.Close()
		}
	}
}

// Each of the four files is neither replaced nor removed if someone else wrote it.
func TestEnvFileLeavesForeignFilesAlone(t *testing.T) {
	for _, suffix := range []string{"", ".ca.pem", ".authorities.pem", ".tfrc"} {
		t.Run("env"+suffix, func(t *testing.T) {
			s := start(t, tfesim.Options{})
			file := filepath.Join(t.TempDir(), "env")
			if err := os.WriteFile(file+suffix, []byte("alias ll='ls -l'\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			var foreign *tfesim.ForeignFileError
			if err := s.Running.WriteEnvFile(file); !errors.As(err, &foreign) || foreign.Path != file+suffix {
				t.Fatalf("it was not refused: %v", err)
			}
			if err := s.Running.Close(); err != nil {
				t.Fatal(err)
			}
			if content, err := os.ReadFile(file + suffix); err != nil || string(content) != "alias ll='ls -l'\n" {
				t.Errorf("the file was changed: %v", err)
			}
			if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
				t.Errorf("there are %d files, want 1: %v", len(entries), err)
			}
		})
	}
}

func TestEnvFileReplacesItsOwnAndEmptyFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file+".tfrc", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first, second := start(t, tfesim.Options{}), start(t, tfesim.Options{})
	for _, s := range []*sim{first, second} {
		if err := s.Running.WriteEnvFile(file); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// The second server owns the files now, so the first one leaves them.
	if err := first.Running.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the first server removed or changed the file of the second: %v", err)
	}
	// A file that the user has replaced stays, too.
	if err := os.WriteFile(file, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := second.Running.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 || entries[0].Name() != "env" {
		t.Errorf("%v, %v are left; want only env", entries, err)
	}
}
