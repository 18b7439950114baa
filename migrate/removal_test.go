package migrate_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// createdOnce makes a bench whose workspace a haul has created.
func createdOnce(t *testing.T, o tfesim.Options, over func(http.RoundTripper) http.RoundTripper) (*bench, string) {
	b := newBenchOver(t, o, over)
	if slices.Contains(b.sim.Workspaces(org), workspace) {
		if err := b.sim.DeleteWorkspace(org, workspace); err != nil {
			t.Fatal(err)
		}
	}
	b.snapshot(sweepSnapshot)
	path := filepath.Join(t.TempDir(), "haul.jsonl")
	b.withJournal(path, migrate.UploadAuto)
	b.engine.Create = true
	if r := b.run(); r.Outcome != migrate.Moved || !r.Created {
		t.Fatalf("the haul ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	b.engine.Journal, b.engine.Past, b.engine.Haul, b.engine.Create = nil, nil, migrate.NewHaulID(), false
	b.sim.ResetRequests()
	return b, path
}

func direct(next http.RoundTripper) http.RoundTripper { return next }

// exists reports whether the workspace exists.
func (b *bench) exists() bool { return slices.Contains(b.sim.Workspaces(org), workspace) }

// savedIn reports whether a directory has a file with these bytes.
func savedIn(dir string, text []byte) bool {
	found := false
	_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if kept, unread := os.ReadFile(path); err == nil && unread == nil && !strings.HasSuffix(path, ".part") {
			found = found || bytes.Equal(kept, text)
		}
		return nil
	})
	return found
}

// A workspace that the haul created is deleted if that is asked for, and its state is kept.
func TestRollbackDeletesACreatedWorkspace(t *testing.T) {
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.Lax} {
		t.Run(server.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, path := createdOnce(t, tfesim.Options{Personality: server}, direct)
				move := b.rollbackOf(path)[0]
				r := b.engine.Move(t.Context(), move)
				want(t, r, migrate.Refused, "", migrate.CodeNothingBefore)
				if !strings.Contains(r.Message, "--delete-created") || !b.exists() {
					t.Errorf("without the flag: %s", r.Message)
				}
				b.engine.DeleteCreated, b.engine.DryRun = true, true
				r = b.engine.Move(t.Context(), move)
				if r.Outcome != migrate.WouldMove || !r.Deleted || !strings.Contains(r.Message, "would be deleted") || !b.exists() {
					t.Errorf("the dry run ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
				}
				b.engine.DryRun = false
				b.withJournal(migrate.RollbackJournal(path), migrate.UploadAuto)
				r = b.engine.Move(t.Context(), move)
				if r.Outcome != migrate.Moved || !r.Deleted || r.Locked || b.exists() {
					t.Errorf("the rollback ended in %s/%s: %s %q", r.Outcome, r.Code, r.Message, r.Notes)
				}
				if kept, err := os.ReadFile(r.Backup); err != nil || !bytes.Equal(kept, sweepSnapshot) {
					t.Errorf("the backup %q does not hold the state: %v", r.Backup, err)
				}
				if err := b.engine.Journal.Close(); err != nil {
					t.Fatal(err)
				}
				b.withJournal(migrate.RollbackJournal(path), migrate.UploadAuto)
				if r := b.engine.Move(t.Context(), move); r.Outcome != migrate.AlreadyThere || !r.Deleted || r.Locked {
					t.Errorf("the second rollback ended in %s/%s: %s %q", r.Outcome, r.Code, r.Message, r.Notes)
				}
				if locks := b.engine.Past.HeldLocks(); len(locks) > 0 {
					t.Errorf("the journal still records the locks %v", locks)
				}
				if err := b.engine.Journal.Close(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// What is no longer exactly as the haul left it is not deleted.
func TestRollbackDoesNotDeleteWhatIsUsed(t *testing.T) {
	other := state(8, lineage, 4)
	seed := func(b *bench, raw []byte) {
		if _, err := b.sim.Seed(org, workspace, raw); err != nil {
			b.t.Fatal(err)
		}
	}
	again := func(b *bench) {
		if err := b.sim.DeleteWorkspace(org, workspace); err != nil {
			b.t.Fatal(err)
		}
		seed(b, sweepSnapshot)
	}
	for name, c := range map[string]struct {
		change func(*bench)
		code   migrate.Code
	}{
		"advanced":        {func(b *bench) { seed(b, other) }, migrate.CodeAdvanced},
		"created again":   {again, migrate.CodeAdvanced},
		"the same, newer": {func(b *bench) { seed(b, other); seed(b, sweepSnapshot) }, migrate.CodeAdvanced},
		"renamed": {func(b *bench) {
			if err := b.sim.RenameWorkspace(org, workspace, "renamed"); err != nil {
				b.t.Fatal(err)
			}
		}, migrate.CodeRenamed},
		"deleted by another": {func(b *bench) {
			if err := b.sim.DeleteWorkspace(org, workspace); err != nil {
				b.t.Fatal(err)
			}
		}, migrate.CodeNoWorkspace},
		"with a run, plan-only": {func(b *bench) { b.startRun(true) }, migrate.CodeNotRemovable},
		"with a run":            {func(b *bench) { b.startRun(false) }, migrate.CodeNotRemovable},
		"locked": {func(b *bench) {
			if err := b.sim.Lock(org, workspace, tfesim.Owner, "in use"); err != nil {
				b.t.Fatal(err)
			}
		}, migrate.CodeLocked},
	} {
		for _, dry := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, dry run %v", name, dry), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, path := createdOnce(t, tfesim.Options{}, direct)
					c.change(b)
					before := b.sim.Workspaces(org)
					b.engine.DeleteCreated, b.engine.DryRun = true, dry
					r := b.engine.Move(t.Context(), b.rollbackOf(path)[0])
					if r.Outcome != migrate.Refused || r.Code != c.code || r.Deleted || r.Locked {
						t.Errorf("it ended in %s/%s, want %s: %s", r.Outcome, r.Code, c.code, r.Message)
					}
					if now := b.sim.Workspaces(org); !slices.Equal(now, before) {
						t.Errorf("the workspaces are %q, and were %q", now, before)
					}
				})
			})
		}
	}
}

// startRun starts a run of an empty configuration.
func (b *bench) startRun(planOnly bool) {
	b.t.Helper()
	target := b.engine.Target.(*tfe.Target)
	ws, err := target.Workspace(b.t.Context(), org, workspace)
	if err != nil {
		b.t.Fatal(err)
	}
	cv, err := target.CreateConfigurationVersion(b.t.Context(), ws, tfe.ConfigurationOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	if err := errors.Join(tar.NewWriter(zipped).Close(), zipped.Close()); err != nil {
		b.t.Fatal(err)
	}
	body := tfe.Body{Size: int64(archive.Len()), MD5: digest(archive.Bytes()), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}}
	if err := target.UploadConfiguration(b.t.Context(), cv, body); err != nil {
		b.t.Fatal(err)
	}
	run, err := target.CreateRun(b.t.Context(), ws, tfe.RunOptions{ConfigurationVersion: cv.ID, PlanOnly: planOnly})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.sim.AwaitRun(b.t.Context(), run.ID, "planned_and_finished", "planned", "errored"); err != nil {
		b.t.Fatal(err)
	}
	b.engine.LockTimeout = time.Minute // the run may hold the lock until it is over
}

// A version that the haul did not write stays, although the haul's is current.
func TestRollbackKeepsOtherVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, path := createdOnce(t, tfesim.Options{}, direct)
		if _, err := b.sim.Seed(org, workspace, state(8, lineage, 4)); err != nil {
			t.Fatal(err)
		}
		b.snapshot(state(9, lineage, 3))
		b.withJournal(path, migrate.UploadAuto) // the haul continues, over the version of another user
		if r := b.run(); r.Outcome != migrate.Moved {
			t.Fatalf("the second run ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
		}
		if err := b.engine.Journal.Close(); err != nil {
			t.Fatal(err)
		}
		b.engine.Journal, b.engine.Past, b.engine.Haul, b.engine.DeleteCreated = nil, nil, migrate.NewHaulID(), true
		// What the other user wrote was there before, so it is put back.
		if r := b.engine.Move(t.Context(), b.rollbackOf(path)[0]); r.Outcome != migrate.Moved || r.Deleted || !b.exists() {
			t.Errorf("the rollback ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
		}
		b.wantHeld(state(8, lineage, 4))
	})
}

// A deletion that dies at any event is continued.
func TestRemovalResumesAfterDeath(t *testing.T) {
	for _, server := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		for dieAt, died := 1, true; died; dieAt++ {
			t.Run(fmt.Sprintf("%s, event %d", server, dieAt), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, path := createdOnce(t, tfesim.Options{Personality: server}, direct)
					b.withJournal(migrate.RollbackJournal(path), migrate.UploadAuto)
					b.engine.DeleteCreated = true
					died = b.dieAt(dieAt, b.rollbackOf(path)[0])
					b.withJournal(migrate.RollbackJournal(path), migrate.UploadAuto)
					b.engine.DeleteCreated = true
					results, err := b.haulAll(b.haul(), b.rollbackOf(path))
					if err != nil {
						t.Fatal(err)
					}
					r := results[0]
					if r.Outcome != migrate.Moved && r.Outcome != migrate.AlreadyThere || !r.Deleted || r.Locked || b.exists() {
						t.Errorf("the second run ended in %s/%s: %s %q", r.Outcome, r.Code, r.Message, r.Notes)
					}
					if !savedIn(b.engine.BackupDir, sweepSnapshot) {
						t.Error("the state is not in the backup directory")
					}
					if err := b.engine.Journal.Close(); err != nil {
						t.Fatal(err)
					}
				})
			})
		}
	}
}

// Every fault at every request of a deletion leaves the workspace or a backup, and a true
// report.
func TestRemovalFaultSweep(t *testing.T) {
	sweepRequests(t, 4, func(t *testing.T, server tfesim.Personality) int {
		b, path := createdOnce(t, tfesim.Options{Personality: server}, direct)
		b.engine.DeleteCreated = true
		if r := b.engine.Move(t.Context(), b.rollbackOf(path)[0]); !r.Deleted || b.exists() {
			t.Fatalf("%s/%s: %s", r.Outcome, r.Code, r.Message)
		}
		return len(b.sim.Requests())
	}, sweepRemoval)
}

func sweepRemoval(t *testing.T, server tfesim.Personality, f sweepFault, k int) {
	spy := &spy{}
	b, path := createdOnce(t, tfesim.Options{Personality: server}, func(next http.RoundTripper) http.RoundTripper {
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
	journal := migrate.RollbackJournal(path)
	b.withJournal(journal, migrate.UploadAuto)
	b.engine.DeleteCreated = true
	move := b.rollbackOf(path)[0]
	r := b.engine.Move(t.Context(), move)
	_, locked := b.sim.LockHolder(org, workspace)
	success := r.Outcome == migrate.Moved && r.Deleted
	switch gone := !b.exists(); {
	case gone && !savedIn(b.engine.BackupDir, sweepSnapshot):
		t.Error("the workspace is gone, and its state is not in the backup directory")
	case success != gone && r.Code != migrate.CodeUnproven:
		t.Errorf("the workspace is gone: %v, and the result is %s/%s: %s", gone, r.Outcome, r.Code, r.Message)
	case locked && !r.Locked:
		t.Error("a lock was left and not reported")
	case spy.strayed.Load():
		t.Error("the bearer went to another host")
	}
	b.sim.ClearFaults()
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	b.withJournal(journal, migrate.UploadAuto)
	b.engine.DeleteCreated = true
	again := b.engine.Move(context.WithoutCancel(t.Context()), move)
	if again.Outcome != migrate.Moved && again.Outcome != migrate.AlreadyThere || !again.Deleted || b.exists() {
		t.Errorf("the first run ended in %s/%s, the second in %s/%s: %s %q", r.Outcome, r.Code, again.Outcome, again.Code, again.Message, again.Notes)
	}
	if err := b.engine.Journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// Objects and files that the haul made are deleted on the same terms.
func TestRollbackDeletesCreatedObjects(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		b := newStoreBench(t, false, nil)
		b.aim(b.open())
		deleteFromAStore(t, b, true)
	})
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		b := newFileBench(t, dir, nil)
		b.aim(b.open())
		deleteFromAStore(t, b, true)
		left, err := os.ReadDir(filepath.Join(dir, "network"))
		if err != nil || len(left) != 1 { // what the test itself put there
			t.Errorf("the directory holds %v, %v", left, err)
		}
	})
	server := startS3(t)
	for _, l := range s3Layouts {
		t.Run("s3, "+l.name, func(t *testing.T) {
			b, bucket := newS3Bench(t, server, l, nil)
			deleteFromAStore(t, b, l.lockFile)
			if l.lockFile && l.table && bucket.digest("live/"+b.key) != "" {
				t.Error("the digest was left")
			}
		})
	}
}

// deleteFromAStore deletes what a haul made, and then refuses what another program wrote.
func deleteFromAStore(t *testing.T, b *storeBench, can bool) {
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
	if r := b.engine.Move(t.Context(), move); r.Code != migrate.CodeNothingBefore || b.current() == nil {
		t.Errorf("without the flag: %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	b.engine.DeleteCreated = true
	r := b.engine.Move(t.Context(), move)
	if b.locked() {
		t.Error("a lock was left")
	}
	if !can {
		if r.Code != migrate.CodeNotRemovable || b.current() == nil {
			t.Errorf("the rollback ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
		}
		return
	}
	if r.Outcome != migrate.Moved || !r.Deleted || b.current() != nil || !savedIn(b.engine.BackupDir, sweepSnapshot) {
		t.Errorf("the rollback ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
	if strings.Contains(fmt.Sprint(r.Message, r.Notes), "orkspace") {
		t.Errorf("it calls a key a workspace: %s %q", r.Message, r.Notes)
	}
	other := state(9, lineage, 5)
	b.put(other)
	if r := b.engine.Move(t.Context(), move); r.Code != migrate.CodeAdvanced || !bytes.Equal(b.current(), other) || b.locked() {
		t.Errorf("a rollback of what another program wrote ended in %s/%s: %s", r.Outcome, r.Code, r.Message)
	}
}

// A bucket with a deletion whose response is lost is looked at again.
func TestALostDeletionOfAnObject(t *testing.T) {
	server := startS3(t)
	for _, fault := range []string{"lost", "refused", "broken", "slow down", "denied", "rival"} {
		t.Run(fault, func(t *testing.T) {
			b, _ := newS3Bench(t, server, s3Layouts[0], nil)
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
			b.engine.Journal, b.engine.Haul, b.engine.DeleteCreated = nil, migrate.NewHaulID(), true
			move := written(t, path)[0].Move(b.engine.Target, b.key)
			b.faults.fault = fault
			b.engine.Observe = func(e migrate.Event) {
				if e.Event == migrate.EventDeleting {
					b.faults.mu.Lock()
					b.faults.at = b.faults.n + 1
					b.faults.mu.Unlock()
				}
			}
			r := b.engine.Move(t.Context(), move)
			if b.faults.op != http.MethodDelete {
				// The lock is confirmed first if it is old.
				t.Fatalf("the fault hit %s", b.faults.op)
			}
			switch gone := b.current() == nil; {
			case fault == "rival" && (r.Code != migrate.CodeTargetChanged || !bytes.Equal(b.current(), b.faults.rival)):
				t.Errorf("the rival's state is gone: %v; %s/%s: %s", gone, r.Outcome, r.Code, r.Message)
			case fault == "denied" && (gone || r.Outcome != migrate.Failed):
				t.Errorf("gone: %v; %s/%s: %s", gone, r.Outcome, r.Code, r.Message)
			case fault != "rival" && fault != "denied" && (!gone || r.Outcome != migrate.Moved):
				t.Errorf("gone: %v; %s/%s: %s", gone, r.Outcome, r.Code, r.Message)
			}
			if b.locked() {
				t.Error("a lock was left")
			}
		})
	}
}
