package command

import (
	"path/filepath"
	"testing"

	"tfhaul/migrate"
)

// TestRecordInheritsLocks checks that stopping a move or haul that continues a journal
// reports the locks that an earlier run left.
func TestRecordInheritsLocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	earlier, _, err := migrate.OpenJournal(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	const target = "tfe.example.com/acme/net"
	if err := earlier.Append(migrate.Event{Event: migrate.EventLocked, Haul: earlier.Haul(), Target: target}); err != nil {
		t.Fatal(err)
	}
	if err := earlier.Close(); err != nil {
		t.Fatal(err)
	}
	p := &process{held: &heldLocks{}}
	r, err := p.openRecord(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	engine := &migrate.Engine{}
	r.engage(engine)
	if held := p.held.candidates(); len(held) != 1 || held[0].Target != target {
		t.Errorf("held: %+v", held)
	}
	if engine.Journal == nil || engine.Past == nil || engine.Haul != earlier.Haul() {
		t.Errorf("the engine continues %q, not %q", engine.Haul, earlier.Haul())
	}
}
