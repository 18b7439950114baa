// Package consul_test tests consul:// sources and targets with the real terraform as the other
// party, against the server in fixtures/consul: a Consul is not to be had. It is a module of
// its own, so that .ci/run runs it with the other tests that start programs. Run it with
//
//	cd e2e/consul && go test ./...
package consul_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tfhaul/fixtures/consul"
	"tfhaul/tfesim"
)

// A store is a server that only one test uses.
type store struct {
	*consul.Server
	t    testing.TB
	host string // HOST:PORT

	mu  sync.Mutex
	aim func(op string, r *http.Request, answer func()) (answered bool)
}

func newStore(t testing.TB) *store {
	t.Helper()
	s := &store{Server: &consul.Server{}, t: t}
	s.Intercept = func(w http.ResponseWriter, r *http.Request, op string, answer func() *httptest.ResponseRecorder) {
		s.mu.Lock()
		aim := s.aim
		s.mu.Unlock()
		var out *httptest.ResponseRecorder
		once := func() {
			if out == nil {
				out = answer()
			}
		}
		if aim != nil && aim(op, r, once) {
			panic(http.ErrAbortHandler) // no response
		}
		once()
		consul.Give(w, out)
	}
	server := httptest.NewServer(s.Server)
	t.Cleanup(func() {
		s.aimAt(nil)
		server.CloseClientConnections()
		server.Close()
	})
	s.host = strings.TrimPrefix(server.URL, "http://")
	return s
}

// aimAt makes a function see each request before it is answered. It may answer it, and make the
// response get lost.
func (s *store) aimAt(aim func(op string, r *http.Request, answer func()) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aim = aim
}

func (s *store) address(key string) string { return "consul://" + s.host + "/" + key }

// has returns the state under a key, put together and decompressed as Terraform does; nil if
// there is none.
func (s *store) has(key string) []byte {
	s.t.Helper()
	e := s.Get(key)
	if e == nil {
		return nil
	}
	text := e.Value
	var list struct {
		Hash   string   `json:"current-hash"`
		Chunks []string `json:"chunks"`
	}
	if json.Unmarshal(text, &list) == nil && list.Hash != "" {
		text = nil
		for _, chunk := range list.Chunks {
			part := s.Get(chunk)
			if part == nil {
				s.t.Fatalf("there is no %s", chunk)
			}
			text = append(text, part.Value...)
		}
	}
	if len(text) > 0 && text[0] == 0x1f {
		in, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			s.t.Fatal(err)
		}
		if text, err = io.ReadAll(in); err != nil {
			s.t.Fatal(err)
		}
	}
	return text
}

// wantFree fails the test if the key is locked, or a session of tfhaul is left. Terraform often
// ends before it has destroyed its own.
func (s *store) wantFree(key string) {
	s.t.Helper()
	if e := s.Get(key + "/.lock"); e != nil && e.Session != "" || s.Sessions("tfhaul") != 0 {
		s.t.Errorf("%s is locked (%+v), or %d sessions of tfhaul are left", key, e, s.Sessions("tfhaul"))
	}
}

// organization is that of the embedded server.
const organization = "acme"

// built is where the program is, once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tfhaul-e2e-consul-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tfhaul")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.New(err.Error() + "\n" + string(out))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	for _, entry := range os.Environ() { // hide this machine's configuration
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "CONSUL_") {
			_ = os.Unsetenv(name) // the name is valid: it comes from the environment
		}
	}
	code := m.Run()
	if path, err := built(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// A place is a directory in which the program runs, with an embedded TFE that it finds.
type place struct {
	*tfesim.Server
	t       testing.TB
	dir     string
	environ []string
}

func newPlace(t testing.TB) *place {
	t.Helper()
	sim, err := tfesim.New(tfesim.Options{Organizations: []string{organization}, RateLimit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	running, err := sim.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &place{Server: sim, t: t, dir: t.TempDir()}
	authority := filepath.Join(p.dir, "ca.pem")
	if err := os.WriteFile(authority, running.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	p.environ = append(os.Environ(), "HOME="+p.dir, "NO_COLOR=1", "TFE_ADDRESS="+running.URL(), "TFE_TOKEN="+sim.Token(tfesim.Owner), "TFHAUL_CA_FILE="+authority, "TF_CLI_CONFIG_FILE="+os.DevNull)
	return p
}

func (p *place) command(args ...string) *exec.Cmd {
	p.t.Helper()
	path, err := built()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.CommandContext(p.t.Context(), path, args...)
	cmd.Dir, cmd.Env = p.dir, p.environ
	return cmd
}

// run runs the program and returns what it printed.
func (p *place) run(want int, args ...string) string {
	p.t.Helper()
	cmd := p.command(args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		p.t.Fatalf("tfhaul %s: exit %d, want %d\n%s", strings.Join(args, " "), code, want, out)
	}
	return string(out)
}

func (p *place) write(name string, text []byte) {
	p.t.Helper()
	at := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(at, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// A configuration is a directory in which the real terraform uses the consul backend.
type configuration struct {
	t         testing.TB
	dir       string
	terraform string
}

const resources = `
variable "note" { default = "first" }
resource "terraform_data" "one" { input = var.note }
`

// large makes a state of about 800 KB, half of which remains when it is compressed. Terraform
// needs minutes to show a value that is much larger.
const large = `
resource "terraform_data" "large" {
  input = [for i in range(1000) : join("", [sha512("a${i}"), sha512("b${i}"), sha512("c${i}")])]
}
`

// newConfiguration writes and initializes a configuration that keeps its state at path.
func newConfiguration(t testing.TB, s *store, path, arguments, more string) *configuration {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("NOT TESTED against the real terraform, which is not on PATH")
	}
	c := &configuration{t: t, dir: t.TempDir(), terraform: terraform}
	text := fmt.Sprintf("terraform {\n  backend \"consul\" {\n    address = %q\n    scheme = \"http\"\n    path = %q\n    %s\n  }\n}\n%s", s.host, path, arguments, resources+more)
	if err := os.WriteFile(filepath.Join(c.dir, "main.tf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.must("init", "-input=false")
	return c
}

func (c *configuration) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), c.terraform, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1")
	return cmd
}

// run runs terraform and returns its output.
func (c *configuration) run(args ...string) (string, error) {
	out, err := c.command(append(args, "-no-color")...).CombinedOutput()
	return string(out), err
}

func (c *configuration) must(args ...string) {
	c.t.Helper()
	if out, err := c.run(args...); err != nil {
		c.t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (c *configuration) apply(note string) {
	c.t.Helper()
	c.must("apply", "-auto-approve", "-input=false", "-var=note="+note)
}

// wantNoChanges fails unless terraform plans no changes.
func (c *configuration) wantNoChanges(note string) {
	c.t.Helper()
	if out, err := c.run("plan", "-detailed-exitcode", "-input=false", "-var=note="+note); err != nil {
		c.t.Errorf("terraform plans changes, or the plan failed: %v\n%s", err, out)
	}
}
