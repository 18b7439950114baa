package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"tfhaul/audit"
	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/fixtures"
	"tfhaul/migrate"
	"tfhaul/report"
	"tfhaul/report/page"
)

var taken = time.Date(2026, 3, 1, 10, 15, 0, 0, time.UTC)

// state returns a snapshot of an audit with this age.
func state(source string, serial, size int64, age time.Duration, findings ...audit.Code) audit.Snapshot {
	return audit.Snapshot{
		Source: source, Workspace: "default", Kind: "state", Format: 4, TerraformVersion: "1.11.4", Serial: serial,
		Lineage: "23a82f3f-9e45-4315-88f0-4632797cd39b", MD5: "9e107d9d372bb6826bd81d3542a419d6", Size: size,
		Modified: taken.Add(-age), AgeSeconds: int64(age.Seconds()), Findings: append([]audit.Code{}, findings...),
		Contents: audit.Contents{Resources: 12, Managed: 10, Data: 2, Billable: 11, Instances: 15, Modules: 1, Outputs: 3, SensitiveOutputs: 1, SensitiveAttributes: 4,
			Providers: []audit.Provider{{Address: "registry.terraform.io/hashicorp/aws", Resources: 12}}},
	}
}

// inventory returns an audit with one of everything.
func inventory() *audit.Inventory {
	locked := state("network/terraform.tfstate", 41, 48213, 3*time.Hour, audit.CodeLocked)
	locked.Lock = &backend.Lock{ID: "lock-1", Who: "ana@build-7", Operation: "OperationTypeApply", Created: taken.Add(-time.Hour), Path: "network/.terraform.tfstate.lock.info"}
	old := state("dns/terraform.tfstate", 7, 181, 1000*24*time.Hour, audit.CodeOldTerraform, audit.CodeSharedLineage)
	old.TerraformVersion, old.Contents = "0.14.11", audit.Contents{Providers: []audit.Provider{}}
	return &audit.Inventory{
		Taken: taken, Sources: []string{"."}, Skipped: map[string]int{"backup": 3, "terraform-dir": 2},
		Snapshots: []audit.Snapshot{
			locked, old,
			state("dns/copy.tfstate", 9, 2<<20, 40*24*time.Hour, audit.CodeSharedLineage),
			{Source: "shop/terraform.tfstate", Workspace: "prod", Kind: "truncated", Code: "invalid", Size: 7000, MD5: "0cc175b9c0f1b6a831c399e269772661",
				Modified: taken.Add(-time.Minute), AgeSeconds: 60, Findings: []audit.Code{audit.CodeInvalid}, Contents: audit.Contents{Providers: []audit.Provider{}}},
		},
		Findings: []audit.Finding{
			{Code: audit.CodeInvalid, Severity: audit.SeverityError, Sources: []string{"shop/terraform.tfstate"}, Message: "The file ends in the middle.", Advice: "Restore it."},
			{Code: audit.CodeLocked, Severity: audit.SeverityWarning, Sources: []string{"network/terraform.tfstate"}, Message: "The state is locked at its source by ana@build-7.", Advice: "Wait for that to end."},
			{Code: audit.CodeOldTerraform, Severity: audit.SeverityWarning, Sources: []string{"dns/terraform.tfstate"}, Message: "The state was written by Terraform 0.14.11.", Advice: "Upgrade."},
			{Code: audit.CodeSharedLineage, Severity: audit.SeverityWarning, Sources: []string{"dns/copy.tfstate", "dns/terraform.tfstate"}, Message: "2 files are copies of one state.", Advice: "Move the newest alone.",
				Copies: []audit.Copy{{Source: "dns/copy.tfstate", Serial: 9, Relation: audit.CopyNewest}, {Source: "dns/terraform.tfstate", Serial: 7, Relation: audit.CopyOlder}}},
			{Code: audit.CodeTerraformVersions, Severity: audit.SeverityInfo, Sources: []string{}, Message: "The states were written by 4 releases of Terraform.", Advice: "Bring them together."},
		},
	}
}

// withTargets returns the inventory with workspaces.
func withTargets() *audit.Inventory {
	i := inventory()
	i.Snapshots[0].Target = &audit.Target{Workspace: "app.terraform.io/acme/network", Relation: "fresh", Outcome: "planned"}
	i.Snapshots[1].Target = &audit.Target{Workspace: "app.terraform.io/acme/dns", Relation: "stale", Outcome: "refused", Code: "stale", Message: "The workspace holds serial 15."}
	return i
}

// withBaseline returns the inventory with targets, of which a baseline knows a part.
func withBaseline() *audit.Inventory {
	i := withTargets()
	i.ResourceCap, i.ResourcePrice = 10, 0.0001
	i.Add(nil)
	i.Apply(&audit.Baseline{File: "known.hcl", Entries: []*audit.Accepted{
		{Code: "shared-lineage", Sources: []string{"dns/*"}, Reason: "Both are kept until the zone is moved.", Expires: "2026-06-30"},
		{Code: "locked", Sources: []string{"network/*"}, Reason: "The apply takes hours.", Expires: "2026-02-28"},
		{Code: "plain-secret", Sources: []string{"shop/**"}, Resources: []string{"output.key"}, Reason: "Rotated."},
	}})
	return i
}

func TestInventoryGolden(t *testing.T) {
	for name, test := range map[string]struct {
		style report.Style
		of    *audit.Inventory
	}{
		"audit-wide.txt":   {report.Style{}, inventory()},
		"audit-80.txt":     {report.Style{Width: 80}, inventory()},
		"audit-colour.txt": {report.Style{Width: 100, Colour: true}, inventory()},
		"audit-target.txt": {report.Style{Width: 100}, withTargets()},
		"audit-known.txt":  {report.Style{Width: 100}, withBaseline()},
		"audit-none.txt":   {report.Style{Width: 80}, &audit.Inventory{Taken: taken, Sources: []string{"."}, Snapshots: []audit.Snapshot{state("a.tfstate", 1, 5, 0)}}},
	} {
		var b bytes.Buffer
		if err := report.Inventory(&b, test.style, test.of, false); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func TestInventoryDocuments(t *testing.T) {
	for name, write := range map[string]func(io.Writer, *audit.Inventory) error{
		"audit.json": report.InventoryJSON, "audit.csv": report.InventoryCSV,
	} {
		var b bytes.Buffer
		if err := write(&b, withBaseline()); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func TestManySnapshotsAreShownByWeight(t *testing.T) {
	i := &audit.Inventory{Taken: taken}
	for n := range 500 {
		i.Snapshots = append(i.Snapshots, state(fmt.Sprintf("s%03d.tfstate", n), 1, 100, time.Hour))
	}
	i.Findings = []audit.Finding{{Code: audit.CodeInvalid, Severity: audit.SeverityError, Sources: []string{"s499.tfstate"}, Message: "x", Advice: "y"}}
	var few, all bytes.Buffer
	if err := report.Inventory(&few, report.Style{Width: 100}, i, false); err != nil {
		t.Fatal(err)
	}
	if err := report.Inventory(&all, report.Style{Width: 100}, i, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(few.String(), "… and 440 more") || !strings.Contains(few.String(), "s499.tfstate") || strings.Contains(few.String(), "s059.tfstate") {
		t.Errorf("the most serious findings are not shown:\n%s", few.String())
	}
	if n := strings.Count(all.String(), ".tfstate "); n < 500 {
		t.Errorf("--all shows %d", n)
	}
}

// hostile are texts that a file name or a state may contain.
var hostile = []string{
	"\x1b[31mred\x1b]0;title\x07", "\x9b31m", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", `" onmouseover="alert(1)`,
	"=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "a\nb\tc\rd", "\u202egnp.exe", "\u2028", "<!--", "]]>", "{{.}}", "\x00", "'; DROP", "\xff\xfe",
}

// hostileInventory has them in every text that comes from a file.
func hostileInventory() *audit.Inventory {
	i := &audit.Inventory{Taken: taken, Sources: hostile}
	for _, h := range hostile {
		s := state(h, 1, 100, time.Hour, audit.Code(h))
		s.Workspace, s.Kind, s.Code, s.TerraformVersion, s.Lineage = h, "state", h, h, h
		s.Providers = []audit.Provider{{Address: h, Resources: 1}}
		s.Lock = &backend.Lock{ID: h, Who: h, Operation: h, Info: h, Path: h}
		s.Target = &audit.Target{Workspace: h, Relation: h, Outcome: h, Code: h, Message: h}
		i.Snapshots = append(i.Snapshots, s)
		i.Findings = append(i.Findings, audit.Finding{Code: audit.Code(h), Severity: audit.SeverityError, Sources: []string{h}, Message: h, Advice: h,
			Copies: []audit.Copy{{Source: h, Relation: h}}})
	}
	return i
}

func hostileHaul() report.HaulReport {
	h := report.HaulReport{Journal: hostile[0], Haul: hostile[2], Started: taken, Ended: taken.Add(time.Minute)}
	for _, text := range hostile {
		h.Results = append(h.Results, migrate.Result{Source: text, Target: text, Outcome: migrate.Outcome(text), Relation: migrate.Relation(text), Code: migrate.Code(text),
			Message: text, Notes: []string{text}, Backup: text, Locked: true, UnlockCommand: text, StateVersionID: text,
			Snapshot: &migrate.Snapshot{Format: 4, Lineage: text, TerraformVersion: text, MD5: text}})
		h.Unfinished = append(h.Unfinished, migrate.Result{Source: text, Target: text, Outcome: migrate.Failed, Message: text})
	}
	return h
}

// views returns all views of a hostile audit and a hostile haul.
func views(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, write := range map[string]func(io.Writer) error{
		"table":      func(w io.Writer) error { return report.Inventory(w, report.Style{Width: 90}, hostileInventory(), true) },
		"csv":        func(w io.Writer) error { return report.InventoryCSV(w, hostileInventory()) },
		"html":       func(w io.Writer) error { return page.Audit(w, hostileInventory()) },
		"haul html":  func(w io.Writer) error { return page.Haul(w, hostileHaul()) },
		"haul junit": func(w io.Writer) error { return report.HaulJUnit(w, hostileHaul()) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = b.String()
	}
	for name, write := range forPipelines(hostileInventoryAndHaul()) {
		all[name] = string(text(t, write))
	}
	return all
}

func TestHostileTextsAreHarmlessInEveryView(t *testing.T) {
	for name, text := range views(t) {
		for _, r := range text {
			if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' {
				t.Errorf("%s holds %U", name, r)
			}
		}
		if !strings.Contains(name, "html") {
			continue
		}
		for _, markup := range []string{"<script>alert", "<img", `onmouseover="`, "<!--"} {
			if strings.Contains(text, markup) {
				t.Errorf("%s holds %s", name, markup)
			}
		}
		if n := strings.Count(text, "</script>"); n != 2 {
			t.Errorf("%s ends %d scripts", name, n)
		}
		if regexp.MustCompile(`(?:src|href)="(?:[a-z]+:)?//`).MatchString(text) || strings.Contains(text, "url(") || strings.Contains(text, "@import") {
			t.Errorf("%s refers to a server", name)
		}
	}
}

func TestSpreadsheetsTakeNoCellForAFormula(t *testing.T) {
	var b bytes.Buffer
	if err := report.InventoryCSV(&b, hostileInventory()); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != len(hostile)+1 {
		t.Errorf("%d rows", len(records))
	}
	for _, record := range records[1:] {
		for n, cell := range record {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@") {
				t.Errorf("%s: %q", records[0][n], cell)
			}
		}
	}
}

func TestJUnitIsWellFormed(t *testing.T) {
	var b bytes.Buffer
	if err := report.HaulJUnit(&b, hostileHaul()); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(&b)
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// The views contain nothing of what the states hold.
func TestViewsContainNoSecrets(t *testing.T) {
	dir := t.TempDir()
	if _, err := fixtures.Landscape(dir, 25, 9, fixtures.WithProblems(), fixtures.WithOddities()); err != nil {
		t.Fatal(err)
	}
	i, err := audit.Take(t.Context(), []string{dir}, audit.Options{Kinds: backend.Kinds{file.Kind(backend.Connection{})}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, write := range []func() error{
		func() error { return report.Inventory(&b, report.Style{}, i, true) },
		func() error { return report.InventoryJSON(&b, i) },
		func() error { return report.InventoryCSV(&b, i) },
		func() error { return page.Audit(&b, i) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	for n, secret := range fixtures.PlantedSecrets() {
		if strings.Contains(b.String(), secret) {
			t.Errorf("planted secret number %d is shown", n)
		}
	}
}

// An interrupted move is an error to CI systems.
func TestJUnitGolden(t *testing.T) {
	h := report.HaulReport{Journal: "haul.jsonl", Haul: "20260301-101500-0123456789ab", Started: taken.Add(time.Second), Ended: taken.Add(22 * time.Second), Results: results(),
		Unfinished: []migrate.Result{{Source: "late/terraform.tfstate", Target: "app.terraform.io/acme/late", Snapshot: snapshot(3, 200)}}}
	var b bytes.Buffer
	if err := report.HaulJUnit(&b, h); err != nil {
		t.Fatal(err)
	}
	golden(t, "haul.xml", b.Bytes())
}
