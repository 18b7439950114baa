package memory_test

import (
	"context"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/backend/memory"
	"tfhaul/fixtures"
	"tfhaul/migrate"
)

func TestMemoryIsASource(t *testing.T) {
	store := memory.New()
	dirs := 0
	backendtest.Suite(t, store.Kind(), func(_ *testing.T, files map[string][]byte) (string, func(string, []byte)) {
		dirs++
		dir := string(rune('a'+dirs/26)) + string(rune('a'+dirs%26)) + "/"
		for name, text := range files {
			store.Put(dir+name, append([]byte{}, text...))
		}
		return memory.Scheme + "://" + dir, func(name string, text []byte) { store.Put(dir+name, text) }
	})
}

func TestMemoryIsATarget(t *testing.T) {
	backendtest.Target(t, func(*testing.T) (backend.Target, string) { return memory.New().Target(""), "network" })
}

func TestMemoryAddressesAsTargets(t *testing.T) {
	backendtest.Role(t, memory.New().Kind(), "memory://live/network.tfstate", "memory://live/")
}

// The engine moves states between backends of a kind unknown to it.
func TestAStateMovesFromMemoryToMemory(t *testing.T) {
	source, target := memory.New(), memory.New()
	text := fixtures.Samples()[0].Bytes()
	source.Put("network.tfstate", text)
	listing, err := backend.Kinds{source.Kind()}.Find(t.Context(), "memory://network.tfstate", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	engine := &migrate.Engine{Target: target.Target(""), Haul: migrate.NewHaulID()}
	move := migrate.Move{Object: listing.States[0], Workspace: "network"}
	for _, want := range []migrate.Outcome{migrate.Moved, migrate.AlreadyThere} {
		if r := engine.Move(t.Context(), move); r.Outcome != want || r.Locked {
			t.Fatalf("%s/%s, want %s: %s", r.Outcome, r.Code, want, r.Message)
		}
	}
	backendtest.WantBytes(t, target.Target(""), "network", text)
	if s, err := target.Target("").Look(context.Background(), "network"); err != nil || s.Locked {
		t.Errorf("%+v, %v: want it unlocked", s, err)
	}
}
