package consul

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/fixtures/consul"
)

func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ address, environ, want, base string }{
		{"consul:///live/net", "X=", "consul://127.0.0.1:8500/live/net", "http://127.0.0.1:8500"},
		{"consul:///live/net", "CONSUL_HTTP_ADDR=https://Consul.example.com", "consul://consul.example.com/live/net", "https://consul.example.com"},
		{"consul:///live/net", "CONSUL_HTTP_ADDR=https://localhost:8501/", "consul://localhost:8501/live/net?scheme=https", "https://localhost:8501"},
		{"consul://localhost:8501/net", "CONSUL_HTTP_ADDR=https://localhost:8501", "consul://localhost:8501/net?scheme=https", "https://localhost:8501"},
		{"consul://localhost:8500/net", "CONSUL_HTTP_ADDR=https://localhost:8501", "consul://localhost:8500/net", "http://localhost:8500"},
		{"consul://localhost/net", "CONSUL_HTTP_SSL=true", "consul://localhost/net?scheme=https", "https://localhost"},
		{"consul://[::1]:8500/net", "X=", "consul://[::1]:8500/net", "http://[::1]:8500"},
		{"consul://c.example.com:8500", "X=", "consul://c.example.com:8500/", "https://c.example.com:8500"},
		{"consul://c.example.com/a/?scheme=https&datacenter=eu", "X=", "consul://c.example.com/a/?datacenter=eu", "https://c.example.com"},
		{"consul://c.example.com/a%20b/%3F%25?gzip=true", "X=", "consul://c.example.com/a%20b/%3F%25?gzip=true", "https://c.example.com"},
		{"consul://localhost/net?scheme=http", "CONSUL_HTTP_SSL=1", "consul://localhost/net?scheme=http", "http://localhost"},
	} {
		s := &servers{connection: backend.Connection{Environ: environ(tt.environ)}.WithDefaults()}
		l, err := s.parse(tt.address)
		if err != nil {
			t.Errorf("%s with %s: %v", tt.address, tt.environ, err)
			continue
		}
		if l.String() != tt.want || l.base() != tt.base {
			t.Errorf("%s with %s is %s at %s, want %s at %s", tt.address, tt.environ, l, l.base(), tt.want, tt.base)
		}
		if again, err := s.parse(l.String()); err != nil || again.String() != l.String() {
			t.Errorf("%s is %s, and then %v (%v)", tt.address, l, again, err)
		}
	}
	if got := kind().Canonical("consul:///net?gzip=true"); got != "consul://127.0.0.1:8500/net" {
		t.Errorf("the canonical address is %s", got)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, tt := range []struct{ address, environ, want string }{
		{"consul://c.example.com/net?scheme=http", "X=", "allowed only for loopback addresses: use https, or a tunnel"},
		{"consul:///net", "CONSUL_HTTP_ADDR=http://c.example.com:8500", "allowed only for loopback"},
		{"consul://ann:hunter2@c.example.com/net", "X=", "must not contain credentials"},
		{"consul://c.example.com/net?token=hunter2", "X=", `no parameter "token"`},
		{"consul://c.example.com//net", "X=", "begins with a slash"},
		{"consul://c.example.com/net%2", "X=", "not percent-encoded correctly"},
		{"consul://c.example.com/net?gzip=yes", "X=", "true or false"},
		{"consul://c.example.com/net?scheme=ftp", "X=", "is http or https"},
		{"consul://c.example.com:port/net", "X=", "is not the address of a Consul server"},
		{"consul://c.example.com:/net", "X=", "is not the address of a Consul server"},
		{"consul:///net", "CONSUL_HTTP_ADDR=unix:///var/run/consul.sock", "names a Unix socket"},
		{"consul:///net", "CONSUL_HTTP_ADDR=https://ann:hunter2@c.example.com", "without a path or credentials"},
		{"consul:///net", "CONSUL_HTTP_ADDR=https://c.example.com/consul", "without a path or credentials"},
		{"consul://c.example.com/net", "CONSUL_HTTP_SSL_VERIFY=false", "always verifies"},
		{"consul://c.example.com/net", "CONSUL_CACERT=/nonexistent/ca.pem", "CONSUL_CACERT cannot be used"},
		{"consul://c.example.com/net", "CONSUL_CLIENT_CERT=/nonexistent/c.pem", "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY cannot be used"},
		{"consul://c.example.com/net", "CONSUL_HTTP_TOKEN_FILE=/nonexistent/token", "CONSUL_HTTP_TOKEN_FILE cannot be read"},
		{"consul://c.example.com/net", "CONSUL_HTTP_TOKEN=hunter2\nhunter3", "has several lines"},
	} {
		_, err := kind(tt.environ).Open(t.Context(), tt.address)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s with %s: %v\nwant %s", tt.address, tt.environ, err, tt.want)
		}
	}
	role := kind().Target
	if _, _, err := role.SplitState("consul://c.example.com/live/"); err == nil || !strings.Contains(err.Error(), "names a prefix") {
		t.Errorf("%v", err)
	}
	if err := role.CheckContainer("consul://c.example.com/live/net"); err == nil || !strings.Contains(err.Error(), "slash at the end") {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"", "a//b", "a/", "../a", "a/.lock", "a/.lockinfo", ".lock", "a/tfstate.0123456789abcdef0123456789abcdef/0", "a\nb", strings.Repeat("a", 2000)} {
		if err := role.CheckName(name); err == nil {
			t.Errorf("the name %.40q is accepted", name)
		}
	}
}

func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		environ []string
		token   string // that the server requires
		want    string // the error; "" for none
	}{
		{[]string{"CONSUL_HTTP_TOKEN=of-the-variable"}, "of-the-variable", ""},
		{[]string{"CONSUL_HTTP_TOKEN=of-the-variable", "CONSUL_HTTP_TOKEN_FILE=" + file}, "of-the-file", ""},
		{nil, "x", "the server requires a token with the permission key:read: set CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE"},
		{[]string{"CONSUL_HTTP_TOKEN=hunter2"}, "x", "access denied: the policies of the token in CONSUL_HTTP_TOKEN lack key:read"},
	} {
		s := &consul.Server{Token: tt.token}
		address := start(t, s)
		s.Put("net", []byte("{}"))
		_, _, err := read(t, find(t, address+"net", tt.environ...))
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("with %v: %v", tt.environ, err)
		}
	}
}

// A token is not sent to a host that another user may have chosen.
func TestATokenOfAnotherServer(t *testing.T) {
	c := backend.Connection{Environ: environ("CONSUL_HTTP_TOKEN=hunter2", "CONSUL_HTTP_ADDR=https://ours.example.com"), Doubts: func(string) string { return "named by a file" }}.WithDefaults()
	s := &servers{connection: c}
	for address, want := range map[string]string{"consul://theirs.example.com/a": "", "consul://ours.example.com/a": "hunter2", "consul:///a": "hunter2"} {
		l, err := s.parse(address)
		if err != nil {
			t.Fatal(err)
		}
		server, err := s.server(l)
		if err != nil || server.token != want {
			t.Errorf("%s: the token is %q, want %q (%v)", address, server.token, want, err)
		}
	}
}

// The server's certificate is verified with the authorities of the program and of Consul's
// variables.
func TestTLS(t *testing.T) {
	s := &consul.Server{}
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	server.StartTLS()
	defer server.Close()
	s.Put("net", []byte("{}"))
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "consul://" + strings.TrimPrefix(server.URL, "https://") + "/net?scheme=https"
	for environ, want := range map[string]string{
		"CONSUL_CACERT=" + ca: "", "CONSUL_CAPATH=" + dir: "", "X=": "certificate",
	} {
		_, _, err := read(t, find(t, address, environ))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("with %s: %v", environ, err)
		}
	}
	if _, _, err := read(t, find(t, address, "CONSUL_CACERT="+ca, "CONSUL_TLS_SERVER_NAME=example.com")); err != nil {
		t.Errorf("with another name of the server: %v", err)
	}
	if _, _, err := read(t, find(t, address, "CONSUL_CACERT="+ca, "CONSUL_TLS_SERVER_NAME=other.test")); err == nil {
		t.Error("a certificate for another name is accepted")
	}
	trusting := Kind(backend.Connection{Environ: environ(), TLS: server.Client().Transport.(*http.Transport).TLSClientConfig}) // --ca-file
	listing, err := backend.Kinds{trusting}.Find(t.Context(), address, backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(t, listing.States[0].(*state)); err != nil {
		t.Error(err)
	}
}

func TestBlocks(t *testing.T) {
	for _, tt := range []struct{ container, name, environ, want string }{
		{"consul://c.example.com/live/", "net-env:prod", "X=", "backend \"consul\" {\n    address = \"c.example.com\"\n    scheme  = \"https\"\n    path    = \"live/net\"\n  }"},
		{"consul://127.0.0.1:8500/?gzip=true&datacenter=eu", "net", "X=", "address    = \"127.0.0.1:8500\"\n    scheme     = \"http\"\n    path       = \"net\"\n    datacenter = \"eu\"\n    gzip       = true\n"},
		{"consul:///live/", "net", "CONSUL_HTTP_ADDR=https://c.example.com", "backend \"consul\" {\n    path = \"live/net\"\n  }"},
	} {
		b, err := kind(tt.environ).Target.Block(t.Context(), tt.container, tt.name)
		if err != nil || !strings.Contains(b.HCL(), tt.want) {
			t.Errorf("%s: %v\n%s\nwant %s", tt.container, err, b.HCL(), tt.want)
		}
		if b.Named() != (tt.name == "net-env:prod") {
			t.Errorf("%s: the workspace is %q", tt.name, b.Workspace)
		}
	}
}
