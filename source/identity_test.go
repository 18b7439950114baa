package source_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfhaul/source"
)

// A replacedFile is a file that was read a while ago, and what has its place now.
type replacedFile struct {
	path string
	old  time.Time
	pin  source.Pin
}

// readLongAgo writes a file, reads it, and lets its stamps be older than any clock's tick.
func readLongAgo(t *testing.T) *replacedFile {
	t.Helper()
	f := &replacedFile{path: filepath.Join(t.TempDir(), "a.tfstate"), old: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)}
	f.write(t, f.path, "same")
	_, f.pin = readPinned(t, one(t, f.path))
	f.pin.Opened = f.pin.Opened.Add(time.Hour)
	return f
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

// replace puts another file of the same modification time in its place.
func (f *replacedFile) replace(t *testing.T, content string) {
	t.Helper()
	next := f.path + ".next"
	f.write(t, next, content)
	if err := os.Rename(next, f.path); err != nil {
		t.Fatal(err)
	}
}

func TestReplacedFileOfTheSameSizeAndTimeIsNoticed(t *testing.T) {
	var changed *source.ChangedError
	t.Run("other bytes in another file", func(t *testing.T) {
		f := readLongAgo(t)
		f.replace(t, "SAME")
		if err := one(t, f.path).Check(t.Context(), f.pin); !errors.As(err, &changed) {
			t.Errorf("Check: %v, want a *ChangedError", err)
		}
		if _, _, err := one(t, f.path).Open(t.Context(), &f.pin); !errors.As(err, &changed) {
			t.Errorf("Open: %v, want a *ChangedError", err)
		}
	})
	t.Run("other bytes in the same file", func(t *testing.T) {
		f := readLongAgo(t)
		if f.pin.Changed == 0 {
			t.Skip("this system has no change time")
		}
		f.pin.Changed -= int64(time.Minute) // it was read a minute ago
		f.write(t, f.path, "SAME")
		if err := one(t, f.path).Check(t.Context(), f.pin); !errors.As(err, &changed) {
			t.Errorf("Check: %v, want a *ChangedError", err)
		}
	})
	t.Run("the same bytes in another file, as a backup restores them", func(t *testing.T) {
		f := readLongAgo(t)
		f.replace(t, "same")
		if err := one(t, f.path).Check(t.Context(), f.pin); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
	t.Run("another file, and nobody knows the MD5", func(t *testing.T) {
		f := readLongAgo(t)
		f.pin.MD5 = ""
		f.replace(t, "same")
		err := one(t, f.path).Check(t.Context(), f.pin)
		if !errors.As(err, &changed) || !strings.Contains(changed.How, "backup") {
			t.Errorf("Check: %v, want a *ChangedError that names a restored backup", err)
		}
	})
	t.Run("nothing happened", func(t *testing.T) {
		f := readLongAgo(t)
		f.pin.MD5 = "00000000000000000000000000000000" // a second read would notice
		if err := one(t, f.path).Check(t.Context(), f.pin); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}

func TestPinOfAnOlderJournalIsComparedByWhatItHas(t *testing.T) {
	f := readLongAgo(t)
	text, err := json.Marshal(f.pin)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for _, later := range []string{"file", "changed_ns"} {
		delete(fields, later)
	}
	fields["md5"] = "00000000000000000000000000000000" // a second read would notice
	if text, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	var old source.Pin
	if err := json.Unmarshal(text, &old); err != nil {
		t.Fatal(err)
	}
	f.replace(t, "same")
	if err := one(t, f.path).Check(t.Context(), old); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestPinSurvivesTheJournal(t *testing.T) {
	f := readLongAgo(t)
	text, err := json.Marshal(f.pin)
	if err != nil {
		t.Fatal(err)
	}
	var read source.Pin
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	read.MD5 = "00000000000000000000000000000000" // a second read would notice
	if err := one(t, f.path).Check(t.Context(), read); err != nil {
		t.Errorf("Check: %v", err)
	}
}
