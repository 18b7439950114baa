package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// Names that differ only in case are one workspace: two states for it are refused,
// however the names were given, and nothing is written or made.
func TestCollisionsIgnoreCase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		upper, low []byte
	}{
		{"identical states", state(1, 3), state(1, 3)},
		{"different serials", state(1, 3), state(1, 4)},
	} {
		for _, way := range []string{"names", "map", "manifest"} {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				h := start(t, tfesim.Options{})
				dir := tree(t, map[string][]byte{"App/terraform.tfstate": c.upper, "app/terraform.tfstate": c.low, "net/terraform.tfstate": state(2, 1)})
				at := func(name string) string { return filepath.Join(dir, name, "terraform.tfstate") }
				args := []string{"migrate", "--yes", "--json", "--journal", journalIn(t)}
				switch way {
				case "names":
					args = append(args, dir, "--target", org, "--create")
				case "map":
					file := filepath.Join(t.TempDir(), "names.csv")
					writeFile(t, file, []byte(at("App")+",App\n"+at("app")+",app\n"+at("net")+",net\n"))
					args = append(args, dir, "--target", org, "--create", "--map", file)
				case "manifest":
					planned := filepath.Join(t.TempDir(), "one.hcl")
					if r := h.tfhaul(t, "plan", at("net"), "--target", org, "--workspace-name", "net", "--create", "--out", planned); r.code != 0 {
						t.Fatalf("exit code %d: %s", r.code, r.stderr)
					}
					text, err := os.ReadFile(planned)
					if err != nil {
						t.Fatal(err)
					}
					all := string(text)
					for _, name := range []string{"App", "app"} {
						all += "\nmove \"" + at(name) + "\" {\n  workspace = \"" + name + "\"\n}\n"
					}
					file := filepath.Join(t.TempDir(), "haul.hcl")
					writeFile(t, file, []byte(all))
					args = append(args, file)
				}
				r := h.tfhaul(t, args...)
				r.want(t, 3, "1 moved, 2 refused")
				for _, name := range []string{"App", "app"} {
					m := moveOf(t, r, name)
					if m["code"] != "name-collision" || !strings.Contains(m["message"].(string), at("App")) || !strings.Contains(m["message"].(string), at("app")) {
						t.Errorf("%s: %v: %v", name, m["code"], m["message"])
					}
					h.mustHold(t, name, nil)
				}
				h.mustHold(t, "net", state(2, 1))
				if locked := h.Locked(org); len(locked) > 0 {
					t.Errorf("%q are locked", locked)
				}
			})
		}
	}
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
