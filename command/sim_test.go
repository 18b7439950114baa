package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/command"
)

// A file that sim did not write is a usage error, and stays as it is.
func TestSimLeavesForeignEnvFileAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "profile")
	const content = "alias ll='ls -l'\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := command.Run(t.Context(), []string{"tfhaul", "sim", "--env-file", file}, nil, &stdout, &stderr, nil)
	if code != 4 || !strings.Contains(stderr.String(), "was not written by tfhaul sim") {
		t.Errorf("exit code %d, want 4: %s", code, stderr.String())
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != content {
		t.Errorf("the file was changed: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("%d files are there, want 1: %v", len(entries), err)
	}
}
