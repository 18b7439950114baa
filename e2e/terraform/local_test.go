package terraform

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/fixtures/testenv"
	"tfhaul/lockwait"
)

// localFolder creates an initialized configuration with the local backend.
func localFolder(t *testing.T) string {
	t.Helper()
	testenv.NeedFull(t, "runs the real terraform many times")
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("SKIPPED: there is no terraform on PATH, so nothing here was tested with the real one")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(resources), 0o600); err != nil {
		t.Fatal(err)
	}
	mustLocal(t, dir, "init", "-no-color")
	return dir
}

func mustLocal(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := local(t, dir, args...); err != nil {
		t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// A fileMove writes one state to a file, as a move does.
type fileMove struct {
	t      *testing.T
	target backend.Target
	writer backend.Writer
	lease  *lockwait.Lease
	was    *backend.Version
}

func startFileMove(t *testing.T, dir, name string) *fileMove {
	t.Helper()
	target, err := file.Kind(backend.Connection{}).Target.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := target.Look(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	m := &fileMove{t: t, target: target, writer: target.Writer(s, backend.WriterOptions{Reason: "tfhaul moves this state (haul h-7)"})}
	if m.was, err = target.Current(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *fileMove) lock() (err error) {
	m.lease, err = lockwait.Acquire(m.t.Context(), m.writer, lockwait.Options{})
	return err
}

func (m *fileMove) write(text []byte) {
	m.t.Helper()
	sum := md5.Sum(text)
	_, err := m.writer.Write(m.t.Context(), backend.Write{
		Lease: m.lease, Sending: func(context.Context) error { return nil }, Was: m.was, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *fileMove) release() {
	m.t.Helper()
	if err := m.lease.Release(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// Terraform plans no changes with a state that was moved into a file, and it is stopped for
// as long as the move holds the lock, before and after the file was replaced.
func TestTerraformUsesAFileThatWasMoved(t *testing.T) {
	from, to := localFolder(t), localFolder(t)
	mustLocal(t, from, "apply", "-no-color", "-auto-approve", "-var", "size=7")
	state, err := os.ReadFile(filepath.Join(from, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	mustLocal(t, to, "workspace", "new", "prod")
	for workspace, name := range map[string]string{
		"default": "terraform.tfstate", "prod": file.Kind(backend.Connection{}).Target.Layout(to, "terraform.tfstate", "prod"),
	} {
		t.Run(workspace, func(t *testing.T) {
			mustLocal(t, to, "workspace", "select", workspace)
			m := startFileMove(t, to, name)
			if err := m.lock(); err != nil {
				t.Fatal(err)
			}
			wantStopped := func() {
				t.Helper()
				out, err := local(t, to, "apply", "-no-color", "-auto-approve")
				if err == nil || !strings.Contains(out, "Error acquiring the state lock") || !strings.Contains(out, "haul h-7") {
					t.Errorf("terraform is not stopped by our lock: %v\n%s", err, out)
				}
			}
			wantStopped()
			m.write(state)
			wantStopped()
			m.release()
			mustLocal(t, to, "plan", "-no-color", "-detailed-exitcode", "-var", "size=7")
			mustLocal(t, to, "apply", "-no-color", "-auto-approve", "-var", "size=8")
			if holder, err := m.writer.Holder(t.Context(), func(context.Context) error { return nil }); err != nil || holder != (lockwait.Holder{}) {
				t.Errorf("it is locked by %+v, %v", holder, err)
			}
		})
	}
}

// A terraform that waits for the lock has the former file open. It fails after the move,
// instead of writing the result of its apply to a file that has no name any more.
func TestATerraformThatWaitsForAMoveFails(t *testing.T) {
	from, to := localFolder(t), localFolder(t)
	mustLocal(t, from, "apply", "-no-color", "-auto-approve", "-var", "size=7")
	mustLocal(t, to, "apply", "-no-color", "-auto-approve")
	state, err := os.ReadFile(filepath.Join(from, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	m := startFileMove(t, to, "terraform.tfstate")
	if err := m.lock(); err != nil {
		t.Fatal(err)
	}
	waiting := exec.CommandContext(t.Context(), "terraform", "apply", "-no-color", "-auto-approve", "-lock-timeout=5m")
	waiting.Dir = to
	out, err := waiting.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	waiting.Stderr = &errs
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	if line, err := said.ReadString('\n'); err != nil || !strings.Contains(line, "Acquiring state lock") {
		t.Fatalf("terraform does not wait: %q, %v", line, err)
	}
	m.write(state)
	m.release()
	if _, err := io.Copy(io.Discard, said); err != nil {
		t.Fatal(err)
	}
	if err := waiting.Wait(); err == nil || !strings.Contains(errs.String(), "state") {
		t.Errorf("terraform applied to a file that was replaced: %v\n%s", err, errs.String())
	}
	mustLocal(t, to, "plan", "-no-color", "-detailed-exitcode", "-var", "size=7")
}
