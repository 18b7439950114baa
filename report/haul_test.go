package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"

	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/report"
)

// weekend returns a realistic plan of 800 states: names of realistic length, most of them
// to be moved, some already there, some refused for different reasons, and findings.
func weekend() report.Haul {
	const host = "tfe.example.com/acme/"
	h := report.Haul{Target: "tfe.example.com/acme", APICalls: 95, Seconds: 12.3}
	add := func(n int, outcome migrate.Outcome, relation migrate.Relation, code migrate.Code, message string) {
		for range n {
			i := len(h.Results)
			name := fmt.Sprintf("platform-team-%02d-service-%03d-environments-production-eu-west-1", i%17, i)
			r := migrate.Result{
				Source:  fmt.Sprintf("s3://acme-terraform-state-production/env:/production-eu-west-1/platform/team-%02d/service-%03d/terraform.tfstate?region=eu-west-1", i%17, i),
				Target:  host + name,
				Outcome: outcome, Relation: relation, Code: code, Snapshot: snapshot(int64(i%400+1), int64(i)*977+900),
			}
			if message != "" {
				r.Message = strings.ReplaceAll(message, "NAME", name)
			}
			h.Results = append(h.Results, r)
		}
	}
	add(610, migrate.WouldMove, migrate.Fresh, "", "The workspace holds no state. Serial 1 would be moved.")
	add(42, migrate.WouldMove, migrate.Newer, "", "The workspace holds an older serial.")
	add(80, migrate.AlreadyThere, migrate.Identical, "", "The workspace already holds the identical state. Nothing was written.")
	add(12, migrate.Skipped, "", migrate.CodeEmpty, "The state has no resources and no outputs, so there is nothing to move. To move it anyway, use --include-empty.")
	add(31, migrate.Refused, "", migrate.CodeNoWorkspace, "Workspace acme/NAME not found on tfe.example.com. Either it does not exist (--create creates it), or this token cannot see it.")
	add(17, migrate.Refused, migrate.Stale, migrate.CodeStale, "The source has serial 12, which is older than serial 15 in the workspace. Find the newer copy. To put the older one back anyway, use --replace NAME.")
	add(2, migrate.Refused, migrate.Unrelated, migrate.CodeUnrelated, "The workspace holds a different state. Check that this is the right workspace. If it is, use --replace NAME, which keeps a backup.")
	add(5, migrate.Failed, "", migrate.CodeUnreadable, "Cannot read the state: s3:GetObject is not allowed. Ask for it.")
	add(1, migrate.Failed, "", migrate.CodeUnreachable, "The server cannot be reached.")
	for i := range 9 {
		h.Findings = append(h.Findings, migrate.Finding{Code: migrate.FindingTerraformVersion, Severity: migrate.SeverityWarning,
			Message: fmt.Sprintf("Runs in workspace service-%03d would reject the state: the workspace uses Terraform 0.13.7, and releases before 0.14 reject states that a newer release wrote (here 1.11.4). Raise the workspace's Terraform version first.", i)})
	}
	h.Findings = append(h.Findings,
		migrate.Finding{Code: migrate.FindingPermissions, Severity: migrate.SeverityError, Message: "The token cannot lock and write 3 of the workspaces (a, b, c), so moves into them would fail. Use a token with permission to lock workspaces and write states."},
		migrate.Finding{Code: migrate.FindingSharedLineage, Severity: migrate.SeverityWarning, Message: "2 states are copies of one state (lineage 23a82f3f-9e45-4315-88f0-4632797cd39b): s3://acme-terraform-state-production/a.tfstate, s3://acme-terraform-state-production/b.tfstate. Several workspaces would manage the same resources. The highest serial is 7, in s3://acme-terraform-state-production/b.tfstate."})
	h.LeftOut = append(h.LeftOut, pairing.LeftOut{Source: "repos/a/errored.tfstate", Code: "errored", Message: "was written by a Terraform that could not save its state."},
		pairing.LeftOut{Source: "repos/secret/", Code: "unreadable", Message: "this directory was not searched: permission denied"})
	for i := range 30 {
		h.LeftOut = append(h.LeftOut, pairing.LeftOut{Source: fmt.Sprintf("repos/%d/terraform.tfstate.backup", i), Code: "backup", Message: "is what the state was before its last write"})
	}
	return h
}

// fits fails if a line is wider than the terminal, unless it is one word that must be
// copied in one piece.
func fits(t *testing.T, text string, width int) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if runewidth.StringWidth(line) > width && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("this line is %d columns wide, of %d: %q", runewidth.StringWidth(line), width, line)
		}
	}
}

// A plan of 800 states is readable on a terminal of 100 columns, with little scrolling. The names
// of the states are longer than a line.
func TestPlanOf800(t *testing.T) {
	var b bytes.Buffer
	if err := report.Plan(&b, report.Style{Width: 100}, weekend()); err != nil {
		t.Fatal(err)
	}
	fits(t, b.String(), 100)
	if lines := strings.Count(b.String(), "\n"); lines > 200 {
		t.Errorf("it has %d lines", lines)
	}
	golden(t, "plan-800.txt", b.Bytes())

	b.Reset()
	all := weekend()
	all.All = true
	if err := report.Plan(&b, report.Style{Width: 100}, all); err != nil {
		t.Fatal(err)
	}
	fits(t, b.String(), 100)
	for _, r := range all.Results {
		if number := r.Source[strings.Index(r.Source, "/service-")+1:][:11]; !strings.Contains(b.String(), number[8:]) {
			t.Errorf("--all does not show %s", number)
		}
	}
}

func TestPlanOfFive(t *testing.T) {
	h := report.Haul{Target: "app.terraform.io/acme", Results: []migrate.Result{results()[1], results()[4], results()[5], results()[8], results()[9]}}
	for _, width := range []int{0, 60, 100} {
		var b bytes.Buffer
		if err := report.Plan(&b, report.Style{Width: width}, h); err != nil {
			t.Fatal(err)
		}
		if width > 0 {
			fits(t, b.String(), width)
		}
		golden(t, fmt.Sprintf("plan-5-%d.txt", width), b.Bytes())
	}
}

func TestPlanSummary(t *testing.T) {
	var b bytes.Buffer
	if err := report.PlanSummary(&b, report.Style{Width: 100}, weekend()); err != nil {
		t.Fatal(err)
	}
	fits(t, b.String(), 100)
	golden(t, "plan-summary.txt", b.Bytes())
}

// hauled returns a haul that an expired token ended.
func hauled() report.Haul {
	h := report.Haul{Target: "app.terraform.io/acme", APICalls: 412, Seconds: 13.9, Journal: "haul.jsonl", Continue: "tfhaul migrate haul.hcl --journal haul.jsonl"}
	h.Results = append(h.Results, results()...)
	for i := range 12 {
		h.Results = append(h.Results, migrate.Result{Source: fmt.Sprintf("late-%d.tfstate", i), Target: fmt.Sprintf("app.terraform.io/acme/late-%d", i), Outcome: migrate.Failed,
			Code: migrate.CodeServerRefused, Message: "The server answered 422: the moon is full.", Notes: []string{"tfhaul lost the lock during the move."}})
	}
	for _, name := range []string{"queue", "late-3"} {
		h.HeldLocks = append(h.HeldLocks, migrate.HeldLock{Target: "app.terraform.io/acme/" + name, Haul: "h1", Sure: true})
	}
	return h
}

func TestHauled(t *testing.T) {
	for _, width := range []int{0, 80} {
		var b bytes.Buffer
		if err := report.Hauled(&b, report.Style{Width: width}, hauled()); err != nil {
			t.Fatal(err)
		}
		golden(t, fmt.Sprintf("hauled-%d.txt", width), b.Bytes())
		if n := strings.Count(b.String(), "the moon is full"); n != 1 {
			t.Errorf("at width %d one cause is written %d times", width, n)
		}
		if command := results()[3].UnlockCommand; !strings.Contains(b.String(), command) {
			t.Errorf("at width %d the unlock command is broken", width)
		}
	}
	var b bytes.Buffer
	if err := report.HaulJSON(&b, hauled()); err != nil {
		t.Fatal(err)
	}
	golden(t, "hauled.json", b.Bytes())
}

func TestVerified(t *testing.T) {
	var b bytes.Buffer
	h := report.Haul{Results: []migrate.Result{results()[4], results()[1], results()[6]}, APICalls: 4, Seconds: 0.2}
	if err := report.Verified(&b, report.Style{}, h); err != nil {
		t.Fatal(err)
	}
	golden(t, "verified.txt", b.Bytes())
}

func TestRehearsed(t *testing.T) {
	var b bytes.Buffer
	h := report.Haul{Target: "app.terraform.io/acme", Results: results()[9:], Rehearsal: &report.Rehearsal{APICalls: 3258, Seconds: 113.7, Limit: 30, Latency: 0.08}}
	if err := report.Plan(&b, report.Style{Width: 80}, h); err != nil {
		t.Fatal(err)
	}
	h.Rehearsal.Limit = 0
	if err := report.Plan(&b, report.Style{}, h); err != nil {
		t.Fatal(err)
	}
	golden(t, "rehearsed.txt", b.Bytes())
}

// Empty lists are [] in documents.
func TestHaulJSONOfNothing(t *testing.T) {
	var b bytes.Buffer
	if err := report.HaulJSON(&b, report.Haul{}); err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(b.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"moves", "findings", "left_out", "locked", "summary"} {
		if document[list] == nil {
			t.Errorf("%s is missing or null", list)
		}
	}
}

// Text from files and servers cannot control the terminal.
func TestHaulControlCharacters(t *testing.T) {
	const evil = "a\x1b]0;owned\x07\u009b31m\u202ereversed\r\x00\x7f\nb\tc"
	r := migrate.Result{Source: evil, Target: "host/" + evil + "/" + evil, Relation: evil, Code: evil, Message: evil, UnlockCommand: evil, Locked: true, Notes: []string{evil}}
	h := report.Haul{Target: evil, Findings: []migrate.Finding{{Code: evil, Severity: evil, Message: evil}}, LeftOut: []pairing.LeftOut{{Source: evil, Code: "errored", Message: evil}, {Source: evil, Code: evil, Message: evil}},
		Journal: evil, Continue: evil, HeldLocks: []migrate.HeldLock{{Target: evil}}}
	for _, outcome := range []migrate.Outcome{migrate.Failed, migrate.Refused, migrate.WouldMove, evil} {
		r.Outcome = outcome
		h.Results = append(h.Results, r)
	}
	for _, style := range []report.Style{{}, {Width: 60}} {
		var b bytes.Buffer
		for _, show := range []func(*bytes.Buffer) error{
			func(b *bytes.Buffer) error { return report.Plan(b, style, h) },
			func(b *bytes.Buffer) error { return report.PlanSummary(b, style, h) },
			func(b *bytes.Buffer) error { return report.Hauled(b, style, h) },
			func(b *bytes.Buffer) error { return report.Verified(b, style, h) },
		} {
			if err := show(&b); err != nil {
				t.Error(err)
			}
		}
		for i, c := range b.String() {
			if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 || c == '\u202e' {
				t.Fatalf("%U at %d of %q", c, i, b.String())
			}
		}
	}
}
