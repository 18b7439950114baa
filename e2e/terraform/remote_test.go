package terraform

import (
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// In remote execution mode terraform uploads the configuration, waits for the run, and
// prints the server's plan.
func TestRemotePlanIsShown(t *testing.T) {
	s := open(t, tfesim.Options{ExecutionMode: "remote"})
	f := s.configure(t, `cloud {
  hostname     = "HOST"
  organization = "demo"
  workspaces { name = "remote" }
}`)
	f.run("init", "-input=false", "-no-color")
	code, stdout, stderr := f.try("plan", "-input=false", "-no-color")
	if code != 0 {
		t.Fatalf("plan: exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, part := range []string{"terraform_data.a will be created", "Plan: 2 to add, 0 to change, 0 to destroy."} {
		if !strings.Contains(stdout, part) {
			t.Errorf("the plan does not show %q:\n%s", part, stdout)
		}
	}
	if strings.Contains(stdout, "hidden") {
		t.Error("a sensitive value is shown")
	}
	if _, _, ok := s.Current("demo", "remote"); ok {
		t.Error("a plan has written a state")
	}
	s.wantUnlocked(t)
}

// A server that refuses runs tells terraform's user why, and what to do.
func TestRefusedRunIsExplained(t *testing.T) {
	s := open(t, tfesim.Options{ExecutionMode: "remote", NoRuns: "runs are off: start the server with --allow-runs"})
	f := s.configure(t, `cloud {
  hostname     = "HOST"
  organization = "demo"
  workspaces { name = "remote" }
}`)
	f.run("init", "-input=false", "-no-color")
	code, stdout, stderr := f.try("plan", "-input=false", "-no-color")
	if code == 0 || !strings.Contains(stdout+stderr, "start the server with --allow-runs") {
		t.Errorf("plan: exit code %d\n%s%s", code, stdout, stderr)
	}
}
