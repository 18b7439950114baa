package migrate_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/fixtures/testenv"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// rollsBack is the endpoint that makes a former state version current again.
const rollsBack = "PATCH /workspaces/*/state-versions"

// written reads what the haul of a journal wrote.
func written(t *testing.T, path string) []*migrate.Written {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all, err := migrate.ReadWritten(file)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var serialField = regexp.MustCompile(`"serial": \d+`)

// unnumbered takes the serial out of a state.
func unnumbered(raw []byte) []byte { return serialField.ReplaceAll(raw, nil) }

// nameOf is the last part of a target's address.
func nameOf(w *migrate.Written) string { return w.Target[strings.LastIndexByte(w.Target, '/')+1:] }

// rollbackOf returns the moves that roll a haul of workspaces back.
func (b *bench) rollbackOf(path string) []migrate.Move {
	b.t.Helper()
	var moves []migrate.Move
	for _, w := range written(b.t, path) {
		moves = append(moves, w.Move(b.engine.Target, nameOf(w)))
	}
	b.engine.IncludeEmpty = true
	return moves
}

// formerOf is what the i-th workspace of a haul holds before it; nil for nothing.
func formerOf(i int) []byte {
	switch i % 3 {
	case 1:
		return state(int64(9+i), fmt.Sprintf("00000000-0000-4000-8000-%012d", i), 1000+uint64(i))
	case 2:
		return state(int64(3+i), foreign, 1000+uint64(i))
	}
	return nil
}

// A haul of 50 is rolled back: what it continued and replaced is current again as a new
// version, what was fresh stays, and what has advanced since is refused.
func TestRollbackOfAHaul(t *testing.T) {
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
		for _, endpoint := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, endpoint %v", server, endpoint), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { rollBackAHaul(t, server, endpoint) })
			})
		}
	}
}

func rollBackAHaul(t *testing.T, server tfesim.Personality, endpoint bool) {
	const n, advanced = 50, 4
	b := newBench(t, tfesim.Options{Personality: server})
	moves := b.landscape(n)
	for i, name := range names(n) {
		if former := formerOf(i); former != nil {
			if _, err := b.sim.Seed(org, name, former); err != nil {
				t.Fatal(err)
			}
		}
		moves[i].Replace = i%3 == 2
	}
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	b.withJournal(path, migrate.UploadAuto)
	if results, err := b.haulAll(b.haul(), moves); err != nil || outcomes(results)[migrate.Moved] != n {
		t.Fatalf("the haul ended with %v: %v", outcomes(results), err)
	}
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	later := state(int64(10+advanced+1), fmt.Sprintf("00000000-0000-4000-8000-%012d", advanced), 77)
	if _, err := b.sim.Seed(org, names(n)[advanced], later); err != nil {
		t.Fatal(err)
	}
	if !endpoint {
		f := tfesim.AnswerError(http.StatusNotFound, "not found", "")
		f.Endpoint, f.Times = rollsBack, -1
		b.sim.Inject(f)
	}
	versions := map[string]int{}
	for _, name := range names(n) {
		versions[name] = len(b.sim.Versions(org, name))
	}

	b.withJournal(migrate.RollbackJournal(path), migrate.UploadAuto)
	results, err := b.haulAll(b.haul(), b.rollbackOf(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		i := slices.Index(names(n), r.Target[strings.LastIndexByte(r.Target, '/')+1:])
		name, former := names(n)[i], formerOf(i)
		held, _, _ := b.sim.Current(org, name)
		made := len(b.sim.Versions(org, name)) - versions[name]
		switch {
		case i == advanced:
			if r.Code != migrate.CodeAdvanced || !bytes.Equal(held, later) || made != 0 {
				t.Errorf("%s has advanced, and its rollback ended in %s/%s with %d new versions: %s", name, r.Outcome, r.Code, made, r.Message)
			}
		case former == nil:
			if r.Code != migrate.CodeNothingBefore || !bytes.Equal(held, stateOf(i)) || made != 0 {
				t.Errorf("%s was fresh, and its rollback ended in %s/%s with %d new versions: %s", name, r.Outcome, r.Code, made, r.Message)
			}
		case r.Outcome != migrate.Moved || made != 1:
			t.Errorf("%s: the rollback ended in %s/%s with %d new versions: %s", name, r.Outcome, r.Code, made, r.Message)
		case endpoint && !bytes.Equal(held, former):
			t.Errorf("%s does not hold its former state", name)
		case !endpoint && (!bytes.Equal(unnumbered(held), unnumbered(former)) || r.BumpedTo <= int64(10+i) || !strings.Contains(strings.Join(r.Notes, " "), "cannot roll back")):
			t.Errorf("%s does not hold its former state with a higher serial (%d), or the result does not say so: %q", name, r.BumpedTo, r.Notes)
		}
	}
	if count := outcomes(results); count[migrate.Moved] != 32 || count[migrate.Refused] != 18 {
		t.Errorf("the outcomes are %v, want 32 put back and 18 refused", count)
	}
	if locked := b.sim.Locked(org); len(locked) > 0 {
		t.Errorf("%q are locked", locked)
	}
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// hauledOnce makes a bench whose workspace a haul has continued from held.
func hauledOnce(t *testing.T, o tfesim.Options, over func(http.RoundTripper) http.RoundTripper) (*bench, string) {
	b := newBenchOver(t, o, over)
	b.snapshot(sweepSnapshot)
	b.holds(formerState)
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	b.withJournal(path, migrate.UploadAuto)
	if r := b.run(); r.Outcome != migrate.Moved {
		t.Fatalf("the haul ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	b.engine.Journal, b.engine.Past, b.engine.Haul = nil, nil, migrate.NewHaulID()
	b.sim.ResetRequests()
	return b, path
}

var formerState = state(6, lineage, 2)

// wantRolledBack fails unless the workspace holds the former state, perhaps with a higher serial.
func (b *bench) wantRolledBack() {
	b.t.Helper()
	held, _, _ := b.sim.Current(org, workspace)
	if !bytes.Equal(unnumbered(held), unnumbered(formerState)) {
		b.t.Errorf("the workspace holds MD5 %s, and not the former state", digest(held))
	}
	b.wantUnlocked()
}

// A rollback that dies at any event is continued: nothing is stored twice.
func TestRollbackResumesAfterDeath(t *testing.T) {
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
		for _, endpoint := range []bool{true, false} {
			for dieAt, died := 1, true; died; dieAt++ {
				t.Run(fmt.Sprintf("%s, endpoint %v, event %d", server, endpoint, dieAt), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { died = resumeRollback(t, server, endpoint, dieAt) })
				})
			}
		}
	}
}

func resumeRollback(t *testing.T, server tfesim.Personality, endpoint bool, dieAt int) (died bool) {
	b, path := hauledOnce(t, tfesim.Options{Personality: server}, func(next http.RoundTripper) http.RoundTripper { return next })
	if !endpoint {
		f := tfesim.AnswerError(http.StatusNotFound, "not found", "")
		f.Endpoint, f.Times = rollsBack, -1
		b.sim.Inject(f)
	}
	before := len(b.sim.Versions(org, workspace))
	b.withJournal(migrate.RollbackJournal(path), migrate.UploadAuto)
	died = b.dieAt(dieAt, b.rollbackOf(path)[0])
	b.withJournal(migrate.RollbackJournal(path), migrate.UploadAuto)
	results, err := b.haulAll(b.haul(), b.rollbackOf(path))
	if err != nil {
		t.Fatal(err)
	}
	if o := results[0].Outcome; o != migrate.Moved && o != migrate.AlreadyThere {
		t.Errorf("the second run ended in %s/%s: %s", o, results[0].Code, results[0].Message)
	}
	b.wantRolledBack()
	if n := len(b.sim.Versions(org, workspace)) - before; n != 1 {
		t.Errorf("the rollback made %d versions, want 1", n)
	}
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	return died
}

// Every fault at every request of a rollback leaves the haul's bytes or the former ones, and a
// true report.
func TestRollbackFaultSweep(t *testing.T) {
	sweepRequests(t, 5, func(t *testing.T, server tfesim.Personality) int {
		b, path := hauledOnce(t, tfesim.Options{Personality: server}, direct)
		b.engine.Move(t.Context(), b.rollbackOf(path)[0])
		b.wantRolledBack()
		return len(b.sim.Requests())
	}, sweepRollback)
}

// sweepRequests runs a test, in virtual time, for every fault at every request on each kind of
// server. count makes the requests without a fault, and returns how many there are. Unless all
// cases are to be run, it runs one of sampled.
func sweepRequests(t *testing.T, sampled int, count func(*testing.T, tfesim.Personality) int, test func(t *testing.T, server tfesim.Personality, f sweepFault, k int)) {
	ran := 0
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		requests := 0
		synctest.Test(t, func(t *testing.T) { requests = count(t, server) })
		for k := 1; k <= requests; k++ {
			for _, f := range sweepFaults {
				if !testenv.Full() && (k+len(f.name))%sampled != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s at request %d", server, f.name, k), func(t *testing.T) {
					t.Parallel() // it waits for the disk
					synctest.Test(t, func(t *testing.T) { test(t, server, f, k) })
				})
				ran++
			}
		}
	}
	t.Logf("%d faults were swept", ran)
	if ran < 100 {
		t.Errorf("only %d cases ran", ran)
	}
}

func sweepRollback(t *testing.T, server tfesim.Personality, f sweepFault, k int) {
	spy := &spy{}
	b, path := hauledOnce(t, tfesim.Options{Personality: server}, func(next http.RoundTripper) http.RoundTripper {
		spy.next = next
		return spy
	})
	if f.refuse {
		spy.refuse.Store(spy.seen.Load() + int64(k))
	} else {
		fault := f.fault
		fault.Nth = k
		b.sim.Inject(fault)
	}
	move := b.rollbackOf(path)[0]
	r := b.engine.Move(t.Context(), move)
	held, _, _ := b.sim.Current(org, workspace)
	isOld, isNew := bytes.Equal(held, sweepSnapshot), bytes.Equal(unnumbered(held), unnumbered(formerState))
	_, locked := b.sim.LockHolder(org, workspace)
	success := r.Outcome == migrate.Moved || r.Outcome == migrate.AlreadyThere
	unsure := r.Code == migrate.CodeUnproven || r.Code == migrate.CodeLockLeft
	switch {
	case !isOld && !isNew:
		t.Error("the workspace holds neither the haul's state nor the former one")
	case success != isNew && !unsure:
		t.Errorf("the former state is there: %v, and the result is %s/%s: %s", isNew, r.Outcome, r.Code, r.Message)
	case locked && !r.Locked, r.Locked && success:
		t.Errorf("locked: %v, reported: %v", locked, r.Locked)
	case spy.strayed.Load():
		t.Error("the bearer went to another host")
	}
	b.sim.ClearFaults()
	if r.Locked {
		if _, err := b.engine.UnlockByID(context.WithoutCancel(t.Context()), workspace, ""); err != nil {
			t.Errorf("the lock that was left could not be released: %v", err)
		}
	}
	b.engine.Haul = migrate.NewHaulID()
	if again := b.engine.Move(t.Context(), move); again.Outcome != migrate.Moved && again.Outcome != migrate.AlreadyThere &&
		!(isNew && again.Code == migrate.CodeAdvanced) { // without a journal, the raised serial is not known as ours
		t.Errorf("the second run ended in %s/%s: %s", again.Outcome, again.Code, again.Message)
	}
	b.wantRolledBack()
}

// Objects and files get their former bytes, from the version that is kept or from the backup.
func TestRollbackOfObjects(t *testing.T) {
	t.Run("memory", func(t *testing.T) { rollBackAStore(t, newStoreBench(t, false, formerState)) })
	t.Run("memory, one version", func(t *testing.T) { rollBackAStore(t, newStoreBench(t, true, formerState)) })
	t.Run("file", func(t *testing.T) { rollBackAStore(t, newFileBench(t, t.TempDir(), formerState)) })
	server := startS3(t)
	for _, l := range s3Layouts {
		t.Run("s3, "+l.name, func(t *testing.T) {
			b, _ := newS3Bench(t, server, l, formerState)
			rollBackAStore(t, b)
		})
	}
}

func rollBackAStore(t *testing.T, b *storeBench) {
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	journal, _, err := migrate.OpenJournal(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	b.engine.Journal, b.engine.Haul = journal, journal.Haul()
	if r := b.move(t.Context(), nil); r.Outcome != migrate.Moved {
		t.Fatalf("the haul ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	b.engine.Journal, b.engine.Haul, b.engine.IncludeEmpty = nil, migrate.NewHaulID(), true
	move := written(t, path)[0].Move(b.engine.Target, b.key)
	if r := b.engine.Move(t.Context(), move); r.Outcome != migrate.Moved || !bytes.Equal(b.current(), formerState) || !b.keeps(sweepSnapshot) {
		t.Errorf("the rollback ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	if b.locked() {
		t.Error("a lock was left")
	}
	if r := b.engine.Move(t.Context(), move); r.Outcome != migrate.AlreadyThere {
		t.Errorf("the second rollback ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	b.put(state(9, lineage, 5))
	if r := b.engine.Move(t.Context(), move); r.Outcome != migrate.Refused || !bytes.Equal(b.current(), state(9, lineage, 5)) {
		t.Errorf("a rollback of what has advanced ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
}

// A haul that ran twice is rolled back to what was there before its first run.
func TestRollbackOfAHaulThatRanTwice(t *testing.T) {
	for name, between := range map[string][]byte{"undisturbed": nil, "with a state of another user between": state(8, lineage, 4)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, path := hauledOnce(t, tfesim.Options{}, func(next http.RoundTripper) http.RoundTripper { return next })
				want := formerState
				if between != nil {
					b.holds(between)
					want = between
				}
				b.snapshot(state(9, lineage, 3))
				b.withJournal(path, migrate.UploadAuto)
				if r := b.run(); r.Outcome != migrate.Moved {
					t.Fatalf("the second run ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
				}
				if err := b.engine.Journal.Close(); err != nil {
					t.Fatal(err)
				}
				b.engine.Journal, b.engine.Past, b.engine.Haul = nil, nil, migrate.NewHaulID()
				if r := b.engine.Move(t.Context(), b.rollbackOf(path)[0]); r.Outcome != migrate.Moved {
					t.Errorf("the rollback ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
				}
				b.wantHeld(want)
			})
		})
	}
}

// A journal from before tfhaul recorded what it replaces is refused, and so is a haul that was
// cut off.
func TestRollbackNeedsAWholeRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, path := hauledOnce(t, tfesim.Options{}, func(next http.RoundTripper) http.RoundTripper { return next })
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		old := regexp.MustCompile(`"was":\{[^}]*\},?`).ReplaceAll(text, nil)
		sending := bytes.Index(text, []byte(`"event":"sending"`))
		cut := text[:sending+bytes.IndexByte(text[sending:], '\n')+1]
		for name, journal := range map[string][]byte{"old": bytes.ReplaceAll(old, []byte(",}"), []byte("}")), "cut off": cut} {
			if err := os.WriteFile(path, journal, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := b.engine.Move(t.Context(), b.rollbackOf(path)[0]); r.Code != migrate.CodeNoFormer {
				t.Errorf("%s: the rollback ended in %s/%s: %s", name, r.Outcome, r.Code, r.Message)
			}
			b.wantHeld(sweepSnapshot)
		}
	})
}
