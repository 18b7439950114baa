package command_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"tfhaul/fixtures/testenv"
	"tfhaul/tfesim"
)

// statesInterrupted is how many states a haul has that is interrupted.
func statesInterrupted() int {
	if testenv.Full() {
		return 300
	}
	return 60
}

// recommended returns the arguments of the command that a line of the output recommends.
func recommended(t *testing.T, output, line string) []string {
	t.Helper()
	for said := range strings.Lines(output) {
		if before, command, ok := strings.Cut(strings.TrimSpace(said), ": tfhaul "); ok && strings.HasPrefix(before, line) {
			return strings.Fields(command)
		}
	}
	t.Fatalf("no line begins with %q:\n%s", line, output)
	return nil
}

// mustHoldAll checks that every state of a tree by many arrived, and that nothing is locked.
func (h *host) mustHoldAll(t *testing.T, states map[string][]byte) {
	t.Helper()
	for path, raw := range states {
		workspace, _, _ := strings.Cut(path, "/")
		h.mustHold(t, workspace, raw)
		h.mustBeFree(t, workspace)
	}
}

// One interrupt of a haul: the moves that hold a lock are finished, and what is printed
// suffices to finish the others.
func TestHaulIsInterruptedOnce(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	states := many(statesInterrupted())
	c := h.spawn(t, "migrate", tree(t, states), "--target", org, "--create", "--yes", "--journal", journalIn(t))
	var sent atomic.Int64
	h.OnRequest(func(q tfesim.Request) {
		if matches(q.Endpoint, createVersion) && sent.Add(1) == 20 {
			c.signal(t, os.Interrupt)
		}
	})
	c.start(t)
	r := c.wait(t, h)
	// On a busy machine, the signal may arrive when no move holds a lock.
	if r.code != 130 || !strings.Contains(r.stderr, "Stopping: ") || !strings.Contains(r.stdout, "not-attempted") {
		t.Fatalf("exit code %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
	again := recommended(t, r.stdout, "To continue")
	if r := h.tfhaul(t, again...); r.code != 0 {
		t.Errorf("%q: exit code %d:\n%s%s", again, r.code, r.stdout, r.stderr)
	}
	h.mustHoldAll(t, states)
}

// Two interrupts end a haul immediately: one command unlocks everything that it left locked,
// and one continues it, with or without the other.
func TestHaulIsInterruptedTwice(t *testing.T) {
	t.Parallel()
	for _, unlocks := range []bool{true, false} {
		t.Run(fmt.Sprintf("unlocked first: %v", unlocks), func(t *testing.T) {
			t.Parallel()
			h := start(t, tfesim.Options{})
			states := many(statesInterrupted())
			c := h.spawn(t, "migrate", tree(t, states), "--target", org, "--create", "--yes", "--journal", journalIn(t))
			// From the 20th on, no upload gets a response, so that 8 moves hold their locks.
			const first, parallel = 20, 8
			h.Inject(tfesim.Fault{Endpoint: endpointOf(createVersion), Nth: first, Times: -1, Kind: tfesim.FaultHang})
			var sent atomic.Int64
			h.OnRequest(func(q tfesim.Request) {
				if matches(q.Endpoint, createVersion) && sent.Add(1) == first+parallel-1 {
					c.signal(t, os.Interrupt)
				}
			})
			c.start(t)
			for said := ""; !strings.HasPrefix(said, "Stopping: finishing 8 moves. Press Ctrl-C again to stop now; that leaves their locks."); {
				var err error
				if said, err = c.stderr.ReadString('\n'); err != nil {
					t.Fatal("it does not say what an interrupt does")
				}
			}
			c.signal(t, os.Interrupt)
			r := c.wait(t, h)
			h.ClearFaults()
			if r.code != 130 || r.stdout != "" || !strings.Contains(r.stderr, "stopped at once; 8 workspaces are left locked") || strings.Count(r.stderr, "tfhaul unlock") != 1 {
				t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
			}
			if unlocks {
				unlock := recommended(t, r.stderr, "To unlock them")
				if freed := h.tfhaul(t, unlock...); freed.code != 0 || strings.Count(freed.stdout, "unlocked: ") != parallel {
					t.Errorf("%q: exit code %d:\n%s%s", unlock, freed.code, freed.stdout, freed.stderr)
				}
				for path := range states {
					workspace, _, _ := strings.Cut(path, "/")
					h.mustBeFree(t, workspace)
				}
			}
			again := recommended(t, r.stderr, "To continue")
			if r := h.tfhaul(t, again...); r.code != 0 {
				t.Errorf("%q: exit code %d:\n%s%s", again, r.code, r.stdout, r.stderr)
			}
			h.mustHoldAll(t, states)
		})
	}
}
