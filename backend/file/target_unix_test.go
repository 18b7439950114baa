//go:build linux || darwin

package file

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// The variables make the test binary a process of a haul.
const (
	childVariable = "TFHAUL_TEST_FILE_CHILD"
	lockingChild  = "lock"  // locks the directory's state, and waits
	writingChild  = "write" // writes 1 MiB, with a limit of half of that to every file
)

func TestMain(m *testing.M) {
	if does := os.Getenv(childVariable); does != "" {
		child(does, os.Args[len(os.Args)-1])
		return
	}
	os.Exit(m.Run())
}

func child(does, dir string) {
	target, err := Kind(backend.Connection{}).Target.Open(context.Background(), dir)
	if err == nil {
		err = work(does, target)
	}
	if err != nil {
		_, _ = os.Stdout.WriteString("error: " + err.Error() + "\n") // the parent fails without it
		return
	}
	_, _ = os.Stdout.WriteString("done\n")
	if does == lockingChild {
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent ends it
	}
}

func work(does string, target backend.Target) error {
	ctx := context.Background()
	s, err := target.Look(ctx, "terraform.tfstate")
	if err != nil {
		return err
	}
	m := &move{target: target, name: s.Name, writer: target.Writer(s, backend.WriterOptions{Reason: "a test works here"})}
	if m.lease, err = lockwait.Acquire(ctx, m.writer, lockwait.Options{}); err != nil || does == lockingChild {
		return err
	}
	half := syscall.Rlimit{Cur: 512 << 10, Max: 512 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &half); err != nil {
		return err
	}
	was, err := target.Current(ctx, s)
	if err != nil {
		return err
	}
	_, err = m.writer.Write(ctx, m.payload(was, strings.Repeat("2", 1<<20)))
	if released := m.lease.Release(ctx); released != nil {
		return released
	}
	return err
}

// run starts a child and returns the line that it prints.
func run(t *testing.T, does, dir string) (*exec.Cmd, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, dir)
	c.Env = append(os.Environ(), childVariable+"="+does)
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()         // its exit code means nothing
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return c, strings.TrimSpace(line)
}

func TestALockAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "terraform.tfstate"), "1")
	other, line := run(t, lockingChild, dir)
	if line != "done" {
		t.Fatal(line)
	}
	m := start(t, dir)
	inherited := m.target.Writer(m.look(), backend.WriterOptions{Reason: "a test works here", Inherited: true})
	if err := m.lock(); err == nil {
		t.Fatal("two processes hold the lock")
	}
	if holder, err := inherited.Holder(t.Context(), func(context.Context) error { return nil }); err != nil || holder.Ours {
		t.Errorf("an heir of a process that still runs sees %+v, %v", holder, err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // killed

	// The description stays. It stops other hauls, and ours goes on.
	put(t, filepath.Join(dir, ".terraform.tfstate"+partExt), "half")
	put(t, filepath.Join(dir, ".terraform.tfstate"+backupExt+partExt), "half")
	if err := m.lock(); err == nil {
		t.Fatal("the lock of another haul that was killed is ignored")
	}
	if s := m.look(); !s.Locked || s.Holder.Reason != "a test works here" {
		t.Errorf("it is said to be locked: %+v", s)
	}
	m.writer = inherited
	m.lease = lockwait.Resume(inherited, nil, lockwait.Instant{})
	if err := m.lease.Ensure(t.Context(), lockwait.MaxAge); err != nil {
		t.Fatal(err)
	}
	if err := m.write("2"); err != nil {
		t.Fatal(err)
	}
	m.release()
	wantFiles(t, dir, map[string]string{"terraform.tfstate": "2", "terraform.tfstate.backup": "1"})
}

func TestAFullDiskLeavesTheFile(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "terraform.tfstate"), "1")
	_, line := run(t, writingChild, dir)
	if !strings.HasPrefix(line, "error: cannot write") || !strings.Contains(line, "free some space") {
		t.Error(line)
	}
	wantFiles(t, dir, map[string]string{"terraform.tfstate": "1"})
}

func TestAReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "terraform.tfstate")
	put(t, path, "1")
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // for the removal
	if probe, err := os.Create(filepath.Join(dir, "probe")); err == nil {
		_ = probe.Close() // not needed
		t.Skip("NOT TESTED: this user may write into read-only directories")
	}
	err := start(t, dir).lock()
	if backend.CodeOf(err) != backend.AccessDenied || !strings.Contains(err.Error(), "permission to read and write the file, and to create files in its directory") {
		t.Errorf("%v", err)
	}
}

func TestTheOwnerOfAReplacedFile(t *testing.T) {
	const nobody = 65534
	dir := t.TempDir()
	path := filepath.Join(dir, "terraform.tfstate")
	put(t, path, "1")
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Skipf("NOT TESTED: this user cannot give files away: %v", err)
	}
	start(t, dir).replaceWith("2")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Uid != nobody || stat.Gid != nobody {
		t.Errorf("it belongs to %d:%d", stat.Uid, stat.Gid)
	}
	wantFiles(t, dir, map[string]string{"terraform.tfstate": "2", "terraform.tfstate.backup": "1"})
}

// A file that a killed process has left is removed, and one that is being written is not.
func TestObjectsLeftByKilledProcessesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "v.tfstate")
	held, err := createPart(at)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".v.tfstate.1234" + partExt, ".other.tfstate.1234" + partExt, ".v.tfstate.mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	place := &target{dir}
	for _, text := range []string{"{}", "{ }"} {
		was, err := current(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		sum := md5.Sum([]byte(text))
		_, err = place.PutObject(t.Context(), "v.tfstate", backend.Object{Was: was, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)),
			Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
		if err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{".other.tfstate.1234" + partExt, filepath.Base(held.Name()), ".v.tfstate.mine", "v.tfstate"}
	slices.Sort(want)
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("the directory has %q, %v; want %q", names, err, want)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
}
