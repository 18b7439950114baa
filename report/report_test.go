package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"

	"tfhaul/migrate"
	"tfhaul/prove"
	"tfhaul/report"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with testdata/NAME.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A checkout on Windows may have CRLF line endings.
	want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", name, diff)
	}
}

func snapshot(serial, size int64) *migrate.Snapshot {
	return &migrate.Snapshot{Format: 4, TerraformVersion: "1.11.4", Serial: serial, Lineage: "23a82f3f-9e45-4315-88f0-4632797cd39b",
		MD5: "9e107d9d372bb6826bd81d3542a419d6", Size: size}
}

// results returns one of everything.
func results() []migrate.Result {
	const host = "app.terraform.io/acme/"
	unlock := "tfhaul unlock " + host + "queue --haul 20260102-150405-0123456789ab"
	return []migrate.Result{
		{Source: "network/terraform.tfstate", Target: host + "network", Outcome: migrate.Moved, Relation: migrate.Fresh, Created: true,
			Message: "Serial 41 is the workspace's current state (sv-1). All 48213 bytes were read back and match.", Snapshot: snapshot(41, 48213), StateVersionID: "sv-1", APICalls: 6, Seconds: 0.412},
		{Source: "dns/terraform.tfstate", Target: host + "dns", Outcome: migrate.Refused, Relation: migrate.Stale, Code: migrate.CodeStale,
			Message: "The source has serial 12, which is older than serial 15 in the workspace.", Snapshot: snapshot(12, 15000), APICalls: 2, Seconds: 0.1},
		{Source: "app/terraform.tfstate", Target: host + "app", Outcome: migrate.Moved, Relation: migrate.Unrelated, Backup: "tfhaul-backup/app.terraform.io/acme/app-serial-3-sv-0.tfstate",
			Message: "Serial 5 is the workspace's current state (sv-2). All 900 bytes were read back and match.", Snapshot: snapshot(5, 900), StateVersionID: "sv-2", APICalls: 7, Seconds: 75.2,
			Notes: []string{"The source has no lineage, so only serials and bytes were compared."}},
		{Source: "queue/terraform.tfstate", Target: host + "queue", Outcome: migrate.Failed, Relation: migrate.Fresh, Code: migrate.CodeUnproven, Locked: true, UnlockCommand: unlock,
			Message:  "The server acknowledged the state as sv-3, but tfhaul could not verify it: reading it back failed. The workspace stays locked so that nobody builds on an unverified state. To unlock it: " + unlock,
			Snapshot: snapshot(8, 5<<20), APICalls: 1, Seconds: 3},
		{Source: "iam/terraform.tfstate", Target: host + "iam", Outcome: migrate.AlreadyThere, Relation: migrate.Identical,
			Message: "The workspace already holds the identical state (serial 30, sv-4). Nothing was written.", Snapshot: snapshot(30, 35300), StateVersionID: "sv-4", APICalls: 2, Seconds: 0.05},
		{Source: "vault/terraform.tfstate", Target: host + "vault", Outcome: migrate.Refused, Code: migrate.CodeEncrypted,
			Message: "The state is encrypted by OpenTofu.", Snapshot: &migrate.Snapshot{MD5: "00", Size: 190}},
		{Source: "team-a/terraform.tfstate", Target: host + "team-a", Outcome: migrate.Failed, Code: migrate.CodeUnauthorized, Message: "The server does not accept the token (401)."},
		{Source: "team-b/terraform.tfstate", Target: host + "team-b", Outcome: migrate.Failed, Code: migrate.CodeUnauthorized, Message: "The server does not accept the token (401)."},
		{Source: "new/terraform.tfstate", Target: host + "new", Outcome: migrate.Skipped, Code: migrate.CodeEmpty, Message: "The state has no resources and no outputs, so there is nothing to move.", Snapshot: snapshot(1, 181)},
		{Source: "lab/terraform.tfstate", Target: host + "lab", Outcome: migrate.WouldMove, Relation: migrate.Newer, Message: "The workspace holds serial 1 of this state. Serial 2 would be moved.", Snapshot: snapshot(2, 2048)},
	}
}

func TestMove(t *testing.T) {
	for _, style := range []struct {
		name string
		report.Style
	}{{"wide", report.Style{}}, {"80", report.Style{Width: 80}}, {"colour", report.Style{Colour: true}}} {
		var b bytes.Buffer
		for _, r := range results() {
			if err := report.Move(&b, style.Style, r); err != nil {
				t.Fatal(err)
			}
		}
		golden(t, "move-"+style.name+".txt", b.Bytes())
		if command := results()[3].UnlockCommand; !strings.Contains(b.String(), command) {
			t.Errorf("%s: the unlock command is broken", style.name)
		}
	}
}

func TestMoves(t *testing.T) {
	for name, style := range map[string]report.Style{"wide": {}, "80": {Width: 80}, "48": {Width: 48}, "colour": {Colour: true}} {
		var b bytes.Buffer
		if err := report.Moves(&b, style, results()); err != nil {
			t.Fatal(err)
		}
		golden(t, "moves-"+name+".txt", b.Bytes())
	}
	var b bytes.Buffer
	if err := report.Moves(&b, report.Style{}, nil); err != nil || b.String() != "0 moves\n" {
		t.Errorf("of none: %q, %v", b.String(), err)
	}
}

// TestMovesFitTheTerminal has hundreds of moves, with names in scripts whose letters are
// two columns wide.
func TestMovesFitTheTerminal(t *testing.T) {
	var many []migrate.Result
	for i := range 800 {
		r := results()[i%10]
		r.Source = fmt.Sprintf("repositories/北京-%d/environments/production/%s/terraform.tfstate", i, strings.Repeat("deeper/", i%7))
		r.Target = fmt.Sprintf("tfe.example.com/acme/北京-%d-environments-production%s", i, strings.Repeat("-deeper", i%7))
		many = append(many, r)
	}
	for _, width := range []int{60, 80, 120, 200} {
		var b bytes.Buffer
		if err := report.Moves(&b, report.Style{Width: width}, many); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			// Text to be copied is not broken.
			oneWord := !strings.Contains(strings.TrimSpace(line), " ")
			if runewidth.StringWidth(line) > width && !oneWord && !strings.Contains(line, "tfhaul unlock") {
				t.Fatalf("at width %d this line is too wide: %q", width, line)
			}
		}
		for _, r := range many {
			if !strings.Contains(b.String(), "  "+r.Source) {
				t.Fatalf("at width %d the name %s is cut", width, r.Source)
			}
		}
		words := strings.Join(strings.Fields(b.String()), " ")
		if !strings.HasSuffix(words, "800 moves: 160 moved, 80 already there, 80 planned, 160 refused, 240 failed, 80 skipped") {
			t.Errorf("at width %d it ends with %q", width, words[len(words)-120:])
		}
	}
}

func TestVerification(t *testing.T) {
	var b bytes.Buffer
	for _, i := range []int{4, 1, 6} {
		if err := report.Verification(&b, report.Style{}, results()[i]); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "verification.txt", b.Bytes())
}

func TestHistory(t *testing.T) {
	created := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	history := report.History{Target: "app.terraform.io/acme/network", More: true, StateVersions: []report.StateVersion{
		{ID: "sv-2", Serial: new(int64(41)), Current: true, CreatedAt: created, Size: 48213, TerraformVersion: "1.11.4", Status: "finalized"},
		{ID: "sv-1", Serial: new(int64(9)), CreatedAt: created.Add(-time.Hour), Run: "run-1", Status: "pending"},
	}}
	var text, document bytes.Buffer
	if err := report.ShowHistory(&text, report.Style{Width: 100}, history, time.UTC); err != nil {
		t.Fatal(err)
	}
	golden(t, "history.txt", text.Bytes())
	if err := report.JSON(&document, history); err != nil {
		t.Fatal(err)
	}
	golden(t, "history.json", document.Bytes())
}

func TestUnlockings(t *testing.T) {
	unlockings := []report.Unlocking{
		{Target: "app.terraform.io/acme/a", Outcome: report.Freed, Message: "The workspace is unlocked."},
		{Target: "app.terraform.io/acme/b", Outcome: report.Free, Message: "The workspace is not locked."},
		{Target: "app.terraform.io/acme/c", Outcome: report.NotOurs, Message: "This haul does not hold the lock: user jo holds it."},
		{Target: "app.terraform.io/acme/d", Outcome: report.StillLocked, Message: "The server cannot be reached."},
	}
	var text, document bytes.Buffer
	if err := report.Unlockings(&text, report.Style{}, unlockings); err != nil {
		t.Fatal(err)
	}
	golden(t, "unlockings.txt", text.Bytes())
	if err := report.UnlockingsJSON(&document, unlockings); err != nil {
		t.Fatal(err)
	}
	golden(t, "unlockings.json", document.Bytes())
}

func TestJSONOfMoves(t *testing.T) {
	var one, many, none bytes.Buffer
	if err := report.JSON(&one, results()[0]); err != nil {
		t.Fatal(err)
	}
	golden(t, "move.json", one.Bytes())
	if err := report.MovesJSON(&many, results()); err != nil {
		t.Fatal(err)
	}
	golden(t, "moves.json", many.Bytes())
	if err := report.MovesJSON(&none, nil); err != nil {
		t.Fatal(err)
	}
	var document struct {
		Summary map[string]int
		Moves   []any
	}
	if err := json.Unmarshal(none.Bytes(), &document); err != nil || document.Summary == nil || document.Moves == nil {
		t.Errorf("of none: %s, %v", &none, err)
	}
}

// TestControlCharacters puts them in every text from a file or a server.
func TestControlCharacters(t *testing.T) {
	const evil = "a\x1b]0;owned\x07\u009b31m\u202ereversed\r\x00\x7f\nb\tc"
	r := migrate.Result{
		Source: evil, Target: "host/" + evil + "/" + evil, Outcome: migrate.Failed, Relation: evil, Code: evil, Message: evil,
		Snapshot: &migrate.Snapshot{Format: 4, TerraformVersion: evil, Lineage: evil, MD5: evil},
		Locked:   true, UnlockCommand: evil, Backup: evil, Notes: []string{evil},
	}
	history := report.History{Target: evil, StateVersions: []report.StateVersion{{ID: evil, TerraformVersion: evil, Run: evil, Status: evil}}}
	unlocking := report.Unlocking{Target: evil, Outcome: report.NotOurs, Message: evil}
	for _, style := range []report.Style{{}, {Width: 60}} {
		var b bytes.Buffer
		for _, err := range []error{
			report.Move(&b, style, r), report.Moves(&b, style, []migrate.Result{r}), report.Verification(&b, style, r),
			report.ShowHistory(&b, style, history, time.UTC), report.ShowHistory(&b, style, report.History{Target: evil}, time.UTC),
			report.Unlockings(&b, style, []report.Unlocking{unlocking}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		for i, c := range b.String() {
			if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 || c == '\u202e' {
				t.Errorf("%U at %d of %q", c, i, b.String())
			}
		}
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 48213: "47.1 KiB", 102400: "100 KiB", 1<<20 - 1: "1.0 MiB",
		5 << 20: "5.0 MiB", 500 << 20: "500 MiB", 3 << 40: "3.0 TiB", 5000 << 40: "5000 TiB",
	} {
		if got := report.Size(bytes); got != want {
			t.Errorf("Size(%d) = %q, want %q", bytes, got, want)
		}
	}
}

func TestReportOfACutOffHaulNamesWhatIsLeft(t *testing.T) {
	h := report.HaulReport{Journal: "haul.jsonl", Unfinished: []migrate.Result{{Source: "a", Target: "h/o/a"}}, NotAttempted: 3, Locked: []string{"h/o/a"}}
	var b bytes.Buffer
	if err := h.Rest(&b, report.Style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cut off before they ended (1):\n  h/o/a\n", "not attempted: 3\n", "--journal haul.jsonl", "may be locked by this haul (1):\n  h/o/a\n", "tfhaul unlock haul.jsonl"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing:\n%s", want, b.String())
		}
	}
	var junit, document bytes.Buffer
	if err := errors.Join(report.HaulJUnit(&junit, h), report.HaulReportJSON(&document, h)); err != nil {
		t.Fatal(err)
	}
	if x := junit.String(); !strings.Contains(x, `tests="2" failures="0" errors="2"`) || !strings.Contains(x, "not attempted: 3 moves") {
		t.Errorf("the moves that were not attempted are missing:\n%s", x)
	}
	if d := document.String(); !strings.Contains(d, `"not_attempted": 3`) || !strings.Contains(d, `"cut_off": [`) || !strings.Contains(d, `"locked": [`) {
		t.Errorf("the document does not contain what is left:\n%s", d)
	}
	if err := (&report.HaulReport{}).Rest(&b, report.Style{}); err != nil || strings.Count(b.String(), "\n\n") > 3 {
		t.Errorf("a finished haul leaves something: %v, %s", err, b.String())
	}
}

// Sentences that differ only in the names are written once. Commands that free a lock are
// written for each move.
func TestSentencesAboutManyMoves(t *testing.T) {
	const host = "app.terraform.io/acme/"
	var many []migrate.Result
	for _, name := range []string{"App", "net", "nat"} {
		many = append(many, migrate.Result{Source: name + "/terraform.tfstate", Target: host + name, Outcome: migrate.Refused, Code: migrate.CodeNoWorkspace,
			Message: "Workspace acme/" + name + " not found on app.terraform.io: this one cannot."})
	}
	for i := range 5 {
		name := fmt.Sprintf("own-%d", i)
		many = append(many, migrate.Result{Source: name, Target: host + name, Outcome: migrate.Refused, Code: migrate.CodeUnusable, Message: fmt.Sprintf("Reason %d.", i)})
	}
	for _, name := range []string{"a", "b"} {
		command := "tfhaul unlock " + host + name + " --haul h"
		many = append(many, migrate.Result{Source: name, Target: host + name, Outcome: migrate.Refused, Code: migrate.CodeUnproven, UnlockCommand: command, Locked: true, Message: "Still locked. To unlock it: " + command})
	}
	for _, name := range []string{"x/one.tfstate", "y/one.tfstate"} {
		many = append(many, migrate.Result{Source: name, Target: host + "one", Outcome: migrate.Refused, Code: migrate.CodeCollision, Message: "Two go into one: x/one.tfstate, y/one.tfstate."})
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"moves": func(b *bytes.Buffer) error { return report.Moves(b, report.Style{}, many) },
		"plan":  func(b *bytes.Buffer) error { return report.Plan(b, report.Style{}, report.Haul{Results: many}) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"App and 2 more: Workspace acme/App not found", "one and 1 more: Two go", "own-0: Reason 0.", "own-4: Reason 4.", "unlock " + host + "a --haul", "unlock " + host + "b --haul"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: %q is missing:\n%s", name, want, b.String())
			}
		}
		if n := strings.Count(b.String(), "not found"); n != 1 {
			t.Errorf("%s writes %d times what it should write once", name, n)
		}
	}
}

// TestReportsShowProofs has the verdicts in the text and in JUnit, also if all are
// proven.
func TestReportsShowProofs(t *testing.T) {
	proven := results()[0]
	proven.Proof = &prove.Result{Verdict: prove.Proven, Message: "No changes."}
	changed := results()[0]
	changed.Target += "-2"
	changed.Proof = &prove.Result{Verdict: prove.Changes, Message: "Terraform would change 1 object: aws_vpc.main."}
	var text, junit bytes.Buffer
	if err := report.Moves(&text, report.Style{}, []migrate.Result{proven, changed}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 proofs: 1 proven, 1 changes", "network-2: Terraform would change 1 object: aws_vpc.main."} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in the text:\n%s", want, text.String())
		}
	}
	if err := report.HaulJUnit(&junit, report.HaulReport{Results: []migrate.Result{proven, changed}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Proof: proven. No changes.", "Proof: changes. Terraform would change 1 object"} {
		if !strings.Contains(junit.String(), want) {
			t.Errorf("%q is missing in JUnit:\n%s", want, junit.String())
		}
	}
}
