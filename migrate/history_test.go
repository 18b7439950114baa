package migrate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/fixtures/testenv"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A pastSource is a source in memory that keeps older versions, oldest first.
type pastSource struct {
	name     string
	versions [][]byte
	gone     map[int]bool // whose bytes are lost
	opened   int
}

func (p *pastSource) Address() string                               { return "past://" + p.name }
func (p *pastSource) Place() backend.Place                          { return backend.Place{Workspace: p.name, Key: p.name} }
func (p *pastSource) Traits() backend.Traits                        { return backend.Traits{Versions: true} }
func (p *pastSource) Holder(context.Context) (*backend.Lock, error) { return nil, nil }
func (p *pastSource) Check(_ context.Context, v backend.Version) error {
	if now := p.version(len(p.versions) - 1); v.ID != now.ID {
		return &backend.ChangedError{Address: p.Address(), How: "another version"}
	}
	return nil
}

func (p *pastSource) version(i int) backend.Version {
	return backend.Version{
		ID: fmt.Sprintf("v%03d", i), Size: int64(len(p.versions[i])), Kept: true, Gone: p.gone[i],
		Created: time.Date(2025, 1, 1, 0, i, 0, 0, time.UTC), Author: "user-7", Run: fmt.Sprintf("run-%d", i),
	}
}

func (p *pastSource) Open(_ context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	p.opened++
	i := len(p.versions) - 1
	if v != nil {
		if _, err := fmt.Sscanf(v.ID, "v%d", &i); err != nil {
			return nil, backend.Version{}, err
		}
	}
	return io.NopCloser(bytes.NewReader(p.versions[i])), p.version(i), nil
}

func (p *pastSource) Versions(context.Context) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		for i := range slices.Backward(p.versions) {
			if v := p.version(i); !yield(&v, nil) {
				return
			}
		}
	}
}

// past makes a source with n versions. Their serials have gaps, as real ones do.
func past(name string, n int) *pastSource {
	p := &pastSource{name: name}
	for i := range n {
		p.versions = append(p.versions, state(int64(3+2*i), lineage, uint64(i)))
	}
	return p
}

// stored returns a workspace's versions, oldest first, without those whose bytes never came.
func (b *bench) stored(name string) []tfesim.Version {
	return slices.DeleteFunc(b.sim.Versions(org, name), func(v tfesim.Version) bool { return v.Size == 0 })
}

// wantHistory fails unless a workspace has these versions, oldest first, and no lock.
func (b *bench) wantHistory(name string, want [][]byte) {
	b.t.Helper()
	have := b.stored(name)
	if len(have) != len(want) {
		b.t.Errorf("%s has %d versions, want %d", name, len(have), len(want))
		return
	}
	for i, v := range have {
		if v.MD5 != digest(want[i]) || v.Lineage != lineage {
			b.t.Errorf("version %d of %s has other bytes (serial %d)", i, name, v.Serial)
		}
	}
	if held, _, _ := b.sim.Current(org, name); digest(held) != digest(want[len(want)-1]) {
		b.t.Errorf("the current state of %s is not the newest version", name)
	}
	if locked := b.sim.Locked(org); len(locked) > 0 {
		b.t.Errorf("%q are locked", locked)
	}
}

var bothServers = []tfesim.Personality{tfesim.TFE, tfesim.HCP}

// All versions arrive in order, and the journal and the result have what cannot be recreated.
func TestHistoryArrivesInOrder(t *testing.T) {
	for _, server := range bothServers {
		for _, n := range []int{backend.AllVersions, 1, 3, 99} {
			t.Run(fmt.Sprintf("%s/%d", server, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{Personality: server})
					b.engine.History, b.engine.BackupDir = n, t.TempDir()
					source := past(workspace, 7)
					r := b.engine.Move(t.Context(), migrate.Move{Object: source, Workspace: workspace})
					want(t, r, migrate.Moved, migrate.Fresh, "")
					if n == backend.AllVersions || n == 99 {
						n = 7
					}
					b.wantHistory(workspace, source.versions[7-n:])
					if n == 1 {
						return
					}
					h := r.History
					if h == nil || h.Moved != n-1 || h.Versions != n-1 || len(h.Carried) != n-1 {
						t.Fatalf("the result has %+v", h)
					}
					c := h.Carried[0]
					if c.SourceID != fmt.Sprintf("v%03d", 7-n) || c.Author != "user-7" || c.Run == "" || c.Created.IsZero() || c.ID == "" {
						t.Errorf("the first older version is recorded as %+v", c)
					}
				})
			})
		}
	}
}

// A history that cannot be moved in order is refused before anything is written, and the message
// names how many versions can be moved.
func TestHistoryIsRefusedBeforeTheFirstWrite(t *testing.T) {
	cases := map[string]struct {
		change func(*pastSource)
		says   string
	}{
		"serials fall":        {func(p *pastSource) { p.versions[2] = state(40, lineage, 2) }, "lower serial"},
		"a serial repeats":    {func(p *pastSource) { p.versions[2] = state(9, lineage, 2) }, "same serial"},
		"another lineage":     {func(p *pastSource) { p.versions[2] = state(7, foreign, 2) }, "lineage"},
		"not a state":         {func(p *pastSource) { p.versions[2] = []byte("hello") }, "v002"},
		"the bytes were lost": {func(p *pastSource) { p.gone = map[int]bool{2: true, 1: true} }, "no longer has its bytes"},
		"encrypted": {func(p *pastSource) {
			p.versions[2] = []byte(`{"serial":7,"lineage":"x","encrypted_data":"e","encryption_version":"v0","meta":{}}`)
		}, "v002"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.engine.History, b.engine.Create = backend.AllVersions, true
				source := past("new", 7)
				c.change(source)
				m := migrate.Move{Object: source, Workspace: "new"}
				r := b.engine.Move(t.Context(), m)
				if r.Outcome != migrate.Refused || r.Code != migrate.CodeNoHistory || !strings.Contains(r.Message, c.says) || !strings.Contains(r.Message, "--history 4") {
					t.Errorf("got %s/%s: %s", r.Outcome, r.Code, r.Message)
				}
				if slices.Contains(b.sim.Workspaces(org), "new") {
					t.Error("the workspace was created")
				}
				b.engine.History = 4
				want(t, b.engine.Move(t.Context(), m), migrate.Moved, migrate.Fresh, "")
				b.wantHistory("new", source.versions[3:])
			})
		})
	}
}

// A version that repeats the next one is moved once.
func TestRepeatedVersionsAreMovedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		b.engine.History = backend.AllVersions
		source := past(workspace, 4)
		whole := source.versions
		source.versions = [][]byte{whole[0], whole[0], whole[1], whole[2], whole[2], whole[3], whole[3]}
		want(t, b.engine.Move(t.Context(), migrate.Move{Object: source, Workspace: workspace}), migrate.Moved, migrate.Fresh, "")
		b.wantHistory(workspace, whole)
	})
}

// Older versions go only into empty workspaces in which no run would use them.
func TestHistoryNeedsAnEmptyWorkspace(t *testing.T) {
	cases := map[string]struct {
		prepare func(*testing.T, *bench)
		says    string
	}{
		"a state": {func(t *testing.T, b *bench) { b.holds(state(1, lineage, 9)) }, "already holds a state"},
		"automatic apply": {func(t *testing.T, b *bench) {
			if err := b.sim.SetAutoApply(org, workspace, true); err != nil {
				t.Fatal(err)
			}
		}, "applies its runs automatically"},
		"a VCS repository": {func(t *testing.T, b *bench) {
			if err := b.sim.SetVCSRepository(org, workspace, "acme/network"); err != nil {
				t.Fatal(err)
			}
		}, "VCS repository"},
		"a run trigger": {func(t *testing.T, b *bench) {
			if err := b.sim.AddRunTrigger(org, workspace, "other"); err != nil {
				t.Fatal(err)
			}
		}, "run trigger"},
	}
	for name, c := range cases {
		for _, dry := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/dry %v", name, dry), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{})
					b.workspaceExists("other")
					b.engine.History, b.engine.DryRun = backend.AllVersions, dry
					c.prepare(t, b)
					before := len(b.sim.Versions(org, workspace))
					r := b.engine.Move(t.Context(), migrate.Move{Object: past(workspace, 3), Workspace: workspace})
					if r.Outcome != migrate.Refused || r.Code != migrate.CodeNoHistory || !strings.Contains(r.Message, c.says) {
						t.Errorf("got %s/%s: %s", r.Outcome, r.Code, r.Message)
					}
					if n := len(b.sim.Versions(org, workspace)); n != before {
						t.Errorf("%d versions were written", n-before)
					}
				})
			})
		}
	}
}

// A write or a run between two older versions stops the move, and nothing is overwritten.
func TestHistoryStopsAtForeignChanges(t *testing.T) {
	cases := map[string]func(*testing.T, *bench){
		"a write":       func(t *testing.T, b *bench) { b.holds(state(6, lineage, 77)) },
		"a later write": func(t *testing.T, b *bench) { b.holds(state(99, lineage, 77)) },
		"an automatic apply": func(t *testing.T, b *bench) {
			if err := b.sim.SetAutoApply(org, workspace, true); err != nil {
				t.Error(err)
			}
		},
		"a queued run": func(t *testing.T, b *bench) { b.startRun(false) },
	}
	for _, server := range bothServers {
		for name, change := range cases {
			for after := 1; after <= 3; after++ {
				t.Run(fmt.Sprintf("%s/%s after version %d", server, name, after), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := newBench(t, tfesim.Options{Personality: server})
						b.engine.History = backend.AllVersions
						carried := 0
						b.engine.Observe = func(e migrate.Event) {
							if e.Event == migrate.EventCarried {
								if carried++; carried == after {
									change(t, b)
								}
							}
						}
						source := past(workspace, 4)
						r := b.engine.Move(t.Context(), migrate.Move{Object: source, Workspace: workspace})
						if r.Outcome != migrate.Refused || r.Code != migrate.CodeTargetChanged {
							t.Errorf("got %s/%s: %s", r.Outcome, r.Code, r.Message)
						}
						if r.History == nil || r.History.Moved != after {
							t.Errorf("the result has %+v", r.History)
						}
						wrote := 0
						for _, v := range b.stored(workspace) {
							if slices.ContainsFunc(source.versions, func(raw []byte) bool { return digest(raw) == v.MD5 }) {
								wrote++
							}
						}
						if wrote != after {
							t.Errorf("%d of the source's versions are there, want %d", wrote, after)
						}
						b.wantUnlocked()
					})
				})
			}
		}
	}
}

// The next run continues a move whose process died before any event of its journal: every
// version is there once, in order.
func TestHistoryResumesAfterDeath(t *testing.T) {
	for _, server := range bothServers {
		for dieAt := 1; ; dieAt++ {
			died := true
			if !testenv.Full() && dieAt%3 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/event %d", server, dieAt), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{Personality: server})
					source := past("new", 4)
					m := migrate.Move{Object: source, Workspace: "new"}
					path := filepath.Join(t.TempDir(), "haul.jsonl")
					resume := func() {
						b.withJournal(path, migrate.UploadAuto)
						b.engine.History, b.engine.Create = backend.AllVersions, true
					}
					resume()
					died = b.dieAt(dieAt, m)
					for range 2 {
						resume()
						r := b.engine.Move(t.Context(), m)
						if r.Outcome != migrate.Moved && r.Outcome != migrate.AlreadyThere {
							t.Errorf("the next run ended in %s/%s: %s %q", r.Outcome, r.Code, r.Message, r.Notes)
						}
						if err := b.engine.Journal.Close(); err != nil {
							t.Fatal(err)
						}
						b.wantHistory("new", source.versions)
					}
					if h := readLedger(t, path).Results()[0].History; h == nil || len(h.Carried) != 3 {
						t.Errorf("the journal records %+v", h)
					}
				})
			})
			if !died {
				break
			}
		}
	}
}

// Every fault at every request of a move with older versions: what is there is always the
// beginning of the history, the report is true, and the same journal completes it.
func TestHistoryFaultSweep(t *testing.T) {
	cases := 0
	for _, server := range bothServers {
		requests := 0
		synctest.Test(t, func(t *testing.T) {
			b, m, _ := historyBench(t, server)
			b.engine.Move(t.Context(), m)
			requests = len(b.sim.Requests())
		})
		for k := 1; k <= requests; k++ {
			for i, f := range sweepFaults {
				if f.refuse || !testenv.Full() && (k*3+i)%11 != 0 {
					continue
				}
				cases++
				t.Run(fmt.Sprintf("%s/%s at request %d", server, f.name, k), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { sweepHistory(t, server, f, k) })
				})
			}
		}
	}
	t.Logf("%d faults were swept", cases)
	if cases < 50 {
		t.Errorf("only %d cases ran", cases)
	}
}

func historyBench(t *testing.T, server tfesim.Personality) (*bench, migrate.Move, *pastSource) {
	b := newBench(t, tfesim.Options{Personality: server})
	b.engine.History = backend.AllVersions
	source := past(workspace, 3)
	b.sim.ResetRequests()
	return b, migrate.Move{Object: source, Workspace: workspace}, source
}

func sweepHistory(t *testing.T, server tfesim.Personality, f sweepFault, k int) {
	b, m, source := historyBench(t, server)
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	b.withJournal(path, migrate.UploadAuto)
	fault := f.fault
	fault.Nth = k
	b.sim.Inject(fault)
	r := b.engine.Move(t.Context(), m)
	b.sim.ClearFaults()
	log := b.sim.Requests()
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	have := b.stored(workspace)
	for i, v := range have {
		if i >= len(source.versions) || v.MD5 != digest(source.versions[i]) {
			t.Errorf("version %d of the target is not the source's", i)
		}
	}
	moved := r.Outcome == migrate.Moved || r.Outcome == migrate.AlreadyThere
	if moved && len(have) != len(source.versions) {
		t.Errorf("success was reported although the target has %d versions", len(have))
	}
	if _, locked := b.sim.LockHolder(org, workspace); locked && !r.Locked {
		t.Error("a lock was left and not reported")
	}
	b.withJournal(path, migrate.UploadAuto)
	again := b.engine.Move(t.Context(), m)
	if again.Outcome != migrate.Moved && again.Outcome != migrate.AlreadyThere {
		t.Errorf("the next run ended in %s/%s: %s", again.Outcome, again.Code, again.Message)
	}
	b.wantHistory(workspace, source.versions)
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		t.Logf("the first run ended in %s/%s: %s %q", r.Outcome, r.Code, r.Message, r.Notes)
		for _, q := range log {
			t.Logf("  %s → %d", q.Endpoint, q.Status)
		}
	}
}

// A haul of 200 workspaces takes as many calls as its plan predicts.
func TestHistoryOfAHaulCostsWhatThePlanPredicts(t *testing.T) {
	for _, server := range bothServers {
		t.Run(server.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n, versions = 200, 6
				b := newBench(t, tfesim.Options{Personality: server})
				b.engine.History = backend.AllVersions
				moves, sources := make([]migrate.Move, n), make([]*pastSource, n)
				for i := range moves {
					name := fmt.Sprintf("ws-%03d", i)
					b.workspaceExists(name)
					sources[i] = past(name, versions)
					moves[i] = migrate.Move{Object: sources[i], Workspace: name}
				}
				plan, err := b.haul().Plan(t.Context(), moves)
				if err != nil {
					t.Fatal(err)
				}
				told := 0
				for _, r := range plan.Results() {
					if r.Outcome != migrate.WouldMove || r.History == nil || r.History.Versions != versions-1 {
						t.Fatalf("planned as %s: %s, %+v", r.Outcome, r.Message, r.History)
					}
					told += r.History.APICalls
				}
				b.sim.ResetRequests()
				results, err := b.haul().Run(t.Context(), plan)
				if err != nil {
					t.Fatal(err)
				}
				if got := outcomes(results)[migrate.Moved]; got != n {
					t.Errorf("%d were moved", got)
				}
				for i := range sources {
					b.wantHistory(moves[i].Workspace, sources[i].versions)
				}
				if calls, want := b.cost().calls, told+4*n; calls != want {
					t.Errorf("%d calls, but the plan predicted %d", calls, want)
				}
			})
		})
	}
}

// writeOlder writes bytes where an older version of network goes.
func writeOlder(t *testing.T, dir string, raw []byte) string {
	t.Helper()
	path := filepath.Join(dir, "network", "5-v001.tfstate")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The server behind a directory has no administrators, and a file needs no login: what its kind
// says about an error is all of it.
func TestErrorsOfOtherKindsHaveNoAdviceOfWorkspaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, engine: fileEngine(t, dir)}
	plan, err := b.haul().Plan(t.Context(), []migrate.Move{{Object: past("network", 2), Workspace: "network/terraform.tfstate"}})
	if err != nil {
		t.Fatal(err)
	}
	causes := migrate.Causes(plan.Results())
	if len(causes) != 1 || !strings.Contains(strings.ToLower(causes[0].Text), "not a directory") || causes[0].Advice != "" {
		t.Errorf("the causes are %+v", causes)
	}
}

// fileEngine returns an engine whose target is a directory.
func fileEngine(t *testing.T, dir string) *migrate.Engine {
	t.Helper()
	target, err := file.Kind(backend.Connection{}).Target.Open(t.Context(), dir+"/")
	if err != nil {
		t.Fatal(err)
	}
	return &migrate.Engine{Target: target, Haul: migrate.NewHaulID(), Options: migrate.Options{
		BackupDir: filepath.Join(t.TempDir(), "backup"), Settings: migrate.Settings{History: backend.AllVersions}}}
}

// wantFiles fails unless a directory has exactly the versions of a source.
func wantFiles(t *testing.T, dir string, source *pastSource) {
	t.Helper()
	want := map[string]string{}
	for i, raw := range source.versions {
		name := "terraform.tfstate"
		if i < len(source.versions)-1 {
			name = fmt.Sprintf("%d-v%03d.tfstate", 3+2*i, i)
		}
		want[name] = digest(raw)
	}
	have := map[string]string{}
	entries, err := os.ReadDir(filepath.Join(dir, "network"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, "network", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		have[e.Name()] = digest(raw)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the directory (-want +have):\n%s", diff)
	}
}

// In a directory, each older version has a file of its own. They can be added later, and a
// process that dies before any event is continued.
func TestHistoryInADirectory(t *testing.T) {
	m := migrate.Move{Object: past("network", 4), Workspace: "network/terraform.tfstate"}
	source := m.Object.(*pastSource)
	t.Run("later", func(t *testing.T) {
		dir := t.TempDir()
		e := fileEngine(t, dir)
		e.History = 0
		want(t, e.Move(t.Context(), m), migrate.Moved, migrate.Fresh, "")
		e.History, e.DryRun = backend.AllVersions, true
		if r := e.Move(t.Context(), m); r.Outcome != migrate.WouldMove || !strings.Contains(r.Message, "3 older versions would be added") {
			t.Errorf("planned as %s: %s", r.Outcome, r.Message)
		}
		e.DryRun = false
		if r := e.Move(t.Context(), m); r.Outcome != migrate.Moved || r.History == nil || r.History.Moved != 3 {
			t.Errorf("ended in %s: %s, %+v", r.Outcome, r.Message, r.History)
		}
		wantFiles(t, dir, source)
		if r := e.Move(t.Context(), m); r.Outcome != migrate.AlreadyThere {
			t.Errorf("again: %s: %s", r.Outcome, r.Message)
		}
	})
	for _, other := range []struct {
		name  string
		bytes []byte
		code  migrate.Code
	}{
		{"another file", state(5, lineage, 99), migrate.CodeDiverged},
		{"a file with a lower serial", state(3, lineage, 99), migrate.CodeDiverged},
		{"a file with a higher serial", state(7, lineage, 99), migrate.CodeStale},
		{"a file with another lineage", state(5, "other", 99), migrate.CodeUnrelated},
	} {
		t.Run(other.name+" is not replaced", func(t *testing.T) {
			dir := t.TempDir()
			path := writeOlder(t, dir, other.bytes)
			r := fileEngine(t, dir).Move(t.Context(), m)
			if r.Outcome != migrate.Refused || r.Code != other.code || !strings.Contains(r.Message, "not replaced") || strings.Contains(r.Message, "--replace") {
				t.Errorf("ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
			}
			if raw, err := os.ReadFile(path); err != nil || digest(raw) != digest(other.bytes) {
				t.Errorf("the other file was changed (%v)", err)
			}
		})
	}
	t.Run("compared by a haul that has nothing to move", func(t *testing.T) {
		dir := t.TempDir()
		want(t, fileEngine(t, dir).Move(t.Context(), m), migrate.Moved, migrate.Fresh, "")
		haul := func() (migrate.Result, *migrate.Ledger) {
			path := filepath.Join(t.TempDir(), "haul.jsonl")
			b := &bench{t: t, engine: fileEngine(t, dir)}
			b.withJournal(path, migrate.UploadAuto)
			plan, err := b.haul().Plan(t.Context(), []migrate.Move{m})
			if err != nil {
				t.Fatal(err)
			}
			results, err := b.haul().Run(t.Context(), plan)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.engine.Journal.Close(); err != nil {
				t.Fatal(err)
			}
			return results[0], readLedger(t, path)
		}
		r, ledger := haul()
		if r.Outcome != migrate.AlreadyThere || r.History == nil || r.History.Moved != 3 {
			t.Errorf("ended in %s/%s: %s, %+v", r.Outcome, r.Code, r.Message, r.History)
		}
		if got := ledger.Results(); len(got) != 1 || got[0].History == nil || len(got[0].History.Carried) != 3 {
			t.Errorf("the journal has %+v, so verify does not compare the older versions", got)
		}
		path := writeOlder(t, dir, state(5, lineage, 99))
		if r, _ := haul(); r.Outcome != migrate.Refused || r.Code != migrate.CodeNoHistory || !strings.Contains(r.Message, filepath.Base(path)) {
			t.Errorf("with another file: %s/%s: %s", r.Outcome, r.Code, r.Message)
		}
	})
	if testing.Short() {
		t.Skip("the killed processes are skipped")
	}
	for dieAt, died := 1, true; died; dieAt++ {
		if !testenv.Full() && dieAt%4 != 0 {
			continue
		}
		t.Run(fmt.Sprintf("killed at event %d", dieAt), func(t *testing.T) {
			dir, path := t.TempDir(), filepath.Join(t.TempDir(), "haul.jsonl")
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDyingHistory$", "-test.count=1")
			c.Env = append(os.Environ(), dyingHistory+"="+strings.Join([]string{dir, path, strconv.Itoa(dieAt)}, "|"))
			died = c.Run() != nil
			b := &bench{t: t, engine: fileEngine(t, dir)}
			b.withJournal(path, migrate.UploadAuto)
			if r := b.engine.Move(t.Context(), m); !r.Arrived() {
				t.Errorf("the next run ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
			}
			if err := b.engine.Journal.Close(); err != nil {
				t.Fatal(err)
			}
			wantFiles(t, dir, source)
			ledger := readLedger(t, path)
			if got := ledger.Results(); len(got) != 1 || got[0].History == nil || len(got[0].History.Carried) != 3 || len(ledger.CutOff()) != 0 {
				t.Errorf("the journal has %+v, cut off %+v", got, ledger.CutOff())
			}
			if held := ledger.HeldLocks(); len(held) != 0 {
				t.Errorf("the journal says that %+v are locked", held)
			}
		})
	}
}

// dyingHistory is the variable that makes the test binary a move that is killed.
const dyingHistory = "TFHAUL_TEST_DYING_HISTORY"

// TestDyingHistory is the process that TestHistoryInADirectory kills.
func TestDyingHistory(t *testing.T) {
	words := strings.Split(os.Getenv(dyingHistory), "|")
	if len(words) != 3 {
		t.Skip("only for TestHistoryInADirectory")
	}
	at, err := strconv.Atoi(words[2])
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, engine: fileEngine(t, words[0])}
	b.withJournal(words[1], migrate.UploadAuto)
	events := 0
	b.engine.Observe = func(migrate.Event) {
		if events++; events == at {
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				_ = self.Kill()
			}
			select {}
		}
	}
	b.engine.Move(context.Background(), migrate.Move{Object: past("network", 4), Workspace: "network/terraform.tfstate"})
}
