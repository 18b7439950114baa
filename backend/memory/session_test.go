package memory_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/memory"
	"tfhaul/fixtures"
	"tfhaul/migrate"
)

// A sessionTarget is a target whose locks end with their connection.
type sessionTarget struct{ backend.Target }

func (s sessionTarget) Traits() backend.Traits {
	traits := s.Target.Traits()
	traits.Locks = backend.LocksSession
	return traits
}

// The journal names only locks that can be released later.
func TestSessionLocksAreNotJournaled(t *testing.T) {
	for _, durable := range []bool{true, false} {
		source, target := memory.New(), memory.New().Target("")
		source.Put("network.tfstate", fixtures.Samples()[0].Bytes())
		listing, err := backend.Kinds{source.Kind()}.Find(t.Context(), "memory://network.tfstate", backend.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "haul.jsonl")
		journal, past, err := migrate.OpenJournal(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if !durable {
			target = sessionTarget{target}
		}
		engine := &migrate.Engine{Target: target, Haul: journal.Haul(), Journal: journal, Past: past}
		if r := engine.Move(t.Context(), migrate.Move{Object: listing.States[0], Workspace: "network"}); r.Outcome != migrate.Moved {
			t.Fatalf("%s: %s", r.Outcome, r.Message)
		}
		if err := journal.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if named := strings.Contains(string(text), `"event":"`+migrate.EventLocking+`"`); named != durable {
			t.Errorf("durable %v: the journal names the lock: %v", durable, named)
		}
	}
}
