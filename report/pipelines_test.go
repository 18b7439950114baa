package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tfhaul/audit"
	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/fixtures"
	"tfhaul/migrate"
	"tfhaul/report"
)

// someHaul has one of everything, with what a plan found.
func someHaul() report.Haul {
	return report.Haul{Target: "app.terraform.io/acme", Results: results(), APICalls: 42, Seconds: 12, Journal: "haul.jsonl", Continue: "tfhaul migrate haul.hcl --journal haul.jsonl",
		HeldLocks: []migrate.HeldLock{{Target: "app.terraform.io/acme/queue"}},
		Findings: []migrate.Finding{
			{Code: migrate.FindingRunInProgress, Severity: migrate.SeverityWarning, Message: "A run is in progress in app.terraform.io/acme/dns.", Sources: []string{"dns/terraform.tfstate"}, Targets: []string{"app.terraform.io/acme/dns"}},
			{Code: migrate.FindingOrganizationToken, Severity: migrate.SeverityWarning, Message: "The token is that of an organization."},
		}}
}

// forPipelines are the writers of documents for other programs.
func forPipelines(i *audit.Inventory, h report.Haul) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"audit.sarif":   func(w io.Writer) error { return report.InventorySARIF(w, i, "1.0.0") },
		"audit.md":      func(w io.Writer) error { return report.InventoryMarkdown(w, i) },
		"audit.xml":     func(w io.Writer) error { return report.InventoryJUnit(w, i, audit.SeverityWarning) },
		"migrate.sarif": func(w io.Writer) error { return report.HaulSARIF(w, h, "migrate", "1.0.0", taken) },
		"migrate.md":    func(w io.Writer) error { return report.HaulMarkdown(w, h, "migrate") },
	}
}

func text(t *testing.T, write func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDocumentsForPipelinesGolden(t *testing.T) {
	for name, write := range forPipelines(withBaseline(), someHaul()) {
		golden(t, name, text(t, write))
	}
}

// sarifSchema is the schema that OASIS publishes.
func sarifSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("testdata/sarif/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func hostileInventoryAndHaul() (*audit.Inventory, report.Haul) {
	i := hostileInventory()
	i.Baseline = &audit.Applied{File: hostile[2], Expired: []audit.Accepted{{Code: hostile[2], Sources: hostile}}}
	i.Findings[1].Known = &audit.Known{Reason: hostile[2]}
	h := report.HaulOf(hostileHaul())
	for n := range h.Results {
		h.Results[n].Outcome = migrate.Refused
	}
	h.Target, h.Continue, h.Journal = hostile[2], hostile[2], hostile[2]
	return i, h
}

func TestSARIFIsValid(t *testing.T) {
	schema := sarifSchema(t)
	hostileAudit, hostileMoves := hostileInventoryAndHaul()
	dir := t.TempDir()
	if _, err := fixtures.Landscape(dir, 25, 9, fixtures.WithProblems(), fixtures.WithOddities()); err != nil {
		t.Fatal(err)
	}
	landscape, err := audit.Take(t.Context(), []string{dir}, audit.Options{Kinds: backend.Kinds{file.Kind(backend.Connection{})}})
	if err != nil {
		t.Fatal(err)
	}
	for what, documents := range map[string]map[string]func(io.Writer) error{
		"one of everything": forPipelines(withBaseline(), someHaul()),
		"nothing":           forPipelines(&audit.Inventory{}, report.Haul{}),
		"hostile names":     forPipelines(hostileAudit, hostileMoves),
		"a landscape":       forPipelines(landscape, report.Haul{}),
	} {
		for name, write := range documents {
			if !strings.HasSuffix(name, ".sarif") {
				continue
			}
			raw := text(t, write)
			if !bytes.HasPrefix(raw, []byte(report.SARIFHead)) {
				t.Errorf("%s of %s begins %.300s", name, what, raw)
			}
			document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(document); err != nil {
				t.Errorf("%s of %s: %v", name, what, err)
			}
		}
	}
}

// Every finding is a result of a rule with help, known ones are suppressed, and each has the
// fingerprint of the finding.
func TestSARIFHasEveryFinding(t *testing.T) {
	i := withBaseline()
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Rules []struct {
						ID   string
						Help struct{ Text, Markdown string }
					}
				}
			}
			Results []struct {
				RuleID              string
				RuleIndex           int
				Level               string
				BaselineState       string
				Suppressions        []struct{ Justification string }
				PartialFingerprints map[string]string
			}
		}
	}
	if err := json.Unmarshal(text(t, forPipelines(i, report.Haul{})["audit.sarif"]), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if len(run.Results) != len(i.Findings) {
		t.Fatalf("%d results of %d findings", len(run.Results), len(i.Findings))
	}
	for n, r := range run.Results {
		f := i.Findings[n]
		rule := run.Tool.Driver.Rules[r.RuleIndex]
		if r.RuleID != string(f.Code) || rule.ID != r.RuleID || rule.Help.Text == "" || rule.Help.Markdown == "" || r.PartialFingerprints["tfhaulFinding/v1"] != f.Fingerprint || f.Fingerprint == "" {
			t.Errorf("%+v is not %+v", r, f)
		}
		if known := f.Known != nil; known != (len(r.Suppressions) == 1) || known != (r.BaselineState == "unchanged") {
			t.Errorf("%+v, known: %v", r, f.Known)
		}
	}
}

// Reports that are too long for a comment end with a count, and never within a line or a
// character.
func TestMarkdownStaysWithinItsLimit(t *testing.T) {
	i, h := &audit.Inventory{Taken: taken}, report.Haul{}
	for n := range 3000 {
		name := fmt.Sprintf("%s/%04d/terraform.tfstate", strings.Repeat("日本_語*/", 12), n)
		i.Findings = append(i.Findings, audit.Finding{Code: "locked", Severity: "warning", Message: "Gesperrt – " + name, Sources: []string{name}})
		h.Results = append(h.Results, migrate.Result{Source: name, Target: "acme/x", Outcome: migrate.Refused, Message: "M " + name})
	}
	for name, write := range forPipelines(i, h) {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		got := string(text(t, write))
		if len(got) > report.MaxMarkdown || len(got) < report.MaxMarkdown*9/10 {
			t.Errorf("%s has %d bytes", name, len(got))
		}
		shown := strings.Count(got, "\n- ")
		if !strings.Contains(got, fmt.Sprintf("… and %d,%03d more, which do not fit here", (3000-shown)/1000, (3000-shown)%1000)) {
			t.Errorf("%s shows %d and ends %q", name, shown, got[len(got)-200:])
		}
	}
}

func TestMarkdownTakesNoNameForMarkup(t *testing.T) {
	const name = "@acme/all <script>alert(1)</script> [x](https://evil.example) | **b** `c` #12 ![i](x)\n# head"
	i := &audit.Inventory{Taken: taken, Findings: []audit.Finding{{Code: name, Severity: "error", Message: name, Advice: name, Sources: []string{name}}}}
	h := report.Haul{Target: name, Continue: name, Results: []migrate.Result{{Source: name, Target: name, Outcome: migrate.Refused, Message: name}}}
	for file, write := range forPipelines(i, h) {
		if !strings.HasSuffix(file, ".md") {
			continue
		}
		got := string(text(t, write))
		for _, markup := range []string{"<script", "@acme", "[x](", " **b", " `c`", " #12", "![", "\n# head", "https://"} {
			if strings.Contains(got, markup) {
				t.Errorf("%s contains %s:\n%s", file, markup, got)
			}
		}
	}
}

func TestAuditJUnitIsWellFormedAndCounts(t *testing.T) {
	hostileAudit, _ := hostileInventoryAndHaul()
	for _, i := range []*audit.Inventory{withBaseline(), hostileAudit} {
		var suites struct {
			Suites []struct {
				Tests    int `xml:"tests,attr"`
				Failures int `xml:"failures,attr"`
				Errors   int `xml:"errors,attr"`
				Cases    []struct {
					Failure *struct{} `xml:"failure"`
					Error   *struct{} `xml:"error"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		if err := xml.Unmarshal(text(t, forPipelines(i, report.Haul{})["audit.xml"]), &suites); err != nil {
			t.Fatal(err)
		}
		s, failures, errors := suites.Suites[0], 0, 0
		for _, c := range s.Cases {
			if c.Failure != nil {
				failures++
			}
			if c.Error != nil {
				errors++
			}
		}
		if s.Tests != len(s.Cases) || s.Failures != failures || s.Errors != errors || failures == 0 {
			t.Errorf("%d tests, %d failures, %d errors; counted %d, %d, %d", s.Tests, s.Failures, s.Errors, len(s.Cases), failures, errors)
		}
	}
}

func TestDocumentsForPipelinesContainNoSecrets(t *testing.T) {
	dir := t.TempDir()
	if _, err := fixtures.Landscape(dir, 25, 9, fixtures.WithProblems(), fixtures.WithOddities()); err != nil {
		t.Fatal(err)
	}
	i, err := audit.Take(t.Context(), []string{dir}, audit.Options{Kinds: backend.Kinds{file.Kind(backend.Connection{})}})
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range forPipelines(i, report.Haul{}) {
		got := string(text(t, write))
		if strings.HasPrefix(name, "audit") && !strings.Contains(got, "plain-secret") {
			t.Errorf("%s does not mention the secrets that it must not show", name)
		}
		for n, secret := range fixtures.PlantedSecrets() {
			if strings.Contains(got, secret) {
				t.Errorf("planted secret number %d is in %s", n, name)
			}
		}
	}
	if _, err := os.Stat("testdata/sarif/README.md"); err != nil {
		t.Error(err) // it says where the schema comes from
	}
}
