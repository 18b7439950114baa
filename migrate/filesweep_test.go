package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/fixtures/testenv"
	"tfhaul/migrate"
)

// newFileBench returns a bench whose target is a directory.
func newFileBench(t *testing.T, dir string, held []byte) *storeBench {
	b := newEmptyBench(t, "network/terraform.tfstate")
	path := filepath.Join(dir, "network", "terraform.tfstate")
	b.open = func() backend.Target {
		target, err := file.Kind(backend.Connection{}).Target.Open(t.Context(), dir+"/")
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	b.put = func(text []byte) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".of-another", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".of-another", path); err != nil {
			t.Fatal(err)
		}
	}
	lock := filepath.Join(dir, "network", ".terraform.tfstate.lock.info")
	b.force = func(reason string) {
		if err := os.Remove(lock); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if reason == "" {
			return
		}
		info := backend.NewLockInfo(backend.LockRequest{Operation: "OperationTypeApply", Info: reason}, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(lock), 0o700), os.WriteFile(lock, info.Marshal(), 0o600)); err != nil {
			t.Error(err)
		}
	}
	b.lockedBy = func() string {
		var l backend.Lock
		if text, err := os.ReadFile(lock); err == nil {
			l.Describe(text)
		}
		return l.Info
	}
	if held != nil {
		b.put(held)
	}
	b.aim(&faultyTarget{b.open(), b.faults})
	return b
}

// TestFilesWithstandEveryAttack is TestStoresWithstandEveryAttack for files.
func TestFilesWithstandEveryAttack(t *testing.T) {
	const sampled = 5
	ran, of := 0, 0
	for _, name := range slices.Sorted(maps.Keys(storeMoves)) {
		s := storeMoves[name]
		b := newFileBench(t, t.TempDir(), s.held)
		b.move(t.Context(), s.change)
		for k := 1; k <= b.faults.n; k++ {
			for _, f := range storeAttacks {
				if of++; !testenv.Full() && of%sampled != 0 {
					continue
				}
				ran++
				t.Run(fmt.Sprintf("%s/%s at operation %d", name, f, k), func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					b := newFileBench(t, dir, s.held)
					b.withstands(dir, name, k, f)
				})
			}
		}
	}
	t.Logf("%d of %d attacks were swept over %d kinds of move into a file", ran, of, len(storeMoves))
}

// withstands makes the attacked move in another process, because the system's lock of a file that
// stays locked ends with the process. It judges what is left, and moves again.
func (b *storeBench) withstands(dir, name string, at int, attack string) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "haul.jsonl")
	_, out, err := moveInProcess(b.t, dir, path, b.engine.BackupDir, name, at, attack)
	text, read := os.ReadFile(path + attackedExt)
	var a attacked
	if err := errors.Join(err, read, json.Unmarshal(text, &a)); err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	b.faults.op, b.faults.misread, b.faults.rival = a.Op, a.Misread, a.Rival
	b.judge(a.Result, storeMoves[name].held)
	b.checkTheirLock()
	if a.Rival == nil {
		b.againAfter(path, storeMoves[name].held, storeMoves[name].change)
	}
	if b.t.Failed() {
		b.t.Logf("at %s: %s/%s, locked %v: %s %q", a.Op, a.Result.Outcome, a.Result.Code, a.Result.Locked, a.Result.Message, a.Result.Notes)
	}
}

// An attacked move is what the process of moveInProcess says of it, in a file beside its journal.
type attacked struct {
	Op      string
	Misread bool
	Rival   []byte
	Result  migrate.Result
}

const attackedExt = ".attacked"

// TestFilesSurviveEveryFault spoils every operation of every kind of move into a file. A
// kill is one: the move runs in a process of its own.
func TestFilesSurviveEveryFault(t *testing.T) {
	const sampled = 7 // how many faults there are for each one of the sample
	ran, of := 0, 0
	t.Run("sweep", func(t *testing.T) {
		for _, name := range slices.Sorted(maps.Keys(storeMoves)) {
			s := storeMoves[name]
			b := newFileBench(t, t.TempDir(), s.held)
			if r := b.move(t.Context(), s.change); !r.Arrived() {
				t.Fatalf("%s: %+v", name, r)
			}
			for k := 1; k <= b.faults.n; k++ {
				for _, f := range storeFaults {
					kill := strings.HasPrefix(f, "killed")
					if of++; kill && testing.Short() || !testenv.Full() && of%sampled != 0 {
						continue
					}
					ran++
					t.Run(fmt.Sprintf("%s/%s at operation %d", name, f, k), func(t *testing.T) {
						t.Parallel()
						dir := t.TempDir()
						b := newFileBench(t, dir, s.held)
						if !kill {
							b.faults.at, b.faults.fault = k, f
							b.survives(s.held, s.change)
							return
						}
						path := filepath.Join(t.TempDir(), "haul.jsonl")
						moveAndDie(t, dir, path, b.engine.BackupDir, name, k, f)
						b.againAfter(path, s.held, s.change)
					})
				}
			}
		}
	})
	t.Logf("%d of %d faults were swept over %d kinds of move into a file", ran, of, len(storeMoves))
}

// dyingMove is the variable that makes the test binary a move that is killed.
const dyingMove = "TFHAUL_TEST_DYING_MOVE"

// moveInProcess runs a move in another process.
func moveInProcess(t *testing.T, dir, journal, backups, name string, at int, fault string) (*exec.Cmd, string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDyingMove$", "-test.count=1")
	c.Env = append(os.Environ(), dyingMove+"="+strings.Join([]string{dir, journal, backups, name, strconv.Itoa(at), fault}, "|"))
	out, err := c.CombinedOutput()
	return c, string(out), err
}

// moveAndDie runs a move in another process, which is killed at an operation.
func moveAndDie(t *testing.T, dir, journal, backups, name string, at int, fault string) {
	t.Helper()
	c, out, err := moveInProcess(t, dir, journal, backups, name, at, fault)
	if err == nil || c.ProcessState.Exited() && runtime.GOOS != "windows" {
		t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
}

// TestDyingMove is the process of moveInProcess.
func TestDyingMove(t *testing.T) {
	words := strings.Split(os.Getenv(dyingMove), "|")
	if len(words) != 6 {
		t.Skip("only for the sweep of files")
	}
	if slices.Contains(storeAttacks, words[5]) { // which may suspend it for a minute
		synctest.Test(t, func(t *testing.T) { dyingMoveOf(t, words) })
	} else {
		dyingMoveOf(t, words)
	}
}

// dyingMoveOf makes the move that the words of the variable dyingMove describe.
func dyingMoveOf(t *testing.T, words []string) {
	s := storeMoves[words[3]]
	b := newFileBench(t, words[0], nil)
	at, err := strconv.Atoi(words[4])
	if err != nil {
		t.Fatal(err)
	}
	b.faults.at, b.faults.fault = at, words[5]
	b.faults.died = func() {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			_ = self.Kill()
		}
		select {}
	}
	journal, past, err := migrate.OpenJournal(t.Context(), words[1])
	if err != nil {
		t.Fatal(err)
	}
	b.engine.Journal, b.engine.Haul, b.engine.Past, b.engine.BackupDir = journal, journal.Haul(), past, words[2]
	r := b.engine.Move(context.Background(), b.theMove(s.change))
	a := attacked{Op: b.faults.op, Misread: b.faults.misread, Rival: b.faults.rival, Result: r}
	text, err := json.Marshal(a)
	if err := errors.Join(err, os.WriteFile(words[1]+attackedExt, text, 0o600), journal.Close()); err != nil {
		t.Error(err)
	}
}
