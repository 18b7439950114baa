package migrate_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

const createVersion = "POST /workspaces/:workspace_id/state-versions"

// The rows of the API's answers to creating a state version: what each ends in,
// with the workspace holding what it held and its lock released.
func TestAnswersToCreate(t *testing.T) {
	cases := []struct {
		name    string
		answer  tfesim.Fault
		times   int
		outcome migrate.Outcome
		code    migrate.Code
		says    string
	}{
		{"401", tfesim.AnswerError(401, "unauthorized", ""), 1, migrate.Failed, migrate.CodeUnauthorized, "token"},
		{"404", tfesim.AnswerError(404, "not found", ""), 1, migrate.Failed, migrate.CodeForbiddenOrMissing, "Organization tokens cannot write states"},
		// It says that the lock is gone, and it is not: being ours, it cannot be taken again.
		{"409 not locked, wrongly", tfesim.AnswerError(409, "conflict", "This workspace is not locked and will only accept state uploads when locked"), 1, migrate.Failed, migrate.CodeLockLost, ""},
		{"409 locked by a run", tfesim.AnswerError(409, "conflict", "This workspace is locked by Run run-1 and will only accept state uploads from them while locked."), 1, migrate.Failed, migrate.CodeLockLost, "run-1"},
		{"409 locked by a team, folded", tfesim.AnswerError(409, "Conflict", "This workspace is LOCKED by Team team-1 and will only\naccept state uploads from them while locked."), 1, migrate.Failed, migrate.CodeLockLost, "team-1"},
		{"409 same serial, other MD5", tfesim.AnswerError(409, "conflict", "The MD5 hash of the state provided does not match what is currently known for the same serial number"), 1, migrate.Refused, migrate.CodeDiverged, "serial"},
		{"409 other lineage, cloud", tfesim.AnswerError(409, "conflict", "The lineage provided in the state file does not match the value currently known by Terraform Cloud. This means that the provided state is most likely not related to the target workspace."), 1, migrate.Refused, migrate.CodeUnrelated, "lineage"},
		{"409 other lineage, enterprise", tfesim.AnswerError(409, "conflict", "The lineage provided in the state file does not match the value currently known by Terraform Enterprise."), 1, migrate.Refused, migrate.CodeUnrelated, "lineage"},
		{"409 without a reason, once", tfesim.AnswerHTML(409), 1, migrate.Moved, "", ""},
		{"409 without a reason, always", tfesim.AnswerHTML(409), -1, migrate.Failed, migrate.CodeServerRefused, ""},
		{"412", tfesim.AnswerError(412, "Precondition Failed", "The serial provided in the state file is not greater than the serial currently known remotely."), 1, migrate.Refused, migrate.CodeStale, "serial"},
		{"500 with the text of a 412", tfesim.AnswerError(500, "internal server error", "The serial provided in the state file is not greater than the serial currently known remotely."), 1, migrate.Refused, migrate.CodeStale, "serial"},
		{"the MD5 is not the content's", tfesim.AnswerError(400, "bad request", "The MD5 parameter passed does not match the MD5 of the provided state"), 1, migrate.Failed, migrate.CodeServerRefused, "MD5"},
		{"422", tfesim.AnswerError(422, "unprocessable content", "Serial is not a number"), 1, migrate.Failed, migrate.CodeServerRefused, "Serial is not a number"},
		{"413 always", tfesim.AnswerHTML(413), -1, migrate.Failed, migrate.CodeServerRefused, "413"},
		{"429, once", tfesim.AnswerRateLimited("1"), 1, migrate.Moved, "", ""},
		{"429 always", tfesim.AnswerRateLimited("1"), -1, migrate.Failed, migrate.CodeRateLimited, "rate limit"},
		{"502, once", tfesim.AnswerHTML(502), 1, migrate.Moved, "", ""},
		{"503 always", tfesim.AnswerHTML(503), -1, migrate.Failed, migrate.CodeServerRefused, "503"},
		{"plain strings", tfesim.Fault{Status: 422, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"errors":["the serial is missing"]}`}, 1, migrate.Failed, migrate.CodeServerRefused, "the serial is missing"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.snapshot(state(7, lineage, 1))
				held := state(6, lineage, 2)
				b.holds(held)
				c.answer.Endpoint, c.answer.Times = createVersion, c.times
				b.sim.Inject(c.answer)
				r := b.run()
				want(t, r, c.outcome, migrate.Newer, c.code)
				if !strings.Contains(r.Message, c.says) {
					t.Errorf("the message does not say %q: %s", c.says, r.Message)
				}
				if c.outcome == migrate.Moved {
					held = state(7, lineage, 1)
				}
				b.wantHeld(held)
				b.wantUnlocked()
				if r.Locked {
					t.Error("the result claims a lock that is left")
				}
			})
		})
	}
}

// Another user acts at the worst moment. What we did not see is never overwritten.
func TestInterference(t *testing.T) {
	mine, theirs := state(7, lineage, 1), state(9, lineage, 5)
	seed := func(raw []byte) func(*bench) {
		return func(b *bench) { b.holds(raw) }
	}
	lock := func(b *bench) {
		if err := b.sim.Lock(org, workspace, tfesim.SecondUser, "mine now"); err != nil {
			b.t.Error(err)
		}
	}
	unlock := func(b *bench) {
		if err := b.sim.Unlock(org, workspace); err != nil {
			b.t.Error(err)
		}
	}
	cases := []struct {
		name    string
		held    []byte
		change  func(*migrate.Move)
		at      string // the endpoint whose first request is preceded by
		act     []func(*bench)
		outcome migrate.Outcome
		code    migrate.Code
		holds   []byte
		locked  bool // by the other one
		unsure  bool // whether our lock is left cannot be known
	}{
		{name: "a run applies between our read and our lock", held: state(6, lineage, 2), at: "POST /workspaces/:workspace_id/actions/lock",
			act: []func(*bench){seed(theirs)}, outcome: migrate.Refused, code: migrate.CodeStale, holds: theirs},
		{name: "somebody initializes the empty workspace first", at: "POST /workspaces/:workspace_id/actions/lock",
			act: []func(*bench){seed(state(1, foreign, 6))}, outcome: migrate.Refused, code: migrate.CodeUnrelated, holds: state(1, foreign, 6)},
		{name: "a run applies an older serial than ours", held: state(5, lineage, 2), at: "POST /workspaces/:workspace_id/actions/lock",
			act: []func(*bench){seed(state(6, lineage, 8))}, outcome: migrate.Moved, holds: mine},
		{name: "another haul moves the same snapshot", at: "POST /workspaces/:workspace_id/actions/lock",
			act: []func(*bench){seed(mine)}, outcome: migrate.AlreadyThere, holds: mine},
		{name: "what was to be replaced is not there any more", held: state(3, foreign, 2), change: replace, at: "POST /workspaces/:workspace_id/actions/lock",
			act: []func(*bench){seed(state(4, foreign, 9))}, outcome: migrate.Refused, code: migrate.CodeUnrelated, holds: state(4, foreign, 9)},
		{name: "the lock is taken just before us", at: "POST /workspaces/:workspace_id/actions/lock",
			act: []func(*bench){lock}, outcome: migrate.Refused, code: migrate.CodeLocked, locked: true},
		{name: "the lock is forced before we send", at: createVersion,
			act: []func(*bench){unlock}, outcome: migrate.Moved, holds: mine},
		{name: "the lock is forced and a newer serial is pushed before we send", held: state(6, lineage, 2), at: createVersion,
			act: []func(*bench){unlock, seed(theirs)}, outcome: migrate.Refused, code: migrate.CodeStale, holds: theirs},
		{name: "the lock is forced and taken before we send", held: state(6, lineage, 2), at: createVersion,
			act: []func(*bench){unlock, lock}, outcome: migrate.Failed, code: migrate.CodeLockLost, holds: state(6, lineage, 2), locked: true},
		{name: "the lock is forced and a newer serial is pushed before we verify", at: "GET /workspaces/:workspace_id/current-state-version",
			act: []func(*bench){unlock, seed(theirs)}, outcome: migrate.Failed, code: migrate.CodeUnproven, holds: theirs},
		{name: "the lock is forced and taken before we unlock", at: "POST /workspaces/:workspace_id/actions/unlock",
			act: []func(*bench){unlock, lock}, outcome: migrate.Moved, holds: mine, locked: true},
		{name: "the workspace is deleted before we lock", at: "POST /workspaces/:workspace_id/actions/lock",
			act: []func(*bench){deleteWorkspace}, outcome: migrate.Failed, code: migrate.CodeForbiddenOrMissing},
		{name: "the workspace is deleted before we send", at: createVersion,
			act: []func(*bench){deleteWorkspace}, outcome: migrate.Failed, code: migrate.CodeForbiddenOrMissing, unsure: true},
		{name: "the source changes before we send", at: "POST /workspaces/:workspace_id/actions/lock",
			act: []func(*bench){rewriteSource}, outcome: migrate.Refused, code: migrate.CodeSourceChanged},
		{name: "the source changes while we verify", at: "POST /workspaces/:workspace_id/actions/unlock",
			act: []func(*bench){rewriteSource}, outcome: migrate.Refused, code: migrate.CodeSourceChanged, holds: mine},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{})
				b.snapshot(mine)
				if c.held != nil {
					b.holds(c.held)
				}
				var once sync.Once
				b.sim.OnRequest(func(q tfesim.Request) {
					if q.Endpoint == c.at {
						once.Do(func() {
							for _, act := range c.act {
								act(b)
							}
						})
					}
				})
				if c.change == nil {
					c.change = func(*migrate.Move) {}
				}
				r := b.run(c.change)
				want(t, r, c.outcome, r.Relation, c.code)
				b.wantHeld(c.holds)
				h, locked := b.sim.LockHolder(org, workspace)
				if locked != c.locked || locked && h.Reason != "mine now" {
					t.Errorf("locked: %v (%q), want %v", locked, h.Reason, c.locked)
				}
				if r.Locked != c.unsure {
					t.Errorf("a lock of ours is reported to be left: %v, want %v: %s", r.Locked, c.unsure, r.Message)
				}
			})
		})
	}
}

func deleteWorkspace(b *bench) {
	if err := b.sim.DeleteWorkspace(org, workspace); err != nil {
		b.t.Error(err)
	}
}

func rewriteSource(b *bench) {
	if err := os.WriteFile(b.file, state(8, lineage, 11), 0o600); err != nil {
		b.t.Error(err)
	}
}

// The lock's reply is lost. Where the server repeats the reason, the lock is known
// to be ours and the move goes on; where it does not name the holder, the lock that
// may be ours is reported, and the command that is given frees it.
func TestLostReplyToTheLock(t *testing.T) {
	lost := tfesim.Fault{Endpoint: "POST /workspaces/:workspace_id/actions/lock", Kind: tfesim.FaultReset, After: true}
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
		t.Run(server.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tfesim.Options{Personality: server})
				b.snapshot(state(7, lineage, 1))
				b.sim.Inject(lost)
				r := b.run()
				if server != tfesim.Lax {
					want(t, r, migrate.Moved, migrate.Fresh, "")
					b.wantHeld(state(7, lineage, 1))
					b.wantUnlocked()
					return
				}
				want(t, r, migrate.Failed, migrate.Fresh, migrate.CodeLockLeft)
				b.wantHeld(nil)
				if !r.Locked || !strings.Contains(r.Message, r.UnlockCommand) {
					t.Errorf("locked %v, and the message names no command: %s", r.Locked, r.Message)
				}
				if freed, err := b.engine.UnlockByID(t.Context(), workspace, ""); err != nil || !freed.Freed {
					t.Errorf("the lock was not freed: %+v, %v", freed, err)
				}
				b.wantUnlocked()
			})
		})
	}
}

// Another user's lock is never released.
func TestUnlockLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		// Even when it is of the same identity: another haul with the same token.
		if err := b.sim.Lock(org, workspace, tfesim.Owner, "tfhaul moves a state here (haul another)"); err != nil {
			t.Fatal(err)
		}
		freed, err := b.engine.UnlockByID(t.Context(), workspace, "")
		if !errors.Is(err, migrate.ErrNotOurs) || freed.Freed {
			t.Errorf("got %+v, %v", freed, err)
		}
		if _, locked := b.sim.LockHolder(org, workspace); !locked {
			t.Error("the lock of another haul is gone")
		}
	})
}

// With a run's token the state goes in under the run's own lock, which stays.
func TestMoveForARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tfesim.Options{})
		b.snapshot(state(7, lineage, 1))
		run, err := b.sim.LockByRun(org, workspace)
		if err != nil {
			t.Fatal(err)
		}
		token, err := b.sim.RunToken(run)
		if err != nil {
			t.Fatal(err)
		}
		// Without naming the run, the lock is another user's.
		want(t, b.run(), migrate.Refused, migrate.Fresh, migrate.CodeLocked)
		b.engine = b.newEngine(token)
		r := b.run(func(m *migrate.Move) { m.Run = run })
		want(t, r, migrate.Moved, migrate.Fresh, "")
		b.wantHeld(state(7, lineage, 1))
		if h, locked := b.sim.LockHolder(org, workspace); !locked || h.ID != run {
			t.Errorf("the run's lock is gone: %v %v", h, locked)
		}
		if v := b.sim.Versions(org, workspace); v[len(v)-1].Run != run {
			t.Errorf("the state version is of run %q, want %q", v[len(v)-1].Run, run)
		}
	})
}
