package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/command"
	"tfhaul/fixtures"
	"tfhaul/tfesim"
)

const org = "acme"

// A host is a running server, and the environment that makes the program use it.
type host struct {
	*tfesim.Server
	running *tfesim.Running
	environ []string
}

// start runs a server over TLS for the test.
func start(t *testing.T, o tfesim.Options) *host {
	t.Helper()
	o.Organizations = []string{org, "other"}
	if o.RateLimit == 0 {
		o.RateLimit = -1
	}
	server, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	running, err := server.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	})
	envFile := filepath.Join(t.TempDir(), "env")
	if err := running.WriteEnvFile(envFile); err != nil {
		t.Fatal(err)
	}
	return &host{server, running, readEnvFile(t, envFile)}
}

// readEnvFile reads the export lines as a shell would.
func readEnvFile(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing of the user's own configuration is to play a part.
	environ := []string{"HOME=" + t.TempDir(), "APPDATA=" + t.TempDir()}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !ok {
			t.Fatalf("no assignment in the env file: a line of %d bytes", len(line))
		}
		environ = append(environ, name+"="+strings.Trim(value, "'"))
	}
	return environ
}

// with is the environment with some variables set; "NAME=" sets it to nothing.
func (h *host) with(variables ...string) []string {
	return slices.Concat(h.environ, variables)
}

// A run is how a run of the program ended.
type run struct {
	code           int
	stdout, stderr string
}

// tfhaul runs the program in this process.
func (h *host) tfhaul(t *testing.T, args ...string) run {
	t.Helper()
	return h.tfhaulIn(t, t.Context(), h.environ, nil, args...)
}

func (h *host) tfhaulIn(t *testing.T, ctx context.Context, environ []string, stdin []byte, args ...string) run {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := command.Run(ctx, nil, append([]string{"tfhaul"}, args...), bytes.NewReader(stdin), &stdout, &stderr, environ)
	r := run{code, stdout.String(), stderr.String()}
	h.mustNotShow(t, r)
	return r.mustBeValid(t, args)
}

// mustNotShow fails the test when an output holds a secret, without repeating it.
func (h *host) mustNotShow(t *testing.T, r run) {
	t.Helper()
	secrets := fixtures.PlantedSecrets()
	for _, id := range []tfesim.Identity{tfesim.Owner, tfesim.SecondUser, tfesim.ReadOnly, tfesim.Expired, tfesim.Outsider} {
		secrets = append(secrets, h.Token(id))
	}
	for i, secret := range append(secrets, "/_archivist/") {
		if strings.Contains(r.stdout, secret) || strings.Contains(r.stderr, secret) {
			t.Errorf("secret number %d is shown", i)
		}
	}
	for _, c := range r.stdout + r.stderr {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 {
			t.Errorf("the control character %U is shown", c)
		}
	}
}

// document reads the one JSON document on stdout.
func (r run) document(t *testing.T) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(r.stdout))
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		t.Fatalf("stdout is no JSON document: %v\nstdout: %s\nstderr: %s", err, r.stdout, r.stderr)
	}
	if decoder.More() {
		t.Fatalf("there is more than one document on stdout: %s", r.stdout)
	}
	if document["format"] != "tfhaul/1" {
		t.Errorf("format is %v", document["format"])
	}
	return document
}

// write puts a file into a directory of its own.
func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// state is a small state with secrets in it. The same seed is the same lineage.
func state(seed uint64, serial int64) []byte {
	return fixtures.Spec{Seed: seed, Serial: serial, Resources: 3, Outputs: 3}.Bytes()
}

// seed gives a workspace a state; it fails the test when it cannot.
func (h *host) seed(t *testing.T, workspace string, raw []byte) {
	t.Helper()
	if _, err := h.Seed(org, workspace, raw); err != nil {
		t.Fatal(err)
	}
}

func (h *host) addWorkspace(t *testing.T, workspace string) {
	t.Helper()
	if _, err := h.AddWorkspace(org, workspace); err != nil {
		t.Fatal(err)
	}
}

// mustHold fails the test unless the workspace's current state version is these
// bytes; nil for none.
func (h *host) mustHold(t *testing.T, workspace string, want []byte) {
	t.Helper()
	got, serial, ok := h.Current(org, workspace)
	switch {
	case ok != (want != nil):
		t.Errorf("the server holds a state for %s: %v (serial %d); it should: %v", workspace, ok, serial, want != nil)
	case !bytes.Equal(got, want):
		t.Errorf("the server holds other bytes for %s than it should: %d bytes, serial %d", workspace, len(got), serial)
	}
}

func (h *host) mustBeFree(t *testing.T, workspace string) {
	t.Helper()
	if holder, ok := h.LockHolder(org, workspace); ok {
		t.Errorf("%s is locked by %s %s (%q)", workspace, holder.Kind, holder.Name, holder.Reason)
	}
}
