package file

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/lockwait"
)

func TestFilesAreTargets(t *testing.T) {
	dir := t.TempDir()
	backendtest.Role(t, Kind(backend.Connection{}), filepath.Join(dir, "net", "terraform.tfstate"), dir+"/")
	t.Run("in a new directory", func(t *testing.T) {
		backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
			return openTarget(t, t.TempDir()), "network/prod/terraform.tfstate"
		})
	})
	t.Run("behind a symbolic link", func(t *testing.T) {
		backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "shared.tfstate"), "")
			symlink(t, "shared.tfstate", filepath.Join(dir, "terraform.tfstate"))
			return openTarget(t, dir), "terraform.tfstate"
		})
	})
}

func TestDirectoryHoldsCopies(t *testing.T) {
	backendtest.Objects(t, func(t *testing.T) backend.Objects { return openTarget(t, t.TempDir()).(backend.Objects) })
}

func TestAddressesOfTargetFiles(t *testing.T) {
	role := Kind(backend.Connection{}).Target
	for address, want := range map[string]bool{
		"./a.tfstate": true, "../a.tfstate": true, "/a": true, ".": true, "..": true,
		"a.tfstate": false, "acme/net": false, ".hidden/net": false, "s3://b/k": false, "": false,
	} {
		if role.Claims(address) != want {
			t.Errorf("%q is claimed: %t, want %t", address, !want, want)
		}
	}
	for _, address := range []string{"./net/", "/", "."} {
		if _, _, err := role.SplitState(address); err == nil || !strings.Contains(err.Error(), "names a directory") {
			t.Errorf("%q: %v", address, err)
		}
	}
	for name, want := range map[string]string{
		"": "a relative path", "a/": "a relative path", "../a": "a relative path", "/a": "a relative path", "a//b": "a relative path", "./a": "a relative path", "a\x00": "a relative path",
		"net/.a.tfstate.lock.info": "locks and backups", "a.backup": "locks and backups", "a.backup.20260102T150405Z": "locks and backups", ".a.tfhaul-part": "locks and backups",
		strings.Repeat("n", 221): "at most 220",
	} {
		if err := role.CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	for workspace, want := range map[string]string{
		"": "net/my.tfstate", "default": "net/my.tfstate", "prod": "net/terraform.tfstate.d/prod/terraform.tfstate",
	} {
		if got := role.Layout(".", "net/my.tfstate", workspace); got != want {
			t.Errorf("workspace %q is at %s, want %s", workspace, got, want)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "1")
	if err := role.CheckContainer(file); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("a file as a directory: %v", err)
	}
}

func TestOneAddressForOneFile(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "a.tfstate"), "1")
	symlink(t, "a.tfstate", filepath.Join(dir, "link.tfstate"))
	symlink(t, ".", filepath.Join(dir, "here"))
	t.Chdir(dir)
	kind := Kind(backend.Connection{})
	for address, want := range map[string]string{
		"./a.tfstate": "a.tfstate", "link.tfstate": "a.tfstate", "here/here/./a.tfstate": "a.tfstate", "here/new/b.tfstate": "new/b.tfstate",
	} {
		if got := kind.Canonical(address); got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func openTarget(t *testing.T, dir string) backend.Target {
	t.Helper()
	target, err := Kind(backend.Connection{}).Target.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Skipf("NOT TESTED: symbolic links cannot be created here: %v", err)
	}
}

// A move is one use of a target, as package migrate makes it.
type move struct {
	t      *testing.T
	target backend.Target
	name   string
	writer backend.Writer
	lease  *lockwait.Lease
}

func start(t *testing.T, dir string) *move {
	t.Helper()
	m := &move{t: t, target: openTarget(t, dir), name: "terraform.tfstate"}
	m.writer = m.target.Writer(m.look(), backend.WriterOptions{Reason: "a test works here"})
	return m
}

func (m *move) look() *backend.Standing {
	m.t.Helper()
	s, err := m.target.Look(m.t.Context(), m.name)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *move) lock() error {
	lease, err := lockwait.Acquire(m.t.Context(), m.writer, lockwait.Options{})
	m.lease = lease
	return err
}

func (m *move) write(text string) error {
	m.t.Helper()
	was, err := m.target.Current(m.t.Context(), m.look())
	if err != nil {
		m.t.Fatal(err)
	}
	_, err = m.writer.Write(m.t.Context(), m.payload(was, text))
	return err
}

func (m *move) payload(was *backend.Version, text string) backend.Write {
	sum := md5.Sum([]byte(text))
	return backend.Write{
		Lease: m.lease, Sending: func(context.Context) error { return nil }, Was: was, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(text))), nil },
	}
}

func (m *move) release() {
	m.t.Helper()
	if err := m.lease.Release(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// replaceWith makes a whole move.
func (m *move) replaceWith(text string) {
	m.t.Helper()
	if err := errors.Join(m.lock(), m.write(text)); err != nil {
		m.t.Fatal(err)
	}
	m.release()
}

// wantFiles checks the names and contents of all files in a directory. A name that ends in *
// stands for a longer one.
func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for name, content := range want {
			prefix, open := strings.CutSuffix(name, "*")
			if name == e.Name() || open && strings.HasPrefix(e.Name(), prefix) {
				found = found || content == string(text)
			}
		}
		if !found {
			t.Errorf("unexpected file %s, or content %q", e.Name(), text)
		}
	}
	if len(entries) != len(want) {
		t.Errorf("the directory has %q, want %d files", names, len(want))
	}
}

func TestBackupsOfReplacedFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "terraform.tfstate")
	put(t, path, "1")
	if err := os.Chmod(path, 0o644); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	put(t, path+".backup", "0")
	m := start(t, dir)
	m.replaceWith("2")
	wantFiles(t, dir, map[string]string{"terraform.tfstate": "2", "terraform.tfstate.backup": "1", "terraform.tfstate.backup.2*": "0"})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if notes := m.writer.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "from 0644") {
		t.Errorf("notes %q", notes)
	}

	start(t, dir).replaceWith("3")
	names, err := filepath.Glob(path + ".backup.2*")
	if err != nil || len(names) != 2 {
		t.Fatalf("older backups: %q, %v", names, err)
	}
	var kept []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, string(text))
	}
	if slices.Sort(kept); !slices.Equal(kept, []string{"0", "1"}) {
		t.Errorf("older backups hold %q", kept)
	}
}

func TestAnEmptyFileIsNoState(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "terraform.tfstate"), "")
	m := start(t, dir)
	if id := m.look().Current.ID; id != "" {
		t.Errorf("it is said to hold %s", id)
	}
	m.replaceWith("1")
	wantFiles(t, dir, map[string]string{"terraform.tfstate": "1"})
}

func TestALockLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	m := start(t, dir)
	if err := m.lock(); err != nil {
		t.Fatal(err)
	}
	m.release()
	wantFiles(t, dir, nil)
}

func TestUnusableTargetFiles(t *testing.T) {
	t.Run("a link to nothing", func(t *testing.T) {
		dir := t.TempDir()
		symlink(t, "missing", filepath.Join(dir, "terraform.tfstate"))
		if err := start(t, dir).lock(); err == nil || !strings.Contains(err.Error(), "a symbolic link to a file that does not exist") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a directory", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "terraform.tfstate"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := openTarget(t, dir).Look(t.Context(), "terraform.tfstate"); err == nil || !strings.Contains(err.Error(), "it is a directory") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a file as a directory", func(t *testing.T) {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "net"), "1")
		target := openTarget(t, dir)
		w := target.Writer(&backend.Standing{ID: target.Address("net/a.tfstate"), Name: "net/a.tfstate"}, backend.WriterOptions{Reason: "r"})
		if err := w.Lock(t.Context(), func(context.Context) error { return nil }); err == nil || !strings.Contains(err.Error(), "is not a directory") {
			t.Errorf("%v", err)
		}
	})
}

// Another program that writes without a lock is noticed, and its bytes are kept.
func TestAFileThatChangedIsNotReplaced(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"written": func(path string) error { return os.WriteFile(path, []byte("theirs"), 0o600) },
		"removed": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("theirs"), 0o600), os.Rename(path+".new", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "terraform.tfstate")
			put(t, path, "1")
			m := start(t, dir)
			if err := m.lock(); err != nil {
				t.Fatal(err)
			}
			was, err := m.target.Current(t.Context(), m.look())
			if err != nil {
				t.Fatal(err)
			}
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			if _, err := m.writer.Write(t.Context(), m.payload(was, "2")); backend.CodeOf(err) != backend.Changed {
				t.Errorf("error %v, want the code %s", err, backend.Changed)
			}
			m.release()
			want := map[string]string{"terraform.tfstate": "theirs"}
			if name == "removed" {
				want = map[string]string{}
			}
			wantFiles(t, dir, want)
		})
	}
}

func TestASourceThatFailsLeavesTheFile(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "terraform.tfstate"), "1")
	m := start(t, dir)
	if err := m.lock(); err != nil {
		t.Fatal(err)
	}
	p := m.payload(nil, "2")
	p.Open = func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("2"), &failing{})), nil
	}
	_, err := m.writer.Write(t.Context(), p)
	if source, ok := errors.AsType[*backend.SourceError](err); !ok || source.Changed {
		t.Errorf("error %v", err)
	}
	m.release()
	wantFiles(t, dir, map[string]string{"terraform.tfstate": "1"})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("the connection broke") }
