package audit_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tfhaul/audit"
	"tfhaul/fixtures"
)

// taken returns the audit of these files.
func taken(t *testing.T, files map[string]string) *audit.Inventory {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return take(t, audit.Options{}, dir)
}

// fingerprintsOf returns the fingerprints by code.
func fingerprintsOf(i *audit.Inventory) map[string]audit.Code {
	all := map[string]audit.Code{}
	for _, f := range i.Findings {
		all[f.Fingerprint] = f.Code
	}
	return all
}

// secretOutput is an output that looks like a secret.
func secretOutput(name string) string {
	return `"` + name + `": {"value": "AKIAIOSFODNN7EXAMPLQ", "type": "string"}`
}

func TestFingerprintsSurviveWhatChangesNothing(t *testing.T) {
	vpc := instance(aws, "aws_vpc", "vpc-0a1b2c3d4e5f60718")
	before := map[string]string{
		"a/terraform.tfstate": state(spec{lineage: "l", serial: 5, resources: vpc, outputs: secretOutput("key")}),
		"b/terraform.tfstate": state(spec{lineage: "m", serial: 2, resources: vpc}),
		"c/terraform.tfstate": "not a state",
	}
	first := fingerprintsOf(taken(t, before))
	if len(first) < 3 {
		t.Fatalf("only %v", first)
	}
	after := map[string]string{
		"moved/x.tfstate":     state(spec{lineage: "l", serial: 9, resources: vpc, outputs: secretOutput("key")}),
		"b/terraform.tfstate": before["b/terraform.tfstate"],
		"c/terraform.tfstate": "still not a state",
	}
	if second := fingerprintsOf(taken(t, after)); !maps.Equal(first, second) {
		t.Errorf("a file was moved, a serial grew, a file was edited: %v became %v", first, second)
	}
	for what, change := range map[string]string{
		"another output":           state(spec{lineage: "l", serial: 9, resources: vpc, outputs: secretOutput("key") + "," + secretOutput("other")}),
		"another type of resource": state(spec{lineage: "l", serial: 9, resources: vpc + "," + instance(aws, "aws_subnet", "subnet-0a1b2c3d4e5f60718"), outputs: secretOutput("key")}),
	} {
		changed := maps.Clone(after)
		changed["moved/x.tfstate"] = change
		changed["b/terraform.tfstate"] = state(spec{lineage: "m", serial: 2, resources: vpc + "," + instance(aws, "aws_subnet", "subnet-0a1b2c3d4e5f60718")})
		if third := fingerprintsOf(taken(t, changed)); maps.Equal(first, third) {
			t.Errorf("%s has the same fingerprints", what)
		}
	}
}

// Removing one of two copies makes no finding new, and both have fingerprints of their own.
func TestFingerprintsOfCopies(t *testing.T) {
	one := state(spec{lineage: "l", serial: 5, outputs: secretOutput("key")})
	both := fingerprintsOf(taken(t, map[string]string{"a.tfstate": one, "b.tfstate": one}))
	for fingerprint, code := range fingerprintsOf(taken(t, map[string]string{"b.tfstate": one})) {
		if both[fingerprint] != code {
			t.Errorf("%s is new", code)
		}
	}
	if n := len(both); n != 3 { // two secrets, one pair of copies
		t.Errorf("%d fingerprints: %v", n, both)
	}
}

func TestFingerprintsOfALandscapeAreUnique(t *testing.T) {
	dir := t.TempDir()
	if _, err := fixtures.Landscape(dir, 60, 5, fixtures.WithProblems(), fixtures.WithOddities()); err != nil {
		t.Fatal(err)
	}
	i := take(t, audit.Options{}, dir)
	if n := len(fingerprintsOf(i)); n != len(i.Findings) {
		t.Errorf("%d findings have %d fingerprints", len(i.Findings), n)
	}
	// The name of the directory does not count.
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	again := take(t, audit.Options{}, moved)
	if !maps.Equal(fingerprintsOf(i), fingerprintsOf(again)) {
		t.Error("the fingerprints depend on where the directory is")
	}
	// All of it is known afterwards, and no secret is in the file.
	var b bytes.Buffer
	if err := audit.NewBaseline(i).Write(&b); err != nil {
		t.Fatal(err)
	}
	for n, secret := range fixtures.PlantedSecrets() {
		if strings.Contains(b.String(), secret) {
			t.Errorf("planted secret number %d is in the baseline", n)
		}
	}
	baseline, err := audit.ReadBaseline(&b, "known.hcl")
	if err != nil {
		t.Fatal(err)
	}
	again.Apply(baseline)
	if a := again.Baseline; a.Known != len(again.Findings) || len(again.New())+len(a.Unused)+len(a.Expired) > 0 {
		t.Errorf("%d of %d are known: %+v", a.Known, len(again.Findings), a.Unused)
	}
}

func TestBaselineEntriesCover(t *testing.T) {
	f := audit.Finding{Code: "plain-secret", Severity: "error", Fingerprint: "f00", Sources: []string{"net/a[1].tfstate"}, Resources: []string{"output.key", "output.other"}}
	shared := audit.Finding{Code: "shared-resource", Severity: "warning", Fingerprint: "ba5", Sources: []string{"a/x.tfstate", "b/x.tfstate"}, Resources: []string{"aws_vpc"}}
	for _, test := range []struct {
		name    string
		entry   audit.Accepted
		finding audit.Finding
		want    bool
	}{
		{"the fingerprint, at another place", audit.Accepted{Code: "plain-secret", Fingerprint: "f00", Sources: []string{"else"}}, f, true},
		{"the place, with another fingerprint", audit.Accepted{Code: "plain-secret", Fingerprint: "other", Sources: []string{"net/*"}}, f, true},
		{"another fingerprint alone", audit.Accepted{Code: "plain-secret", Fingerprint: "other"}, f, false},
		{"another code", audit.Accepted{Code: "locked", Fingerprint: "f00", Sources: []string{"**"}}, f, false},
		{"an escaped name", audit.Accepted{Code: "plain-secret", Sources: []string{`net/a\[1\].tfstate`}}, f, true},
		{"a name as it is", audit.Accepted{Code: "plain-secret", Sources: []string{`net/a[1].tfstate`}}, f, true},
		{"all resources", audit.Accepted{Code: "plain-secret", Sources: []string{"**"}, Resources: []string{"output.*"}}, f, true},
		{"one resource of two", audit.Accepted{Code: "plain-secret", Sources: []string{"**"}, Resources: []string{"output.key"}}, f, false},
		{"a lower severity", audit.Accepted{Code: "plain-secret", Sources: []string{"**"}, Severity: "warning"}, f, false},
		{"the same severity", audit.Accepted{Code: "plain-secret", Sources: []string{"**"}, Severity: "error"}, f, true},
		{"a higher severity", audit.Accepted{Code: "shared-resource", Sources: []string{"**"}, Severity: "error"}, shared, true},
		{"both sources", audit.Accepted{Code: "shared-resource", Sources: []string{"a/**", "b/**"}}, shared, true},
		{"one source of two", audit.Accepted{Code: "shared-resource", Sources: []string{"a/**"}}, shared, false},
		{"a finding about all states", audit.Accepted{Code: "terraform-versions", Sources: []string{"**"}}, audit.Finding{Code: "terraform-versions", Severity: "info"}, false},
	} {
		if got := test.entry.Covers(&test.finding); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestExpiredAndUnusedEntriesAreReported(t *testing.T) {
	i := taken(t, map[string]string{"a.tfstate": state(spec{lineage: "l", outputs: secretOutput("key")}), "b.tfstate": ""})
	i.Taken = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	b, err := audit.ReadBaseline(strings.NewReader(`
finding "plain-secret" {
  sources = ["**/a.tfstate"]
  reason  = "rotated monthly"
  expires = "2026-03-01"
}
finding "empty" {
  sources = ["**"]
  reason  = "it is a note"
  expires = "2026-03-02"
}
finding "locked" {
  sources = ["**"]
  reason  = "gone"
}`), "known.hcl")
	if err != nil {
		t.Fatal(err)
	}
	i.Apply(b)
	codes := func(of []audit.Accepted) (all []string) {
		for _, a := range of {
			all = append(all, a.Code)
		}
		return all
	}
	if a := i.Baseline; !slices.Equal(codes(a.Expired), []string{"plain-secret"}) || !slices.Equal(codes(a.Unused), []string{"locked"}) || a.Known != 1 {
		t.Errorf("%+v", a)
	}
	if n := i.Summary().New; n[audit.SeverityError] != 1 || n[audit.SeverityWarning] != 0 {
		t.Errorf("new: %v", n)
	}
}

func TestBaselinesThatAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		`finding "x" { sources = ["**"] }`:                                              `"reason" is required`,
		"finding \"x\" {\n sources = [\"**\"]\n reason = \" \"\n}":                      "write why",
		"finding \"x\" {\n reason = \"r\"\n}":                                           "cover every state",
		"finding \"x\" {\n sources = [\"[\"]\n reason = \"r\"\n}":                       "not a valid glob",
		"finding \"x\" {\n sources = [\"**\"]\n reason = \"r\"\n expires = \"soon\"\n}": "a date such as",
		"finding \"x\" {\n sources = [\"**\"]\n reason = \"r\"\n severity = \"bad\"\n}": "error, warning or info",
		"finding \"x\" {\n source = [\"**\"]\n reason = \"r\"\n}":                       "An argument named \"source\" is not expected here",
		"{\"findings\": []}": "written by tfhaul audit --write-baseline",
		"finding \"x\" {\n sources = " + strings.Repeat("[", 50_000) + "\n}": "nested more than",
		strings.Repeat("\n", 17<<20):                                         "use globs",
	} {
		if _, err := audit.ReadBaseline(strings.NewReader(text), "known.hcl"); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "known.hcl") {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}
