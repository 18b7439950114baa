package command_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// landscape writes a small one with problems.
func landscape(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := fixtures.Landscape(dir, 12, 21, fixtures.WithProblems(), fixtures.WithLocks(0)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAudit(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := landscape(t)
	t.Run("as JSON", func(t *testing.T) {
		r := h.tfhaul(t, "audit", dir, "--json")
		d := r.document(t)
		if r.code != 0 || d["format"] != "tfhaul/1" || len(d["snapshots"].([]any)) == 0 || len(d["findings"].([]any)) == 0 || d["summary"] == nil {
			t.Errorf("exit code %d, stderr %s", r.code, r.stderr)
		}
	})
	t.Run("as CSV", func(t *testing.T) {
		r := h.tfhaul(t, "audit", dir, "--csv")
		records, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
		if r.code != 0 || err != nil || len(records) < 12 || records[0][0] != "source" {
			t.Errorf("exit code %d, %v, %d rows", r.code, err, len(records))
		}
	})
	t.Run("as a page besides the table", func(t *testing.T) {
		page := filepath.Join(t.TempDir(), "audit.html")
		r := h.tfhaul(t, "audit", dir, "--html", page)
		text, err := os.ReadFile(page)
		if r.code != 0 || err != nil || !strings.Contains(string(text), "<!DOCTYPE html>") || !strings.Contains(r.stdout, "SOURCE") {
			t.Errorf("exit code %d, %v: %s", r.code, err, r.stderr)
		}
		h.mustNotShow(t, run{stdout: string(text)})
		// Nothing else is left beside it.
		if entries, err := os.ReadDir(filepath.Dir(page)); err != nil || len(entries) != 1 {
			t.Errorf("%v, %d files", err, len(entries))
		}
	})
	for _, test := range []struct {
		args []string
		code int
		says string // on stderr
	}{
		{[]string{dir, "--fail-on", "error"}, 3, ""},
		{[]string{filepath.Join(dir, "problems", "old-terraform-00"), "--fail-on", "error"}, 0, ""},
		{[]string{filepath.Join(dir, "problems", "old-terraform-00"), "--fail-on", "warning"}, 3, ""},
		{[]string{dir, "--fail-on", "never"}, 4, "error, warning or info"},
		{[]string{filepath.Join(dir, "problems", "old-terraform-00"), "--fail-on", "warning", "--oldest-terraform", "0.12.0"}, 0, ""},
		{[]string{dir, "--oldest-terraform", "new"}, 4, "a version such as"},
		{[]string{dir, "--resource-cap", "-1"}, 4, "cannot be negative"},
		{[]string{dir, "--price-per-resource-hour", "-0.1"}, 4, "cannot be negative"},
		{[]string{dir, "--price-per-resource-hour", "1e9"}, 4, "a price such as"},
		{[]string{filepath.Join(dir, "problems", "old-terraform-00"), "--fail-on", "warning", "--oldest-terraform", "0.12.0", "--resource-cap", "1"}, 3, ""},
		{[]string{filepath.Join(dir, "problems", "old-terraform-00"), "--fail-on", "warning", "--oldest-terraform", "0.12.0", "--resource-cap", "100000"}, 0, ""},
		{[]string{dir, "--json", "--csv"}, 4, "name one of them"},
		{[]string{}, 4, "SOURCE is missing"},
		{[]string{filepath.Join(dir, "absent")}, 4, "cannot find"},
		{[]string{dir, "--include", "*.none"}, 4, "no state found"},
		{[]string{dir, "--html", filepath.Join(dir, "absent", "x.html")}, 4, "cannot be written"},
		{[]string{dir, "--html", dir}, 4, "is a directory"},
		{[]string{dir, "--html", "-"}, 4, "no - for stdout"},
		{[]string{"-", "--target", org}, 4, "only once"},
		{[]string{dir, "--target", "a/b/c/d"}, 4, ""},
	} {
		if r := h.tfhaul(t, append([]string{"audit"}, test.args...)...); r.code != test.code || !strings.Contains(r.stderr, test.says) {
			t.Errorf("%q: exit code %d, not %d, or stderr does not say %q: %s", test.args, r.code, test.code, test.says, r.stderr)
		}
	}
	t.Run("tells what was found even if the page cannot be written", func(t *testing.T) {
		const full = "/dev/full"
		if _, err := os.Stat(full); err != nil {
			t.Skip("there is no " + full)
		}
		r := h.tfhaul(t, "audit", dir, "--html", full)
		if r.code != 1 || !strings.Contains(r.stdout, "SOURCE") {
			t.Errorf("exit code %d: %s", r.code, r.stdout)
		}
	})
}

func TestAuditReadsStandardInput(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	r := h.tfhaulIn(t, t.Context(), h.environ, state(3, 8), "audit", "-", "--json")
	if snapshots := r.document(t)["snapshots"].([]any); r.code != 0 || len(snapshots) != 1 || snapshots[0].(map[string]any)["serial"] != 8.0 {
		t.Errorf("exit code %d: %s", r.code, r.stdout)
	}
}

func TestAuditThatIsIncompleteSaysSo(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("everything can be read here")
	}
	h := start(t, tfesim.Options{})
	dir := landscape(t)
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	if r := h.tfhaul(t, "audit", dir, "--fail-on", "error"); r.code != 1 || !strings.Contains(r.stderr, "incomplete") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// With a target, an audit reports what a plan would.
func TestAuditTellsWhereStatesWouldGo(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := t.TempDir()
	for name, content := range map[string][]byte{"fresh": state(1, 5), "stale": state(2, 5), "same": state(3, 5), "none": state(4, 5)} {
		if err := os.WriteFile(filepath.Join(dir, name+".tfstate"), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.addWorkspace(t, "fresh")
	h.addWorkspace(t, "stale")
	h.addWorkspace(t, "same")
	h.seed(t, "stale", state(2, 6))
	h.seed(t, "same", state(3, 5))
	r := h.tfhaul(t, "audit", dir, "--target", org, "--json")
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	got := map[string]string{}
	for _, s := range r.document(t)["snapshots"].([]any) {
		target := s.(map[string]any)["target"].(map[string]any)
		_, workspace, _ := strings.Cut(target["workspace"].(string), org+"/")
		got[workspace] = target["outcome"].(string) + " " + target["relation"].(string) + " " + target["code"].(string)
	}
	for workspace, want := range map[string]string{
		"fresh": "planned fresh ", "stale": "refused stale stale", "same": "already-there identical ", "none": "refused  no-workspace",
	} {
		if got[workspace] != want {
			t.Errorf("%s: %q, want %q", workspace, got[workspace], want)
		}
	}
	h.mustHold(t, "fresh", nil)
	if r := h.tfhaul(t, "audit", dir, "--target", org, "--create"); !strings.Contains(r.stdout, "RELATION") || strings.Contains(r.stdout, "no-workspace") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := t.TempDir()
	journal, page, junit := filepath.Join(dir, "haul.jsonl"), filepath.Join(dir, "haul.html"), filepath.Join(dir, "haul.xml")
	h.addWorkspace(t, "net")
	if r := h.tfhaul(t, "move", write(t, "net.tfstate", state(1, 10)), org+"/net", "--journal", journal); r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	r := h.tfhaul(t, "report", journal, "--html", page, "--junit", junit)
	if r.code != 0 || r.stdout != "" {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	for path, wants := range map[string]string{page: "Terraform state migration", junit: `tests="1" failures="0" errors="0"`} {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), wants) {
			t.Errorf("%s: %v, does not hold %q", filepath.Base(path), err, wants)
		}
		h.mustNotShow(t, run{stdout: string(text)})
	}
	if r := h.tfhaul(t, "report", journal); r.code != 0 || !strings.Contains(r.stdout, "1 moved") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	moves := h.tfhaul(t, "report", journal, "--json").document(t)["moves"].([]any)
	if len(moves) != 1 || moves[0].(map[string]any)["outcome"] != string(migrate.Moved) {
		t.Errorf("%v", moves)
	}
	for _, args := range [][]string{{}, {filepath.Join(dir, "absent")}, {page}, {journal, "--html", "-"}, {journal, "--junit", "-"}} {
		if r := h.tfhaul(t, append([]string{"report"}, args...)...); r.code != 4 {
			t.Errorf("%q: exit code %d: %s", args, r.code, r.stderr)
		}
	}
}

func TestVerifyDeepFlag(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	h.addWorkspace(t, "net")
	path := write(t, "net.tfstate", state(1, 10))
	h.seed(t, "net", state(1, 10))
	if r := h.tfhaul(t, "verify", "--deep", path, org+"/net"); r.code != 0 || !strings.Contains(r.stdout, "only the bytes were compared") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := h.tfhaul(t, "verify", "--deep", "haul.jsonl"); r.code != 4 || !strings.Contains(r.stderr, "compares one state") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// A baseline hides what is known: from the findings that are shown, and from --fail-on. Its
// command works as printed.
func TestAuditAgainstABaseline(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := landscape(t)
	known := filepath.Join(t.TempDir(), "known.hcl")
	r := h.tfhaul(t, "audit", dir, "--fail-on", "error", "--write-baseline", known)
	if r.code != 3 || !strings.Contains(r.stderr, "Wrote "+known) {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	text, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	h.mustNotShow(t, run{stdout: string(text)})
	_, next, _ := strings.Cut(r.stderr, "then run: ")
	next, _, _ = strings.Cut(next, "\nNext:")
	words := strings.Fields(next)
	r = h.tfhaul(t, append(words[1:], "--json")...)
	d := r.document(t)
	if summary := d["summary"].(map[string]any); r.code != 0 || summary["new"].(map[string]any)["error"] != 0.0 || summary["findings"].(map[string]any)["error"] == 0.0 {
		t.Fatalf("%q: exit code %d: %v %s", words, r.code, summary, r.stderr)
	}
	if all := d["baseline"].(map[string]any); len(d["findings"].([]any)) != int(all["known"].(float64)) || len(all["unused"].([]any)) > 0 {
		t.Errorf("%v", all)
	}
	if r := h.tfhaul(t, "audit", dir, "--baseline", known); !strings.Contains(r.stdout, "none that is new") || strings.Contains(r.stdout, "shared-resource (") {
		t.Errorf("known findings are shown: %s", r.stdout)
	}
	// A new finding counts, and a reason that was written stays.
	reasoned := strings.Replace(string(text), `reason      = "Known`, `reason      = "Because. Known`, 1)
	if reasoned == string(text) {
		t.Fatalf("there is no reason: %.300s", text)
	}
	rewrite(t, known, reasoned)
	if err := os.WriteFile(filepath.Join(dir, "new.tfstate"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = h.tfhaul(t, "audit", dir, "--baseline", known, "--fail-on", "error", "--write-baseline", known)
	if r.code != 3 || !strings.Contains(r.stdout, "new.tfstate") {
		t.Errorf("exit code %d: %s", r.code, r.stdout)
	}
	if text, err := os.ReadFile(known); err != nil || !strings.Contains(string(text), `"Because. Known`) || !strings.Contains(string(text), "new.tfstate") {
		t.Errorf("%v: the reason was not kept", err)
	}
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"a baseline that does not exist":        {[]string{"--baseline", known + ".absent"}, "cannot be read: there is no such file. Write one first: use --write-baseline"},
		"a baseline that is no HCL":             {[]string{"--baseline", filepath.Join(dir, "new.tfstate")}, "written by tfhaul audit --write-baseline"},
		"a baseline over a file of another":     {[]string{"--write-baseline", write(t, "notes.txt", []byte("notes"))}, "--force"},
		"a baseline over an edited baseline":    {[]string{"--write-baseline", known}, "--force"},
		"a baseline on stdout":                  {[]string{"--write-baseline", "-"}, "no - for stdout"},
		"a baseline in a directory that is not": {[]string{"--write-baseline", filepath.Join(dir, "absent", "k.hcl")}, "cannot be written"},
	} {
		if r := h.tfhaul(t, append([]string{"audit", dir}, test.args...)...); r.code != 4 || !strings.Contains(r.stderr, test.says) {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
	}
}
