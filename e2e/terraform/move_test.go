package terraform

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/command"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// After tfhaul moves a state file of terraform and the configuration is switched to the
// server, terraform finds no changes and the same bytes.
func TestTerraformUsesWhatTfhaulMoved(t *testing.T) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP, tfesim.OldTFE} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := open(t, tfesim.Options{Personality: p})
			before := s.configure(t, "")
			before.run("init", "-no-color")
			before.run("apply", "-no-color", "-auto-approve")
			before.run("workspace", "new", "prod")
			before.run("apply", "-no-color", "-auto-approve", "-var", "size=5")

			for _, w := range []struct{ file, workspace, size string }{
				{"terraform.tfstate", "net", "size=1"},
				{"terraform.tfstate.d/prod/terraform.tfstate", "net-prod", "size=5"},
			} {
				file := filepath.Join(before.dir, filepath.FromSlash(w.file))
				source, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				r := s.tfhaul(t, "move", "--create", "--execution-mode", "local", "--json", file, "demo/"+w.workspace)
				if r.Outcome != migrate.Moved {
					t.Fatalf("%s: %s: %s", w.workspace, r.Outcome, r.Message)
				}
				if held, _, _ := s.Current("demo", w.workspace); !bytes.Equal(held, source) {
					t.Errorf("%s does not have the bytes of the file", w.workspace)
				}
				after := s.configure(t, strings.ReplaceAll(byName, `"net"`, `"`+w.workspace+`"`))
				after.run("init", "-no-color")
				if code, stdout, stderr := after.try("plan", "-no-color", "-detailed-exitcode", "-var", w.size); code != 0 {
					t.Errorf("plan in %s: exit code %d, want 0 (no changes)\n%s%s", w.workspace, code, stdout, stderr)
				}
				// terraform state pull prints a newline after the state.
				if pulled := after.run("state", "pull"); pulled != string(source)+"\n" {
					t.Errorf("terraform pulls other bytes from %s than were moved", w.workspace)
				}
				after.run("apply", "-no-color", "-auto-approve", "-var", "size=7")
				after.wantHeld(w.workspace)
			}
			s.wantUnlocked(t)
		})
	}
}

// tfhaul runs the command line in this process and returns the move's result.
func (s *site) tfhaul(t *testing.T, args ...string) migrate.Result {
	t.Helper()
	environ := []string{"HOME=" + t.TempDir()}
	for _, name := range slices.Sorted(maps.Keys(s.env)) {
		environ = append(environ, name+"="+s.env[name])
	}
	var stdout, stderr bytes.Buffer
	command.Run(t.Context(), nil, append([]string{"tfhaul"}, args...), strings.NewReader(""), &stdout, &stderr, environ)
	var r migrate.Result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("tfhaul %s: %v\n%s", args[0], err, &stderr)
	}
	return r
}
