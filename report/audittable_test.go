package report_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"tfhaul/audit"
	"tfhaul/report"
)

// inventoryText returns the text of an audit on a terminal of this width.
func inventoryText(t *testing.T, width int, i *audit.Inventory) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Inventory(&b, report.Style{Width: width}, i, true); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestNamesAreNotCut has names that are to be copied, in terminals of several widths.
func TestNamesAreNotCut(t *testing.T) {
	i := &audit.Inventory{Taken: taken}
	for _, name := range []string{"alerts-031", "billing-007", "database-110/terraform.tfstate.d/staging", "queue-064", "本番環境のネットワーク"} {
		s := state("repos/platform/"+name+"/terraform.tfstate", 41, 48213, 3*time.Hour, audit.CodeUnusableProvider)
		s.Target = &audit.Target{Workspace: "h/o/platform-" + strings.ReplaceAll(name, "/", "-"), Outcome: "planned", Relation: "fresh"}
		i.Snapshots = append(i.Snapshots, s)
	}
	for _, width := range []int{60, 80, 100, 160, 0} {
		text := inventoryText(t, width, i)
		table, _, _ := strings.Cut(text, "\n\n")
		words := strings.Fields(table)
		for _, s := range i.Snapshots {
			if workspace := strings.TrimPrefix(s.Target.Workspace, "h/o/"); !slices.Contains(words, s.Source) || !slices.Contains(words, workspace) {
				t.Errorf("at %d columns %s or %s is cut in\n%s", width, s.Source, workspace, table)
			}
		}
		if n := strings.Count(table, " unusable-provider"); n != len(i.Snapshots) {
			t.Errorf("at %d columns %d rows have findings:\n%s", width, n, table)
		}
		for line := range strings.Lines(table) {
			if w := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); width > 0 && w > width && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("at %d columns a line has %d: %s", width, w, line)
			}
		}
	}
	if wide := inventoryText(t, 0, i); !strings.Contains(wide, "AGE") {
		t.Errorf("a column is left out although there is room:\n%s", wide)
	}
}

// TestOneLongNameIsAlone has one name that is longer than the others.
func TestOneLongNameIsAlone(t *testing.T) {
	i := &audit.Inventory{Taken: taken}
	for _, name := range []string{"a", "b", strings.Repeat("c", 70)} {
		i.Snapshots = append(i.Snapshots, state(name+".tfstate", 41, 48213, 3*time.Hour))
	}
	table, _, _ := strings.Cut(inventoryText(t, 60, i), "\n\n")
	if lines := strings.Split(table, "\n"); len(lines) != 5 || strings.TrimSpace(lines[3]) != i.Snapshots[2].Source || !strings.HasPrefix(lines[4], "   ") {
		t.Errorf("got\n%s", table)
	}
}

// TestAuditFitsTheTerminal has every part of an audit.
func TestAuditFitsTheTerminal(t *testing.T) {
	i := inventory()
	for _, width := range []int{80, 100, 160} {
		for line := range strings.Lines(inventoryText(t, width, i)) {
			if w := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); w > width {
				t.Errorf("at %d columns a line has %d: %s", width, w, line)
			}
		}
	}
}

// TestAdviceFollowsItsFindings has one code with two pieces of advice.
func TestAdviceFollowsItsFindings(t *testing.T) {
	finding := func(source, message, advice string) audit.Finding {
		return audit.Finding{Code: audit.CodeInvalid, Severity: audit.SeverityError, Sources: []string{source}, Message: message, Advice: advice}
	}
	i := &audit.Inventory{Taken: taken}
	i.Add([]audit.Finding{
		finding("a", "It ends in the middle.", "Restore it."), finding("b", "It begins with a mark.", "Cut it off."), finding("c", "It has a comment.", "Restore it."),
	})
	want := `error invalid (3)
  It ends in the middle.
    a
  It has a comment.
    c
  → Restore it.
  It begins with a mark.
    b
  → Cut it off.
`
	if got := inventoryText(t, 80, i); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s", got)
	}
}

// A state may have no workspace to compare with.
func TestStandingWithoutComparison(t *testing.T) {
	i := inventory()
	i.Snapshots[0].Target = &audit.Target{Workspace: "h/o/network", Outcome: "refused", Code: "no-workspace", Message: "There is no such workspace."}
	i.Snapshots[1].Target = &audit.Target{Workspace: "h/o/dns", Outcome: "planned", Relation: "fresh"}
	if got := inventoryText(t, 100, i); !strings.Contains(got, "relations   fresh (1), no-workspace (1)\n") {
		t.Errorf("got\n%s", got)
	}
}

// TestSummaryFitsTheTerminal has many providers, and numbers above a thousand.
func TestSummaryFitsTheTerminal(t *testing.T) {
	i := inventory()
	i.Snapshots[0].Instances = 1234567
	for _, name := range []string{"google", "azurerm", "kubernetes", "helm"} {
		i.Snapshots[0].Providers = append(i.Snapshots[0].Providers, audit.Provider{Address: "registry.terraform.io/hashicorp/" + name, Resources: 1100})
	}
	got := inventoryText(t, 80, i)
	for _, want := range []string{"1,234,582 instances", "\nproviders   hashicorp/azurerm (1,100), ", "\n            hashicorp/"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	for line := range strings.Lines(got) {
		if runewidth.StringWidth(line) > 81 {
			t.Errorf("a line is too long: %s", line)
		}
	}
}

// A state may contain very long names that would bury the rest of the text.
func TestLongNamesAreShortened(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	i := inventory()
	i.Snapshots[0].TerraformVersion = "1.2.3-" + long
	i.Snapshots[0].Providers = []audit.Provider{{Address: "reg.example.net/a/" + long, Resources: 1}}
	if got := inventoryText(t, 0, i); len(got) > 5000 {
		t.Errorf("the text has %d bytes", len(got))
	}
}

// TestLongAdviceHasOneArrow also checks that commands are not broken.
func TestLongAdviceHasOneArrow(t *testing.T) {
	const command = `"terraform state replace-provider registry.opentofu.org/NAMESPACE/NAME registry.terraform.io/NAMESPACE/NAME"`
	i := &audit.Inventory{Taken: taken}
	i.Add([]audit.Finding{{Code: audit.CodeOpenTofuProvider, Severity: audit.SeverityWarning, Sources: []string{"a"}, Message: "m", Advice: fmt.Sprintf("Before the first run, and after the last of the runs that were planned before: %s.", command)}})
	got := inventoryText(t, 60, i)
	if strings.Count(got, "→") != 1 || !strings.Contains(got, "\n    "+command+".\n") {
		t.Errorf("got\n%s", got)
	}
}

// TestInvisibleCharactersAreReplaced has names with invisible characters.
func TestInvisibleCharactersAreReplaced(t *testing.T) {
	for text, want := range map[string]string{
		"prod\u200b/a":               "prod\ufffd/a",
		"prod\ufeff/a":               "prod\ufffd/a",
		"pr\u00adod/a":               "pr\ufffdod/a",
		"prod\U000e0041/a":           "prod\ufffd/a",
		"prod\u202e/a":               "prod\ufffd/a",
		"می\u200cخواهم":              "می\u200cخواهم",
		"\U0001f469\u200d\U0001f4bb": "\U0001f469\u200d\U0001f4bb",
	} {
		if got := report.PlainLine(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// TestCSVEscapesWideFormulaSigns has the full-width signs that start a formula in Japanese
// and Chinese spreadsheets.
func TestCSVEscapesWideFormulaSigns(t *testing.T) {
	for _, name := range []string{"＝1+1", "＋1", "－1", "＠SUM(1)", "=1", "-1"} {
		var b bytes.Buffer
		if err := report.InventoryCSV(&b, &audit.Inventory{Snapshots: []audit.Snapshot{{Source: name}}}); err != nil {
			t.Fatal(err)
		}
		if _, row, _ := strings.Cut(b.String(), "\n"); !strings.HasPrefix(row, "'"+name) {
			t.Errorf("the cell of %q is %s", name, row)
		}
	}
}
