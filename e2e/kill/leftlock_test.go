//go:build unix

package kill

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/fixtures/testenv"
)

// A move without --journal is killed. tfhaul unlock then lists what is, or may be, still
// locked, the command that it prints frees the lock, and the same move succeeds.
func TestUnlockAfterAKilledMove(t *testing.T) {
	move := job{name: "move", states: 1, args: func(dir string) []string {
		return []string{"move", filepath.Join(dir, "ws-0", "terraform.tfstate"), org + "/ws-0"}
	}}
	requests := move.countRequests(t)
	locked := 0
	for k := 1; k <= requests; k++ {
		for i, b := range blows[:2] { // SIGKILL
			if !testenv.Full() && (k+i)%2 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s at request %d", b.name, k), func(t *testing.T) {
				s := move.stage(t)
				s.environ = append(s.environ, "TFHAUL_JOURNAL=", "XDG_STATE_HOME="+t.TempDir())
				s.strike(t, b, k)
				left := len(s.Locked(org))
				locked += left
				listed := s.run(t, "unlock")
				_, command, ok := strings.Cut(strings.Join(strings.Fields(listed), " "), "To unlock: tfhaul ")
				command, _, _ = strings.Cut(command, ". If the server")
				if left > 0 && !ok {
					t.Fatalf("the lock is not listed: %s", listed)
				}
				if ok {
					s.run(t, strings.Fields(command)...)
				}
				if left := s.Locked(org); len(left) > 0 {
					t.Errorf("%q are still locked after %q", left, command)
				}
				if again := s.run(t, "unlock"); strings.Contains(again, "To unlock: ") {
					t.Errorf("it is still listed: %s", again)
				}
				s.run(t, s.args(s.dir)...)
				s.wantDone(t)
			})
		}
	}
	if locked == 0 {
		t.Error("no move was killed under its lock")
	}
}

// run runs a command that must succeed, and returns its output.
func (s *stage) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = s.environ
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("tfhaul %q: %v\n%s", args, err, out)
	}
	return string(out)
}
