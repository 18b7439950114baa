package migrate_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/backend"
	"tfhaul/fixtures/testenv"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// settingsBench is a bench whose move creates the workspace "new" with all settings. It fails the
// test if a run could start in it before it holds the state.
func settingsBench(t *testing.T) (*bench, func(*migrate.Move)) {
	b := newBench(t, tfesim.Options{})
	b.snapshot(sweepSnapshot)
	b.workspaceExists("reader")
	b.watchRuns()
	applies, description := true, "a description"
	settings := migrate.Settings{Create: true, CreateOptions: backend.CreateOptions{Tags: []string{"core", "env=prod"}, TerraformVersion: migrate.FromState,
		More: &backend.WorkspaceSettings{AutoApply: &applies, Description: &description, Consumers: []string{"reader"},
			VCS: &backend.Repository{Identifier: "acme/new", OAuthTokenID: "ot-1"}, Variables: []backend.Variable{
				{Key: "region", Category: "terraform", Value: "eu"},
				{Key: "token", Category: "env", Sensitive: true, From: "env:TOKEN", Secret: "planted-secret"},
			}}}}
	b.sim.ResetRequests()
	return b, func(m *migrate.Move) { m.Workspace, m.Own = "new", &settings }
}

// watchRuns checks at every request that no workspace can start runs before it holds its state.
func (b *bench) watchRuns() {
	b.sim.OnRequest(func(q tfesim.Request) {
		if raw, _, _ := b.sim.Current(org, "new"); raw == nil && b.sim.RunsTerraform(org, "new") {
			b.t.Errorf("before %s, the workspace can start runs and has no state", q.Endpoint)
		}
	})
}

// wantSettings fails unless the workspace holds the state and has its settings.
func (b *bench) wantSettings() {
	b.t.Helper()
	if raw, _, _ := b.sim.Current(org, "new"); digest(raw) != digest(sweepSnapshot) {
		b.t.Error("the workspace does not hold the state")
	}
	target := b.engine.Target.(backend.Configurer)
	m := b.move()
	b.settings(&m)
	ws, err := b.engine.Target.Look(b.t.Context(), "new")
	if err != nil {
		b.t.Fatal(err)
	}
	left, err := target.CompareSettings(b.t.Context(), ws, backend.SettingsRequest{Ours: true,
		CreateRequest: backend.CreateRequest{Name: "new", Options: backend.CreateOptions{Tags: m.Own.CreateOptions.Tags, More: m.Own.CreateOptions.More}}})
	if err != nil || len(left) > 0 || !b.sim.RunsTerraform(org, "new") {
		b.t.Errorf("the settings %v are missing (%v)", left, err)
	}
	if h, locked := b.sim.LockHolder(org, "new"); locked {
		b.t.Errorf("the workspace is locked by %s", h.Name)
	}
}

// A process that is killed at any event is resumed, and finishes the settings.
func TestResumeFinishesTheSettings(t *testing.T) {
	for dieAt := 1; ; dieAt++ {
		died := false
		t.Run(fmt.Sprintf("event %d", dieAt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, change := settingsBench(t)
				b.settings = change
				path := filepath.Join(t.TempDir(), "haul.jsonl")
				b.withJournal(path, migrate.UploadAuto)
				m := b.move()
				change(&m)
				died = b.dieAt(dieAt, m)
				b.withJournal(path, migrate.UploadAuto)
				r := b.engine.Move(t.Context(), m)
				if o := r.Outcome; o != migrate.Moved && o != migrate.AlreadyThere {
					t.Errorf("ended in %s: %s", o, r.Message)
				}
				if err := b.engine.Journal.Close(); err != nil {
					t.Fatal(err)
				}
				b.wantSettings()
			})
		})
		if !died {
			break
		}
	}
}

// A fault at any request of a move with settings is reported, unless the move succeeds. The same
// journal finishes it, and no secret is in a result.
func TestFaultsWhileSettingsAreApplied(t *testing.T) {
	requests := 0
	synctest.Test(t, func(t *testing.T) {
		b, change := settingsBench(t)
		b.settings = change
		if r := b.run(change); r.Outcome != migrate.Moved {
			t.Fatalf("%s: %s", r.Outcome, r.Message)
		}
		requests = len(b.sim.Requests())
		b.wantSettings()
	})
	swept := []string{"reset before", "reset after", "401", "403", "404", "409 empty", "422", "500", "503 after", "wrong shape", "empty body"}
	for k := 1; k <= requests; k++ {
		for i, f := range sweepFaults {
			if !slices.Contains(swept, f.name) || !testenv.Full() && (k+i)%3 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s at request %d", f.name, k), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, change := settingsBench(t)
					b.settings = change
					path := filepath.Join(t.TempDir(), "haul.jsonl")
					b.withJournal(path, migrate.UploadAuto)
					m := b.move()
					change(&m)
					fault := f.fault
					fault.Nth = k
					b.sim.Inject(fault)
					r := b.engine.Move(t.Context(), m)
					if r.Outcome == migrate.Moved || r.Outcome == migrate.AlreadyThere {
						b.sim.ClearFaults()
						b.wantSettings()
					}
					if text := fmt.Sprintf("%+v", r); strings.Contains(text, "planted-secret") {
						t.Error("the result has a secret")
					}
					b.sim.ClearFaults()
					if err := b.engine.Journal.Close(); err != nil {
						t.Fatal(err)
					}
					b.withJournal(path, migrate.UploadAuto)
					again := b.engine.Move(t.Context(), m)
					if o := again.Outcome; o != migrate.Moved && o != migrate.AlreadyThere {
						t.Fatalf("first %s (%s), then %s: %s", r.Outcome, r.Message, o, again.Message)
					}
					if err := b.engine.Journal.Close(); err != nil {
						t.Fatal(err)
					}
					b.wantSettings()
				})
			})
		}
	}
}
