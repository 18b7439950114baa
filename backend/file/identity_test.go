package file_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tfhaul/backend"
)

// A replacedFile is a file that was read a while ago and then replaced.
type replacedFile struct {
	path string
	old  time.Time
	pin  backend.Version
}

// readLongAgo writes and reads a file, and sets its stamps back by more than a clock tick.
func readLongAgo(t *testing.T) *replacedFile {
	t.Helper()
	f := &replacedFile{path: filepath.Join(t.TempDir(), "a.tfstate"), old: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)}
	f.write(t, f.path, "same")
	_, f.pin = readPinned(t, one(t, f.path))
	f.pin = shifted(t, f.pin, opened, time.Hour)
	return f
}

// Positions of the times in a version's ID.
const (
	modified = 1
	changed  = 3
	opened   = 4
)

// stampOf returns one of the times in a version's ID, in nanoseconds.
func stampOf(t *testing.T, v backend.Version, stamp int) int64 {
	t.Helper()
	ns, err := strconv.ParseInt(strings.Split(v.ID, ".")[stamp], 36, 64)
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// shifted moves one of the times in a version's ID.
func shifted(t *testing.T, v backend.Version, stamp int, by time.Duration) backend.Version {
	t.Helper()
	parts := strings.Split(v.ID, ".")
	parts[stamp] = strconv.FormatInt(stampOf(t, v, stamp)+int64(by), 36)
	v.ID = strings.Join(parts, ".")
	return v
}

func (f *replacedFile) write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, f.old, f.old); err != nil {
		t.Fatal(err)
	}
}

// replace renames another file with the same modification time over it.
func (f *replacedFile) replace(t *testing.T, content string) {
	t.Helper()
	next := f.path + ".next"
	f.write(t, next, content)
	if err := os.Rename(next, f.path); err != nil {
		t.Fatal(err)
	}
}

func TestReplacedFileOfTheSameSizeAndTimeIsNoticed(t *testing.T) {
	var notice *backend.ChangedError
	t.Run("other bytes in another file", func(t *testing.T) {
		f := readLongAgo(t)
		f.replace(t, "SAME")
		if err := one(t, f.path).Check(t.Context(), f.pin); !errors.As(err, &notice) {
			t.Errorf("Check: %v, want a *ChangedError", err)
		}
		if _, _, err := one(t, f.path).Open(t.Context(), &f.pin); !errors.As(err, &notice) {
			t.Errorf("Open: %v, want a *ChangedError", err)
		}
	})
	t.Run("other bytes in the same file", func(t *testing.T) {
		f := readLongAgo(t)
		if stampOf(t, f.pin, changed) == 0 {
			t.Skip("this system has no change time")
		}
		f.pin = shifted(t, f.pin, changed, -time.Minute) // read a minute ago
		f.write(t, f.path, "SAME")
		if err := one(t, f.path).Check(t.Context(), f.pin); !errors.As(err, &notice) {
			t.Errorf("Check: %v, want a *ChangedError", err)
		}
	})
	t.Run("the same bytes in another file, as after restoring a backup", func(t *testing.T) {
		f := readLongAgo(t)
		f.replace(t, "same")
		if err := one(t, f.path).Check(t.Context(), f.pin); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
	t.Run("another file, with unknown MD5", func(t *testing.T) {
		f := readLongAgo(t)
		f.pin.MD5 = ""
		f.replace(t, "same")
		err := one(t, f.path).Check(t.Context(), f.pin)
		if !errors.As(err, &notice) || !strings.Contains(notice.How, "backup") {
			t.Errorf("Check: %v, want a *ChangedError that mentions restoring a backup", err)
		}
	})
	t.Run("unchanged", func(t *testing.T) {
		f := readLongAgo(t)
		f.pin.MD5 = "00000000000000000000000000000000" // a second read would notice
		if err := one(t, f.path).Check(t.Context(), f.pin); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}

func TestPinOfAnOldJournalIsUnderstood(t *testing.T) {
	f := readLongAgo(t)
	// A version without a file identity.
	old := url.Values{"size": {"4"}}
	for name, stamp := range map[string]int{"mod_time": modified, "opened": opened} {
		old.Set(name, time.Unix(0, stampOf(t, f.pin, stamp)).Format(time.RFC3339Nano))
	}
	pin := backend.Version{ID: old.Encode(), MD5: "00000000000000000000000000000000"} // a second read would notice
	f.replace(t, "same")
	if err := one(t, f.path).Check(t.Context(), pin); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestPinSurvivesTheJournal(t *testing.T) {
	f := readLongAgo(t)
	text, err := json.Marshal(f.pin)
	if err != nil {
		t.Fatal(err)
	}
	var read backend.Version
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	read.MD5 = "00000000000000000000000000000000" // a second read would notice
	if err := one(t, f.path).Check(t.Context(), read); err != nil {
		t.Errorf("Check: %v", err)
	}
}
