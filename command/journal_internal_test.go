package command

import (
	"os"
	"testing"
	"time"
)

// Commands that begin in the same second do not share a journal.
func TestNewJournalsHaveNamesOfTheirOwn(t *testing.T) {
	t.Chdir(t.TempDir())
	now := time.Date(2026, 11, 29, 0, 17, 32, 0, time.UTC)
	for _, want := range []string{"tfhaul-20261129-001732.jsonl", "tfhaul-20261129-001732-2.jsonl", "tfhaul-20261129-001732-3.jsonl"} {
		if got := newJournalName(now); got != want {
			t.Errorf("the journal is called %s, want %s", got, want)
		}
		if err := os.WriteFile(want, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
