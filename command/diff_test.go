package command_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/fixtures/cloudstorage"
	"tfhaul/tfesim"
)

// differing is another state of the lineage of state(seed, serial).
func differing(seed uint64, serial int64) []byte {
	return fixtures.Spec{Seed: seed, Lineage: fixtures.Spec{Seed: seed}.LineageOf(), Serial: serial, Resources: 4, Outputs: 5}.Bytes()
}

// address is that of the server.
func (h *host) address() string {
	for _, variable := range h.environ {
		if address, ok := strings.CutPrefix(variable, "TFE_ADDRESS="); ok {
			return address
		}
	}
	return ""
}

func TestDiff(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	for _, serial := range []int64{3, 4} {
		h.seed(t, "net", state(1, serial))
	}
	h.seed(t, "net", differing(1, 7))
	versions := h.Versions(org, "net")
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	three, seven := file("three.tfstate", state(1, 3)), file("seven.tfstate", differing(1, 7))
	odd := file("odd@7", state(1, 3))
	for _, test := range []struct {
		a, b, kind string
	}{
		{seven, org + "/net", "identical"},
		{"tfe://" + org + "/net", seven, "identical"},
		{strings.TrimPrefix(h.address(), "https://") + "/" + org + "/net", seven, "identical"},
		{three, org + "/net@3", "identical"},
		{three, "tfe://" + org + "/net@" + versions[0].ID, "identical"},
		{org + "/net@3", org + "/net@4", "metadata"},
		{org + "/net@4", org + "/net", "content"},
		{three, seven, "content"},
		{odd, three, "identical"},
		{three, "-", "metadata"},
	} {
		r := h.tfhaulIn(t, t.Context(), h.environ, state(1, 9), "diff", test.a, test.b, "--json")
		if r.code != 0 || r.document(t)["kind"] != test.kind {
			t.Errorf("%s and %s: exit code %d, %s%.600s", test.a, test.b, r.code, r.stderr, r.stdout)
		}
	}
	r := h.tfhaul(t, "diff", three, seven, "--detailed-exitcode")
	if r.code != 2 || !strings.Contains(r.stdout, "From A to B: ") || !strings.Contains(r.stdout, "\n~ ") {
		t.Errorf("exit code %d: %s", r.code, r.stdout)
	}
	if r := h.tfhaul(t, "diff", three, org+"/net@4", "--detailed-exitcode"); r.code != 0 || !strings.Contains(r.stdout, "differ: serial") {
		t.Errorf("exit code %d: %s", r.code, r.stdout)
	}
	// The secrets of both states are checked by tfhaul.
	if r := h.tfhaul(t, "diff", three, seven, "--show-values", "--all", "--json"); r.code != 0 || !strings.Contains(r.stdout, `"hidden": true`) || !strings.Contains(r.stdout, `"before": `) {
		t.Errorf("exit code %d: %.2000s", r.code, r.stdout)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{three}, 4, "B is missing"},
		{[]string{"-", "-"}, 4, "only once"},
		{[]string{three, dir}, 4, "contains 3 states"},
		{[]string{three, filepath.Join(dir, "absent.tfstate")}, 4, "absent.tfstate"},
		{[]string{three, three + "@7"}, 4, "keeps no older versions"},
		{[]string{three, org + "/net@6"}, 4, "has no version \"6\": tfhaul history "},
		{[]string{three, org + "/none"}, 4, "does not exist"},
		{[]string{three, file("broken.tfstate", state(1, 3)[:99])}, 1, "broken.tfstate"},
	} {
		if r := h.tfhaul(t, append([]string{"diff"}, test.args...)...); r.code != test.code || !strings.Contains(r.stderr, test.says) || r.stdout != "" {
			t.Errorf("%q: exit code %d, not %d: %s%s", test.args, r.code, test.code, r.stdout, r.stderr)
		}
	}
}

// A refusal because of another state names the command that shows how the two differ, and it
// works as printed.
func TestRefusalsNameTheDiff(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"stale dir/terraform.tfstate": state(1, 3), "diverged/terraform.tfstate": state(2, 3), "unrelated/terraform.tfstate": state(3, 3)})
	for name, held := range map[string][]byte{"stale-dir": state(1, 5), "diverged": differing(2, 3), "unrelated": state(4, 3)} {
		h.addWorkspace(t, name)
		h.seed(t, name, held)
	}
	printed := func(r run, code int) {
		t.Helper()
		_, command, found := strings.Cut(strings.Join(strings.Fields(r.stderr), " "), "to see how the states differ: tfhaul ")
		if r.code != code || !found {
			t.Fatalf("exit code %d: %s", r.code, r.stderr)
		}
		source, target, _ := strings.Cut(strings.TrimPrefix(command, "diff "), ".tfstate")
		source = strings.Trim(source+".tfstate", "'")
		target = strings.Fields(strings.TrimPrefix(target, "'"))[0]
		if d := h.tfhaul(t, "diff", source, target); d.code != 0 || !strings.Contains(d.stdout, "differ") && !strings.Contains(d.stdout, "From A to B") {
			t.Errorf("%q %q: exit code %d: %s%s", source, target, d.code, d.stdout, d.stderr)
		}
	}
	for name, workspace := range map[string]string{"stale dir": "stale-dir", "diverged": "diverged", "unrelated": "unrelated"} {
		printed(h.tfhaul(t, "move", filepath.Join(dir, name, "terraform.tfstate"), org+"/"+workspace), 3)
	}
	printed(h.tfhaul(t, "plan", dir, "--target", org), 3)
	printed(h.tfhaul(t, "migrate", dir, "--target", org, "--yes", "--journal", journalIn(t)), 3)
}

// Older versions in a bucket are found by their serial, although the bucket does not know it,
// and by the parameter of their address.
func TestDiffFindsSerialsInBuckets(t *testing.T) {
	t.Parallel()
	google := &cloudstorage.Server{}
	google.AddBucket("acme", true)
	server := httptest.NewServer(google)
	t.Cleanup(server.Close)
	h := start(t, tfesim.Options{})
	h.environ = h.with("STORAGE_EMULATOR_HOST=" + strings.TrimPrefix(server.URL, "http://"))
	ids := map[int64]string{}
	for _, serial := range []int64{3, 4, 8} {
		ids[serial] = strconv.FormatInt(google.Put("acme", cloudstorage.Object{Name: "net/default.tfstate", Text: state(1, serial)}), 10)
	}
	for _, serial := range []int64{3, 4, 8} {
		path := write(t, "copy.tfstate", state(1, serial))
		for _, version := range []string{"@" + strconv.FormatInt(serial, 10), "?generation=" + ids[serial]} {
			r := h.tfhaul(t, "diff", path, "gs://acme/net/default.tfstate"+version, "--json")
			if r.code != 0 || r.document(t)["kind"] != "identical" {
				t.Errorf("serial %d as %s: exit code %d: %s%s", serial, version, r.code, r.stdout, r.stderr)
			}
		}
	}
	if r := h.tfhaul(t, "diff", "gs://acme/net/default.tfstate@3", "gs://acme/net/default.tfstate@5"); r.code != 4 || !strings.Contains(r.stderr, "has no version") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}
