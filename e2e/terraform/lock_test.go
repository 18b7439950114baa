package terraform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfhaul/tfesim"
)

func TestForceUnlockFreesALockOfOurOwn(t *testing.T) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.OldTFE} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := open(t, tfesim.Options{Personality: p})
			f := s.configure(t, byName)
			f.run("init", "-no-color")
			f.run("apply", "-no-color", "-auto-approve")
			if err := s.Lock("demo", "net", tfesim.Owner, "left behind"); err != nil {
				t.Fatal(err)
			}
			code, _, stderr := f.try("apply", "-no-color", "-auto-approve", "-var", "size=2")
			if code == 0 || !strings.Contains(stderr, "workspace already locked") {
				t.Fatalf("apply under a lock: exit code %d\n%s", code, stderr)
			}
			f.run("force-unlock", "-force", "demo/net")
			s.wantUnlocked(t)
			f.run("apply", "-no-color", "-auto-approve", "-var", "size=2")
			f.wantHeld("net")
		})
	}
}

func TestForceUnlockIsForTheHolderAndForAdmins(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{})
	f := s.configure(t, byName)
	f.run("init", "-no-color")
	// Terraform's force-unlock uses an ordinary unlock if that is enough. The owner is an
	// admin, so another user's lock is removed, too.
	if err := s.Lock("demo", "net", tfesim.SecondUser, ""); err != nil {
		t.Fatal(err)
	}
	f.run("force-unlock", "-force", "demo/net")
	s.wantUnlocked(t)

	if err := s.Lock("demo", "net", tfesim.Owner, ""); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "second.tfrc")
	content := "credentials \"" + s.running.Host() + "\" {\n  token = \"" + s.Token(tfesim.SecondUser) + "\"\n}\n"
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f.site.env["TF_CLI_CONFIG_FILE"] = config
	f.site.env["TFE_TOKEN"] = ""
	if code, _, _ := f.try("force-unlock", "-no-color", "-force", "demo/net"); code == 0 {
		t.Error("a user without admin access freed the owner's lock")
	}
	if h, ok := s.LockHolder("demo", "net"); !ok || h.Identity != tfesim.Owner {
		t.Errorf("the lock is held by %q", h.Identity)
	}
}

func TestStatePush(t *testing.T) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.OldTFE} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := open(t, tfesim.Options{Personality: p})
			f := s.configure(t, byName)
			f.run("init", "-no-color")
			f.run("apply", "-no-color", "-auto-approve")
			first := f.run("state", "pull")
			f.run("apply", "-no-color", "-auto-approve", "-var", "size=2")

			f.write("older.json", first)
			if code, _, _ := f.try("state", "push", "-no-color", "older.json"); code == 0 {
				t.Error("an older state was pushed without -force")
			}
			f.write("other.json", `{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"11111111-2222-3333-4444-555555555555","outputs":{},"resources":[],"check_results":null}`)
			if code, _, _ := f.try("state", "push", "-no-color", "other.json"); code == 0 {
				t.Error("a state with another lineage was pushed without -force")
			}
			f.wantHeld("net")

			// Terraform's cloud block does not pass on -force, so the server refuses; the
			// remote backend does.
			code, _, stderr := f.try("state", "push", "-no-color", "-force", "other.json")
			if code == 0 || !strings.Contains(strings.Join(strings.Fields(stderr), " "), "The lineage provided in the state file does not match the value currently known by "+product(p)+".") {
				t.Errorf("state push -force through cloud {}: exit code %d\n%s", code, stderr)
			}
			// Terraform keeps the lock if it could not save, as after a refused apply.
			if _, locked := s.LockHolder("demo", "net"); !locked {
				t.Error("the refused push left no lock")
			}
			f.run("force-unlock", "-force", "demo/net")

			f = s.configure(t, remoteByName)
			f.run("init", "-no-color")
			f.write("other.json", `{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"11111111-2222-3333-4444-555555555555","outputs":{},"resources":[],"check_results":null}`)
			f.run("state", "push", "-force", "other.json")
			raw, _, _ := s.Current("demo", "net")
			if !strings.Contains(string(raw), "11111111-2222-3333-4444-555555555555") {
				t.Error("state push -force did not replace the state")
			}
			f.wantHeld("net")
			s.wantUnlocked(t)
		})
	}
}

// product returns the server's name in error texts.
func product(p tfesim.Personality) string {
	if p == tfesim.HCP {
		return "Terraform Cloud"
	}
	return "Terraform Enterprise"
}

// Terraform continues if the server is as slow and as strict as the real one.
func TestApplyUnderRateLimitAndProcessing(t *testing.T) {
	t.Parallel()
	s := open(t, tfesim.Options{Personality: tfesim.HCP, RateLimit: 30, Latency: 5 * time.Millisecond, ProcessingDelay: 200 * time.Millisecond})
	f := s.configure(t, byName)
	f.run("init", "-no-color")
	f.run("apply", "-no-color", "-auto-approve")
	f.wantHeld("net")
	s.wantUnlocked(t)
}
