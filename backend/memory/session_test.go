package memory_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/memory"
	"tfhaul/fixtures"
	"tfhaul/lockwait"
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

// A lock that ends with its session cannot be taken over, even if it has the haul's reason: its
// session is still there.
func TestSessionLocksAreNotInherited(t *testing.T) {
	source, target := memory.New(), memory.New()
	source.Put("network.tfstate", fixtures.Samples()[0].Bytes())
	listing, err := backend.Kinds{source.Kind()}.Find(t.Context(), "memory://network.tfstate", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	engine := &migrate.Engine{Target: otherSession{sessionTarget{target.Target("")}}, Haul: migrate.NewHaulID()}
	target.ForceLock("network", "tfhaul moves a state here (haul "+engine.Haul+")")
	r := engine.Move(t.Context(), migrate.Move{Object: listing.States[0], Workspace: "network"})
	if r.Outcome == migrate.Moved || strings.Contains(r.Message, "tfhaul unlock") {
		t.Errorf("%s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	if target.LockReason("network") == "" {
		t.Error("the lock was released")
	}
}

// What a target's states are kept in is created only with --create.
func TestTheTargetsTableIsCreated(t *testing.T) {
	for _, create := range []bool{false, true} {
		source, target := memory.New(), &withoutTable{Target: memory.New().Target("")}
		source.Put("network.tfstate", fixtures.Samples()[0].Bytes())
		listing, err := backend.Kinds{source.Kind()}.Find(t.Context(), "memory://network.tfstate", backend.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		engine := &migrate.Engine{Target: target, Haul: migrate.NewHaulID()}
		engine.Create, engine.DryRun = create, true
		if r := engine.Move(t.Context(), migrate.Move{Object: listing.States[0], Workspace: "network"}); target.created || (r.Outcome == migrate.Failed) == create {
			t.Errorf("a dry run with create %v: %s/%s: %s", create, r.Outcome, r.Code, r.Message)
		}
		engine.DryRun = false
		if r := engine.Move(t.Context(), migrate.Move{Object: listing.States[0], Workspace: "network"}); target.created != create || (r.Outcome == migrate.Moved) != create {
			t.Errorf("with create %v: %s/%s: %s", create, r.Outcome, r.Code, r.Message)
		}
	}
}

// A withoutTable is a target that lacks what its states are kept in.
type withoutTable struct {
	backend.Target
	created bool
}

func (w *withoutTable) Look(ctx context.Context, name string) (*backend.Standing, error) {
	if !w.created {
		return nil, &backend.Error{Code: backend.ForbiddenOrMissing, Message: "the table is missing"}
	}
	return w.Target.Look(ctx, name)
}

func (w *withoutTable) CanCreate(context.Context, backend.CreateRequest) (string, error) {
	return "The table would be created.", nil
}

func (w *withoutTable) Create(ctx context.Context, r backend.CreateRequest) (*backend.Standing, bool, error) {
	w.created = true
	s, err := w.Look(ctx, r.Name)
	return s, false, err
}

// An otherSession is a target whose locks belong to another session.
type otherSession struct{ sessionTarget }

func (o otherSession) Writer(s *backend.Standing, options backend.WriterOptions) backend.Writer {
	return strangersLock{o.sessionTarget.Writer(s, options)}
}

type strangersLock struct{ backend.Writer }

func (s strangersLock) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	h, err := s.Writer.Holder(ctx, sending)
	h.Ours, h.Other = false, h != lockwait.Holder{}
	return h, err
}
