package migrate_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

func replaceAndBump(m *migrate.Move) { m.Replace, m.Bump = true, true }

// A server that ignores force refuses what --replace allows. The message names what
// helps, and that helps.
func TestServerThatIgnoresForce(t *testing.T) {
	cases := []struct {
		name     string
		server   tfesim.Personality
		held     []byte
		change   func(*migrate.Move)
		outcome  migrate.Outcome
		relation migrate.Relation
		code     migrate.Code
		says     string
		holds    []byte
	}{
		{name: "a lower serial is refused, and the message names --bump-serial", server: tfesim.TFE, held: state(9, lineage, 2), change: replace,
			outcome: migrate.Refused, relation: migrate.Stale, code: migrate.CodeStale, says: "Add --bump-serial network to --replace network"},
		{name: "the same serial is refused as what it is", server: tfesim.TFE, held: state(7, lineage, 2), change: replace,
			outcome: migrate.Refused, relation: migrate.Diverged, code: migrate.CodeDiverged, says: "Add --bump-serial network to --replace network"},
		{name: "both flags replace a newer state", server: tfesim.TFE, held: state(9, lineage, 2), change: replaceAndBump,
			outcome: migrate.Moved, relation: migrate.Stale, holds: state(10, lineage, 1)},
		{name: "another lineage is refused for good", server: tfesim.TFE, held: state(9, foreign, 2), change: replace,
			outcome: migrate.Refused, relation: migrate.Unrelated, code: migrate.CodeUnrelated, says: "Move it to a new workspace"},
		{name: "another lineage is refused by its serial, and is not called stale", server: tfesim.Lax, held: state(9, foreign, 2), change: replace,
			outcome: migrate.Refused, relation: migrate.Unrelated, code: migrate.CodeUnrelated, says: "Add --bump-serial network to --replace network"},
		{name: "both flags replace another lineage", server: tfesim.Lax, held: state(9, foreign, 2), change: replaceAndBump,
			outcome: migrate.Moved, relation: migrate.Unrelated, holds: state(10, lineage, 1)},
		{name: "both flags keep a serial that is high enough", server: tfesim.Lax, held: state(3, foreign, 2), change: replaceAndBump,
			outcome: migrate.Moved, relation: migrate.Unrelated, holds: state(7, lineage, 1)},
		{name: "raising the serial alone does not replace another lineage", server: tfesim.Lax, held: state(9, foreign, 2), change: bump,
			outcome: migrate.Refused, relation: migrate.Unrelated, code: migrate.CodeUnrelated, says: "--replace network, which keeps a backup. If the server requires a higher serial, add --bump-serial network"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{Personality: c.server, IgnoreForce: true})
				b.engine.BackupDir = t.TempDir()
				b.snapshot(state(7, lineage, 1))
				b.holds(c.held)
				r := b.run(c.change)
				want(t, r, c.outcome, c.relation, c.code)
				text := r.Message + strings.Join(r.Notes, " ")
				if !strings.Contains(text, c.says) {
					t.Errorf("the message does not say %q: %s", c.says, text)
				}
				for _, wrong := range []string{"omebody wrote", "another user"} {
					if strings.Contains(text, wrong) {
						t.Errorf("nobody wrote meanwhile, and the message says %q: %s", wrong, text)
					}
				}
				if c.outcome == migrate.Moved {
					b.wantHeld(c.holds)
					b.wantBackup(r, true, c.held)
				} else {
					b.wantHeld(c.held)
					if r.Backup != "" {
						t.Errorf("nothing was replaced, and the result names the backup %s", r.Backup)
					}
				}
				b.wantUnlocked()
			})
		})
	}
}

// The server's refusal blames another writer only where there is one.
func TestRefusalUnderTheLockNamesWhoWrote(t *testing.T) {
	const refusal = "The serial provided in the state file is not greater than the serial currently known remotely."
	for _, wrote := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, tfesim.Options{})
			b.snapshot(state(7, lineage, 1))
			b.holds(state(6, lineage, 2))
			fault := tfesim.AnswerError(412, "Precondition Failed", refusal)
			fault.Endpoint = createVersion
			b.sim.Inject(fault)
			b.sim.OnRequest(func(q tfesim.Request) {
				if wrote && q.Endpoint == createVersion {
					b.holds(state(12, lineage, 3))
				}
			})
			r := b.run()
			want(t, r, migrate.Refused, migrate.Newer, migrate.CodeStale)
			if got := strings.Contains(r.Message, "another state version became current"); got != wrote {
				t.Errorf("another writer is named: %v, want %v: %s", got, wrote, r.Message)
			}
			if !strings.Contains(r.Message, "tfhaul history localhost/"+org+"/"+workspace) {
				t.Errorf("the message names no command: %s", r.Message)
			}
			b.wantUnlocked()
		})
	}
}

// Another tool announced a serial that is not the file's. Both count.
func TestAnnouncedSerialIsNotTheFiles(t *testing.T) {
	mine := state(7, lineage, 1)
	cases := []struct {
		name      string
		announced int64
		file      []byte
		change    func(*migrate.Move)
		outcome   migrate.Outcome
		relation  migrate.Relation
		code      migrate.Code
		holds     []byte // nil: as before
	}{
		{"announced higher: refused before anything is sent", 50, state(3, lineage, 2), nil, migrate.Refused, migrate.Stale, migrate.CodeStale, nil},
		{"announced higher: the serial is raised above it", 50, state(3, lineage, 2), bump, migrate.Moved, migrate.Stale, "", state(51, lineage, 1)},
		{"announced higher: replaced", 50, state(3, lineage, 2), replace, migrate.Moved, migrate.Stale, "", mine},
		{"announced higher: both", 50, state(3, lineage, 2), replaceAndBump, migrate.Moved, migrate.Stale, "", state(51, lineage, 1)},
		{"announced as ours: diverged", 7, state(3, lineage, 2), nil, migrate.Refused, migrate.Diverged, migrate.CodeDiverged, nil},
		{"announced lower: the file's serial counts", 2, state(9, lineage, 2), nil, migrate.Refused, migrate.Stale, migrate.CodeStale, nil},
		{"announced lower: the serial is raised above the file's", 2, state(9, lineage, 2), bump, migrate.Moved, migrate.Stale, "", state(10, lineage, 1)},
		{"below both: newer", 5, state(3, lineage, 2), nil, migrate.Moved, migrate.Newer, "", mine},
		{"the same bytes: nothing to do", 50, mine, nil, migrate.AlreadyThere, migrate.Identical, "", nil},
		{"the same bytes: raising the serial repairs the workspace", 50, mine, bump, migrate.Moved, migrate.Identical, "", state(51, lineage, 1)},
	}
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
		for _, c := range cases {
			t.Run(server.String()+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{Personality: server})
					b.engine.BackupDir = t.TempDir()
					b.snapshot(mine)
					if _, err := b.sim.SeedVersion(org, workspace, c.file, c.announced, lineage); err != nil {
						t.Fatal(err)
					}
					if c.change == nil {
						c.change = func(*migrate.Move) {}
					}
					b.engine.DryRun = true
					dry := b.run(c.change)
					b.engine.DryRun = false
					r := b.run(c.change)
					want(t, r, c.outcome, c.relation, c.code)
					if promised := dry.Outcome == migrate.WouldMove; promised != (r.Outcome == migrate.Moved) {
						t.Errorf("the dry run says %s, and the move %s", dry.Outcome, r.Outcome)
					}
					if !strings.Contains(strings.Join(dry.Notes, " "), "was uploaded as serial") {
						t.Errorf("the dry run does not say what is wrong with the workspace: %q", dry.Notes)
					}
					if c.holds == nil {
						c.holds = c.file
					}
					b.wantHeld(c.holds)
					b.wantUnlocked()
				})
			})
		}
	}
}

// What the server gives for a state version is only believed when it is as long as
// announced; nothing is replaced of which there is no backup that reads as the state.
func TestDownloadsAreAsLongAsAnnounced(t *testing.T) {
	held := state(9, foreign, 3)
	spoiled := func(body string) tfesim.Fault {
		return tfesim.Fault{Endpoint: "GET /_archivist/v1/object/:token", Status: http.StatusOK, Body: body}
	}
	for name, body := range map[string]string{
		"empty": "", "short": string(held[:len(held)/2]), "overlong": string(held) + strings.Repeat(" ", 100), "a shorter state": string(state(9, foreign, 3)[:0]) + `{"version":4,"serial":9,"lineage":"` + foreign + `"}`,
	} {
		for _, times := range []int{1, -1} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, tfesim.Options{})
					b.engine.BackupDir = t.TempDir()
					b.snapshot(state(7, lineage, 1))
					b.holds(held)
					fault := spoiled(body)
					fault.Times = times
					b.sim.Inject(fault)
					r := b.run(replace)
					if times == 1 {
						want(t, r, migrate.Moved, migrate.Unrelated, "")
						b.wantBackup(r, true, held)
						b.wantHeld(state(7, lineage, 1))
						return
					}
					want(t, r, migrate.Failed, "", migrate.CodeServerRefused)
					if !strings.Contains(r.Message, "that it announced") {
						t.Errorf("the message does not say what is wrong: %s", r.Message)
					}
					b.wantHeld(held)
					b.wantUnlocked()
				})
			})
		}
	}
}

// A server that does not announce sizes gives no bytes at all: that is no backup.
func TestEmptyDownloadIsNoBackup(t *testing.T) {
	for _, body := range []string{"", "<html>maintenance</html>"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBenchOver(t, tfesim.Options{}, func(next http.RoundTripper) http.RoundTripper { return &sizeless{next} })
			b.engine.BackupDir = t.TempDir()
			b.snapshot(state(7, lineage, 1))
			held := state(9, foreign, 3)
			b.holds(held)
			b.sim.Inject(tfesim.Fault{Endpoint: "GET /_archivist/v1/object/:token", Status: http.StatusOK, Body: body, Times: -1})
			r := b.run(replace)
			want(t, r, migrate.Failed, migrate.Unrelated, migrate.CodeBackup)
			b.wantHeld(held)
			b.wantUnlocked()
			if left, err := filepath.Glob(filepath.Join(b.engine.BackupDir, "*")); err != nil || len(left) > 0 {
				t.Errorf("something was left in the backup directory: %v %v", left, err)
			}
		})
	}
}

// A file where the backup would go is replaced only by the same bytes.
func TestBackupsReplaceNoOtherFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		b.snapshot(state(7, lineage, 1))
		held := state(9, foreign, 3)
		b.holds(held)
		b.sim.Inject(tfesim.Fault{Endpoint: createVersion, Status: http.StatusUnprocessableEntity, Times: 1})
		b.run(replace)
		backups, err := filepath.Glob(filepath.Join(b.engine.BackupDir, "*", "*", "*.tfstate"))
		if err != nil || len(backups) != 1 {
			t.Fatalf("%q: %v", backups, err)
		}
		path := backups[0]
		for _, other := range []string{"a user's notes", strings.Repeat("x", len(held))} {
			if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
				t.Fatal(err)
			}
			r := b.run(replace)
			want(t, r, migrate.Failed, migrate.Unrelated, migrate.CodeBackup)
			b.wantHeld(held)
			b.wantUnlocked()
			if kept, err := os.ReadFile(path); err != nil || string(kept) != other || !strings.Contains(r.Message, "move it away") {
				t.Errorf("the file was replaced: %v; %s", err, r.Message)
			}
		}
		if err := os.WriteFile(path, held, 0o600); err != nil {
			t.Fatal(err)
		}
		r := b.run(replace)
		want(t, r, migrate.Moved, migrate.Unrelated, "")
		b.wantBackup(r, true, held)
	})
}
