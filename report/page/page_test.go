package page_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfhaul/audit"
	"tfhaul/migrate"
	"tfhaul/report"
	"tfhaul/report/page"
)

var update = flag.Bool("update", false, "write the golden files")

// taken is when the audit and the haul of the documents were.
var taken = time.Date(2026, 3, 1, 10, 15, 0, 0, time.UTC)

// read decodes a document that package report tests against.
func read(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// inventory is the audit in audit.json.
func inventory(t *testing.T) *audit.Inventory {
	t.Helper()
	i := &audit.Inventory{}
	read(t, "audit.json", i)
	return i
}

// drawn is the page of an audit.
func drawn(t *testing.T, i *audit.Inventory) string {
	t.Helper()
	var b bytes.Buffer
	if err := page.Audit(&b, i); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// golden compares a page with testdata/NAME, without the page's style and script, which
// have files of their own, and with its data laid out to be read.
func golden(t *testing.T, name, text string) {
	t.Helper()
	text = regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAllString(text, "<style></style>")
	text = regexp.MustCompile(`(?s)<script>.*?</script>`).ReplaceAllString(text, "<script></script>")
	text = regexp.MustCompile(`sha256-[A-Za-z0-9&#;/=]+`).ReplaceAllString(text, "sha256-…")
	text = regexp.MustCompile(`(?s)(<script type="application/json" id="data">)(.*?)(</script>)`).ReplaceAllStringFunc(text, func(s string) string {
		head, rest, _ := strings.Cut(s, ">")
		var out bytes.Buffer
		if err := json.Indent(&out, []byte(strings.TrimSuffix(rest, "</script>")), "", " "); err != nil {
			t.Error(err)
		}
		return head + ">\n" + out.String() + "\n</script>"
	})
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A checkout on Windows may have CR LF.
	want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", name, diff)
	}
}

func TestPageOfAnAudit(t *testing.T) {
	golden(t, "audit.html", drawn(t, inventory(t)))
}

func TestPageOfAHaul(t *testing.T) {
	var document struct{ Moves []migrate.Result }
	read(t, "moves.json", &document)
	h := report.HaulReport{Journal: "haul.jsonl", Haul: "20260301-101500-0123456789ab", Started: taken.Add(time.Second), Ended: taken.Add(22 * time.Second), Results: document.Moves,
		Unfinished: []migrate.Result{{Source: "late/terraform.tfstate", Target: "app.terraform.io/acme/late", Snapshot: &migrate.Snapshot{Format: 4, TerraformVersion: "1.11.4",
			Serial: 3, Lineage: "23a82f3f-9e45-4315-88f0-4632797cd39b", MD5: "9e107d9d372bb6826bd81d3542a419d6", Size: 200}}}}
	var b bytes.Buffer
	if err := page.Haul(&b, h); err != nil {
		t.Fatal(err)
	}
	golden(t, "haul.html", b.String())
}

// One code has two pieces of advice: each is shown below the items that it applies to.
func TestAdviceFollowsItsItems(t *testing.T) {
	finding := func(source, message, advice string) audit.Finding {
		return audit.Finding{Code: audit.CodeInvalid, Severity: audit.SeverityError, Sources: []string{source}, Message: message, Advice: advice}
	}
	i := &audit.Inventory{Taken: taken}
	i.Add([]audit.Finding{
		finding("a", "It ends in the middle.", "Restore it."), finding("b", "It begins with a mark.", "Cut it off."), finding("c", "It has a comment.", "Restore it."),
	})
	html, _, _ := strings.Cut(drawn(t, i), `id="data"`)
	last := -1
	for _, part := range []string{"It ends in the middle.</p>", "It has a comment.</p>", `<p class="advice">Restore it.</p>`, "It begins with a mark.</p>", `<p class="advice">Cut it off.</p>`} {
		at := strings.Index(html, part)
		if at <= last || strings.Count(html, part) != 1 {
			t.Errorf("%q is at offset %d, %d times, in the page; the one before it at %d", part, at, strings.Count(html, part), last)
		}
		last = at
	}
}

// A state may have no workspace to compare with.
func TestPlotOfRelationsLeadsToRows(t *testing.T) {
	i := inventory(t)
	i.Snapshots[0].Target = &audit.Target{Workspace: "h/o/network", Outcome: "refused", Code: "no-workspace", Message: "There is no such workspace."}
	if !strings.Contains(drawn(t, i), `title="no-workspace: show these in the table">no-workspace</a>`) {
		t.Error("the plot of the relations leads to no row")
	}
}

// Nouns are in the singular on a page of one of everything.
func TestOneIsNotMany(t *testing.T) {
	s := audit.Snapshot{Source: "a.tfstate", Kind: "state", Format: 4, Serial: 1, Size: 1, Contents: audit.Contents{Resources: 1, Managed: 1, Instances: 1, Outputs: 1}}
	text := drawn(t, &audit.Inventory{Taken: taken, Sources: []string{"."}, Snapshots: []audit.Snapshot{s}})
	for _, wrong := range []string{"1 instances", "1 outputs", "1 files"} {
		if strings.Contains(text, wrong) {
			t.Errorf("the page says %q", wrong)
		}
	}
}

// A group of many findings spells out the first, and says that there are more.
func TestGroupsAreBounded(t *testing.T) {
	i := &audit.Inventory{Taken: taken}
	var findings []audit.Finding
	for n := range 500 {
		name := strings.Repeat("a", n+1)
		findings = append(findings,
			audit.Finding{Code: audit.CodeInvalid, Severity: audit.SeverityError, Sources: []string{name}, Message: name + " is broken."},
			audit.Finding{Code: audit.CodeLocked, Severity: audit.SeverityError, Sources: []string{name}, Message: "It is locked."})
	}
	i.Add(findings)
	html, _, _ := strings.Cut(drawn(t, i), `id="data"`)
	if items, places, more := strings.Count(html, " is broken.</p>"), strings.Count(html, "<code>"), strings.Count(html, "There are more"); items != 40 || places != 80 || more != 2 {
		t.Errorf("%d items, %d places and %d notes that there are more", items, places, more)
	}
}
