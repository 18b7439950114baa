package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// A file of 100 GB takes minutes to read. Package statefile counts the bytes that are read
// of a refused file; here an MD5 would show that all of them were.
func TestSparseFilesAreNotReadToTheirEnd(t *testing.T) {
	t.Parallel()
	const size = 100 << 30
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	for name, begin := range map[string]string{"zeros": "", "cut short": `{"version":4,"serial":7,"lineage":"l","resources":[`} {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "net.tfstate"), []byte(begin))
			if err := os.Truncate(path, size); err != nil {
				t.Skipf("this file system holds no sparse files: %v", err)
			}
			must := func(r run, code int, snapshot any) {
				t.Helper()
				said, ok := snapshot.(map[string]any)
				if r.code != code || !ok || said["size"] != float64(size) {
					t.Fatalf("exit code %d, want %d; snapshot %v; stderr %s", r.code, code, snapshot, r.stderr)
				}
				if md5, shown := said["md5"]; shown {
					t.Errorf("an MD5 of what was not read: %v", md5)
				}
			}
			r := h.tfhaul(t, "move", path, "acme/net", "--json")
			must(r, 3, r.document(t)["snapshot"])
			other := write(t, filepath.Join(t.TempDir(), "app.tfstate"), state(1, 1)) // so that there is a manifest
			manifest := filepath.Join(t.TempDir(), "moves.hcl")
			r = h.tfhaul(t, "plan", other, path, "--target", "acme", "--create", "--json", "--out", manifest)
			must(r, 3, r.document(t)["moves"].([]any)[1].(map[string]any)["snapshot"])
			if text, err := os.ReadFile(manifest); err != nil || strings.Count(string(text), "md5") != 1 {
				t.Errorf("the manifest: %v\n%s", err, text)
			}
			r = h.tfhaul(t, "audit", path, "--json")
			must(r, 0, r.document(t)["snapshots"].([]any)[0])
			if r := h.tfhaul(t, "move", path, "acme/net"); r.code != 3 || strings.Contains(r.stdout, "MD5") {
				t.Errorf("exit code %d: %s", r.code, r.stdout)
			}
		})
	}
	h.mustHold(t, "net", nil)
}
