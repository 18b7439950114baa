//go:build unix

package s3_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tfhaul/fixtures"
	"tfhaul/tfesim"
)

// The weekend of a platform team: what TestHaulOfAWeekend moves, and what it may take.
const (
	inBuckets, inDirectories = 500, 300

	limit       = 30 // API requests a second
	latency     = 40 * time.Millisecond
	mostTime    = 1.15 // times the API requests ÷ limit
	mostMemory  = 150 << 20
	newOnes     = 40 // workspaces that do not exist yet
	haulOrg     = "acme"
	haulTimeout = 10 * time.Minute
)

// TestHaulOfAWeekend moves 500 states from two buckets, one of them versioned, with
// two workspace prefixes, and 300 from directories, in one tfhaul migrate, into a
// server that allows 30 requests a second and takes 40 ms for each.
func TestHaulOfAWeekend(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes two minutes")
	}
	program := buildProgram(t)
	sim, environ := startTFE(t)
	want := map[string][]byte{} // by workspace
	sources := plantWeekend(t, want)
	if len(want) != inBuckets+inDirectories {
		t.Fatalf("%d workspaces are named, want %d", len(want), inBuckets+inDirectories)
	}
	existing := 0
	for workspace := range want {
		if existing++; existing > newOnes {
			if _, err := sim.AddWorkspace(haulOrg, workspace); err != nil {
				t.Fatal(err)
			}
		}
	}
	sim.ResetRequests()
	calls := 0
	sim.OnRequest(func(q tfesim.Request) {
		if strings.HasPrefix(q.Path, "/api/v2/") {
			calls++ // one at a time is not promised, so that this may be too few: see below
		}
	})

	journal := filepath.Join(t.TempDir(), "haul.jsonl")
	args := append([]string{"migrate", "--target", haulOrg, "--create", "--yes", "--json", "--journal", journal}, sources...)
	child := exec.CommandContext(t.Context(), program, args...)
	child.Env = environ
	var stdout, stderr bytes.Buffer
	child.Stdout, child.Stderr = &stdout, &stderr
	start := time.Now()
	err := child.Run()
	took := time.Since(start)
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(stderr.String()))
	}

	wantWeekend(t, sim, want)
	ideal := time.Duration(apiCalls(sim)) * time.Second / limit
	ratio := took.Seconds() / ideal.Seconds()
	memory := peakMemory(child)
	t.Logf("%d states in %.1f s with %d API calls: %.3f times calls ÷ %d/s; peak memory %d MiB, of a machine with %d CPUs",
		len(want), took.Seconds(), apiCalls(sim), ratio, limit, memory>>20, runtime.NumCPU())
	if ratio > mostTime {
		t.Errorf("it took %.3f times calls ÷ limit, want at most %.2f", ratio, mostTime)
	}
	if memory > mostMemory {
		t.Errorf("peak memory is %d MiB, want at most %d", memory>>20, mostMemory>>20)
	}
	var document struct {
		Summary  map[string]int
		APICalls int `json:"api_calls"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if document.Summary["moved"] != len(want) || document.APICalls != apiCalls(sim) {
		t.Errorf("it says %v and %d API calls; the server counted %d", document.Summary, document.APICalls, apiCalls(sim))
	}
}
