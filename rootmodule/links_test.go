package rootmodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Two configurations with links to one file cannot have different blocks in it.
func TestASharedFileKeepsItsBlockIfTheNewOnesDiffer(t *testing.T) {
	t.Parallel()
	e := &edits{path: "main.tf", src: []byte("terraform {\n  backend \"local\" {}\n}\n")}
	e.replace(14, 30, "cloud {}")
	e.replace(14, 30, "cloud {}")
	if e.err != nil {
		t.Errorf("the same replacement twice: %v", e.err)
	}
	e.replace(14, 30, "backend \"s3\" {}")
	if e.err == nil || !strings.Contains(e.err.Error(), "share this file") {
		t.Errorf("another replacement of the same block: %v", e.err)
	}
}

// A hook of Git sets GIT_DIR to its own repository.
func TestAHooksRepositoryIsNotUsed(t *testing.T) {
	repository, hooks := t.TempDir(), t.TempDir()
	ctx := t.Context()
	for _, dir := range []string{repository, hooks} {
		if _, err := (git{dir: dir}).run(ctx, nil, "init", "-q"); err != nil {
			t.Skip("SKIPPED: there is no git: ", err)
		}
	}
	t.Setenv("GIT_DIR", filepath.Join(hooks, ".git"))
	top, err := git{dir: repository}.run(ctx, nil, "rev-parse", "--absolute-git-dir")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.Stat(filepath.Join(repository, ".git"))
	if got, err := os.Stat(top); err != nil || !os.SameFile(got, want) {
		t.Errorf("Git uses %s: %v", top, err)
	}
}
