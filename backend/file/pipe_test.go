//go:build unix

package file_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"tfhaul/backend"
)

func TestOnlyNamedPipesAreOpened(t *testing.T) {
	root := t.TempDir()
	write(t, root, files("a.tfstate"))
	pipe := filepath.Join(root, "pipe.tfstate")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(root, "link-to-pipe.tfstate")
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	listing, err := kinds.Find(t.Context(), root, backend.Filter{}) // would block forever if it opened the pipe
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, root, listing, "a.tfstate")
	wantSkips(t, root, listing, map[string]string{"pipe.tfstate": backend.SkipNotRegular, "link-to-pipe.tfstate": backend.SkipNotRegular})

	// As with the shell's <(terraform state pull).
	written := make(chan error)
	go func() { written <- os.WriteFile(pipe, []byte("through the pipe"), 0o600) }()
	o := one(t, pipe)
	for range 2 {
		if got, _ := readPinned(t, o); string(got) != "through the pipe" {
			t.Errorf("read %d bytes, want what was written", len(got))
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}

	if _, err := kinds.Find(t.Context(), "/dev/null", backend.Filter{}); err != nil {
		t.Errorf("a character device: %v", err)
	}
}
