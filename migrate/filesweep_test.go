package migrate_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

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
	if held != nil {
		b.put(held)
	}
	b.aim(&faultyTarget{b.open(), b.faults})
	return b
}

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

// moveAndDie runs a move in another process, which is killed at an operation.
func moveAndDie(t *testing.T, dir, journal, backups, name string, at int, fault string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDyingMove$", "-test.count=1")
	c.Env = append(os.Environ(), dyingMove+"="+strings.Join([]string{dir, journal, backups, name, strconv.Itoa(at), fault}, "|"))
	out, err := c.CombinedOutput()
	if err == nil || c.ProcessState.Exited() && runtime.GOOS != "windows" {
		t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
}

// TestDyingMove is the process of moveAndDie.
func TestDyingMove(t *testing.T) {
	words := strings.Split(os.Getenv(dyingMove), "|")
	if len(words) != 6 {
		t.Skip("only for the sweep of files")
	}
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
	b.engine.Move(context.Background(), b.theMove(s.change))
}
