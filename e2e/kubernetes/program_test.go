package kubernetes_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tfhaul/tfesim"
)

// haulOrg is the organization of the embedded server.
const haulOrg = "acme"

// built is where the program is, once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tfhaul-e2e-kubernetes-program-")
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

// program builds tfhaul from the main module.
func program(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A run is what the program printed and how it ended.
type run struct {
	stdout, stderr string
	code           int
}

// tfhaul runs the program in a directory with these variables.
func tfhaul(t testing.TB, dir string, environment []string, args ...string) run {
	t.Helper()
	cmd := command(t, dir, environment, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return run{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func command(t testing.TB, dir string, environment []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), program(t), args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "HOME="+dir, "NO_COLOR=1"), environment...)
	return cmd
}

// want fails the test unless the program ended with this exit code.
func (r run) want(t testing.TB, code int) run {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\n%s\n%s", r.code, code, r.stdout, r.stderr)
	}
	return r
}

// has fails the test unless the program printed all of these texts.
func (r run) has(t testing.TB, texts ...string) run {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("tfhaul does not print %q:\n%s\n%s", text, r.stdout, r.stderr)
		}
	}
	return r
}

// startTFE starts the embedded server and returns the environment for its clients.
func startTFE(t testing.TB) (*tfesim.Server, []string) {
	t.Helper()
	sim, err := tfesim.New(tfesim.Options{Organizations: []string{haulOrg}, RateLimit: 1000})
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
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, running.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return sim, []string{"TFE_ADDRESS=" + running.URL(), "TFE_TOKEN=" + sim.Token(tfesim.Owner), "TFHAUL_CA_FILE=" + authority}
}
