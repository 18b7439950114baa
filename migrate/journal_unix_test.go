//go:build unix

package migrate_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tfhaul/migrate"
)

// A pipe would be waited for, and a device keeps nothing.
func TestOnlyRegularFilesAreJournals(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/null"} {
		if _, _, err := migrate.OpenJournal(t.Context(), path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: got %v", path, err)
		}
	}
}
