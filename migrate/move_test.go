package migrate_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

var errRefused = errors.New("connection refused")

// Every relation, on every server, with what the server holds afterwards.
func TestMoveByRelation(t *testing.T) {
	snapshot := state(7, lineage, 1)
	cases := []struct {
		name     string
		held     []byte
		change   func(*migrate.Move)
		outcome  migrate.Outcome
		relation migrate.Relation
		code     migrate.Code
		moves    bool
		backup   bool
	}{
		{name: "fresh", relation: migrate.Fresh, outcome: migrate.Moved, moves: true},
		{name: "newer", held: state(6, lineage, 2), relation: migrate.Newer, outcome: migrate.Moved, moves: true},
		{name: "identical", held: snapshot, relation: migrate.Identical, outcome: migrate.AlreadyThere},
		{name: "diverged", held: state(7, lineage, 3), relation: migrate.Diverged, outcome: migrate.Refused, code: migrate.CodeDiverged},
		{name: "stale", held: state(9, lineage, 4), relation: migrate.Stale, outcome: migrate.Refused, code: migrate.CodeStale},
		{name: "unrelated", held: state(2, foreign, 5), relation: migrate.Unrelated, outcome: migrate.Refused, code: migrate.CodeUnrelated},
		{name: "diverged, replaced", held: state(7, lineage, 3), change: replace, relation: migrate.Diverged, outcome: migrate.Moved, moves: true, backup: true},
		{name: "stale, replaced", held: state(9, lineage, 4), change: replace, relation: migrate.Stale, outcome: migrate.Moved, moves: true, backup: true},
		{name: "unrelated, replaced", held: state(2, foreign, 5), change: replace, relation: migrate.Unrelated, outcome: migrate.Moved, moves: true, backup: true},
		{name: "unrelated is not bumped", held: state(9, foreign, 5), change: bump, relation: migrate.Unrelated, outcome: migrate.Refused, code: migrate.CodeUnrelated},
		{name: "fresh with leave to replace", change: replace, relation: migrate.Fresh, outcome: migrate.Moved, moves: true},
		{name: "a state without lineage over an older one", held: strip(state(6, lineage, 6)), relation: migrate.Newer, outcome: migrate.Moved, moves: true},
	}
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.OldTFE, tfesim.Lax} {
		for _, c := range cases {
			for _, upload := range []migrate.UploadMode{migrate.UploadInline, migrate.UploadSigned} {
				if server == tfesim.OldTFE && upload == migrate.UploadSigned {
					continue // see TestUploadFallsBack
				}
				t.Run(server.String()+"/"+string(upload)+"/"+c.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := newBench(t, tfesim.Options{Personality: server})
						b.engine.Upload = upload
						b.snapshot(snapshot)
						if c.held != nil {
							b.holds(c.held)
						}
						before := len(b.sim.Versions(org, workspace))
						change := c.change
						if change == nil {
							change = func(*migrate.Move) {}
						}
						r := b.run(change)
						want(t, r, c.outcome, c.relation, c.code)
						b.wantUnlocked()
						if !c.moves {
							b.wantHeld(c.held)
							if now := len(b.sim.Versions(org, workspace)); now != before {
								t.Errorf("%d state versions were made, want none", now-before)
							}
						} else {
							b.wantHeld(snapshot)
						}
						b.wantBackup(r, c.backup, c.held)
					})
				})
			}
		}
	}
}

func replace(m *migrate.Move) { m.Replace = true }
func bump(m *migrate.Move)    { m.Bump = true }

// strip takes the lineage out of a state.
func strip(raw []byte) []byte {
	return []byte(strings.Replace(string(raw), `"lineage": "`+lineage+`",`, "", 1))
}

// wantBackup fails unless a backup was made, readable by its owner alone, or none.
func (b *bench) wantBackup(r migrate.Result, made bool, held []byte) {
	b.t.Helper()
	if !made {
		if r.Backup != "" {
			b.t.Errorf("a backup was made at %s, want none", r.Backup)
		}
		return
	}
	kept, err := os.ReadFile(r.Backup)
	if err != nil {
		b.t.Fatalf("no backup: %v", err)
	}
	if digest(kept) != digest(held) {
		b.t.Errorf("the backup has MD5 %s, want %s", digest(kept), digest(held))
	}
	if info, err := os.Stat(r.Backup); err != nil || info.Mode().Perm() != 0o600 {
		b.t.Errorf("the backup's mode is %v (%v), want 0600", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(r.Backup), "*.part")); len(left) > 0 {
		b.t.Errorf("partial backups are left: %q", left)
	}
}

// The cost that the design promises for a single move, counted at the server.
func TestCallsOfAMove(t *testing.T) {
	cases := []struct {
		name string
		held []byte
		want []string
	}{
		{"fresh", nil, []string{
			"GET /organizations/:organization/workspaces/:workspace",
			"POST /workspaces/:workspace_id/actions/lock",
			"POST /workspaces/:workspace_id/state-versions",
			"GET /workspaces/:workspace_id/current-state-version",
			"POST /workspaces/:workspace_id/actions/unlock",
		}},
		{"identical", state(7, lineage, 1), []string{
			"GET /organizations/:organization/workspaces/:workspace",
			"GET /workspaces/:workspace_id/current-state-version",
		}},
	}
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		for _, c := range cases {
			t.Run(server.String()+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{Personality: server})
					b.snapshot(state(7, lineage, 1))
					if c.held != nil {
						b.holds(c.held)
					}
					b.sim.ResetRequests()
					r := b.run()
					calls := map[string]int{}
					for _, q := range b.sim.Requests() {
						if strings.HasPrefix(q.Path, "/api/v2/") {
							calls[q.Endpoint]++
						}
					}
					total := 0
					for _, endpoint := range c.want {
						if calls[endpoint] != 1 {
							t.Errorf("%d requests to %s, want 1", calls[endpoint], endpoint)
						}
						total += calls[endpoint]
					}
					if total != len(c.want) || r.APICalls != total || len(calls) != len(c.want) {
						t.Errorf("the move says %d calls, the server counted %v, want %d", r.APICalls, calls, len(c.want))
					}
				})
			})
		}
	}
}

// A raised serial changes the digits of the serial and nothing else.
func TestBumpSerial(t *testing.T) {
	for _, held := range [][]byte{state(99, lineage, 2), state(7, lineage, 3)} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, tfesim.Options{})
			b.snapshot(state(7, lineage, 1))
			b.holds(held)
			_, serial, _ := b.sim.Current(org, workspace)
			r := b.run(bump)
			want(t, r, migrate.Moved, r.Relation, "")
			if r.BumpedTo != serial+1 {
				t.Errorf("bumped to %d, want %d", r.BumpedTo, serial+1)
			}
			b.wantHeld(state(serial+1, lineage, 1))
			b.wantBackup(r, true, held)
			b.wantUnlocked()
		})
	}
}

func TestUploadFallsBack(t *testing.T) {
	large := func() []byte { return bigState(5 << 20) }
	cases := []struct {
		name    string
		options tfesim.Options
		raw     []byte
		fault   *tfesim.Fault
		posts   int
		puts    int
	}{
		{"large states go to the signed URL", tfesim.Options{}, large(), nil, 1, 1},
		{"an old server gets large states inline", tfesim.Options{Personality: tfesim.OldTFE}, large(), nil, 2, 0},
		{"a proxy's size limit is passed by the signed URL", tfesim.Options{MaxBody: 4096}, state(7, lineage, 1), nil, 2, 1},
		{"a blob store that fails is passed inline", tfesim.Options{}, large(),
			&tfesim.Fault{Endpoint: "PUT *", Status: http.StatusServiceUnavailable, Times: -1}, 2, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, c.options)
				b.snapshot(c.raw)
				if c.fault != nil {
					c.fault.Endpoint = "PUT /_archivist/v1/object/:token"
					b.sim.Inject(*c.fault)
				}
				want(t, b.run(), migrate.Moved, migrate.Fresh, "")
				b.wantHeld(c.raw)
				b.wantUnlocked()
				if n := b.sim.Count("POST /workspaces/:workspace_id/state-versions"); n != c.posts {
					t.Errorf("%d POSTs, want %d", n, c.posts)
				}
				if n := b.sim.Count("PUT /_archivist/v1/object/:token"); n != c.puts {
					t.Errorf("%d PUTs, want %d", n, c.puts)
				}
			})
		})
	}
}

// Waiting ends when the holder unlocks, and when the time is over.
func TestLockedBySomebody(t *testing.T) {
	const hour = time.Hour
	cases := []struct {
		name    string
		timeout time.Duration
		freed   time.Duration
		outcome migrate.Outcome
		code    migrate.Code
	}{
		{"refused at once", 0, hour, migrate.Refused, migrate.CodeLocked},
		{"freed in time", 10 * time.Minute, 5 * time.Minute, migrate.Moved, ""},
		{"freed too late", 10 * time.Minute, 11 * time.Minute, migrate.Refused, migrate.CodeLocked},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.snapshot(state(7, lineage, 1))
				if err := b.sim.Lock(org, workspace, tfesim.SecondUser, "apply by hand"); err != nil {
					t.Fatal(err)
				}
				b.engine.LockTimeout = c.timeout
				timer := time.AfterFunc(c.freed, func() {
					if err := b.sim.Unlock(org, workspace); err != nil {
						t.Error(err)
					}
				})
				defer timer.Stop()
				r := b.run()
				want(t, r, c.outcome, migrate.Fresh, c.code)
				if c.code != "" {
					b.wantHeld(nil)
					if !strings.Contains(r.Message, "apply by hand") {
						t.Errorf("the message does not say why it is locked: %s", r.Message)
					}
					if r.Locked {
						t.Error("the result claims a lock that is not ours")
					}
				}
			})
		})
	}
}
