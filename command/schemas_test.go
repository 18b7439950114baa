package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tfhaul/audit"
	"tfhaul/command"
	"tfhaul/diff"
	"tfhaul/docs/schemas"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/prove"
	"tfhaul/report"
	"tfhaul/rootmodule"
)

// Documents that package report writes member by member.
type (
	auditDocument struct {
		// Taken is when the audit ran.
		Taken time.Time `json:"taken"`
		// Sources are the sources that the user named.
		Sources []string      `json:"sources"`
		Summary audit.Summary `json:"summary"`
		// Bill counts the resources that HCP Terraform bills.
		Bill audit.Bill `json:"bill"`
		// Snapshots are the state files.
		Snapshots []audit.Snapshot `json:"snapshots"`
		Findings  []audit.Finding  `json:"findings"`
		Baseline  *audit.Applied   `json:"baseline,omitempty"`
	}
	discoverDocument struct {
		Summary rootmodule.Summary `json:"summary"`
		// Checked reports whether the backends were asked.
		Checked        bool                   `json:"checked"`
		Configurations []rootmodule.Described `json:"configurations"`
		// WithoutCode are the addresses of states that no configuration uses.
		WithoutCode []string            `json:"without_code"`
		Unread      []rootmodule.Unread `json:"unread"`
	}
	haulDocument struct {
		// Target is the organization, or the address of the container.
		Target string `json:"target"`
		// Summary counts the moves by outcome.
		Summary report.Summary `json:"summary"`
		// Proofs counts the proofs by verdict.
		Proofs report.ProofSummary `json:"proofs,omitempty"`
		// APICalls counts the calls for all moves, including shared ones.
		APICalls int     `json:"api_calls"`
		Seconds  float64 `json:"seconds"`
		// Journal is the file that records the haul.
		Journal string `json:"journal,omitempty"`
		// Continue is the command that continues the haul.
		Continue string `json:"continue,omitempty"`
		// Locked are the workspaces that the haul may have left locked.
		Locked   []string          `json:"locked"`
		Moves    []migrate.Result  `json:"moves"`
		Findings []migrate.Finding `json:"findings"`
		// LeftOut are the files that were found but are not moved.
		LeftOut []pairing.LeftOut `json:"left_out"`
		// Rehearsal is what a rehearsal measured.
		Rehearsal *report.Rehearsal `json:"rehearsal,omitempty"`
	}
	journalDocument struct {
		// Summary counts the moves by outcome.
		Summary report.Summary   `json:"summary"`
		Moves   []migrate.Result `json:"moves"`
		// CutOff are the interrupted moves.
		CutOff []migrate.Result `json:"cut_off"`
		// NotAttempted is the number of moves that the latest run did not start.
		NotAttempted int `json:"not_attempted"`
		// SourcesUnchecked is the number of results that are provisional, because the haul ended
		// before it checked the sources.
		SourcesUnchecked int `json:"sources_unchecked"`
		// Locked are the workspaces that the haul may have left locked.
		Locked []string `json:"locked"`
	}
	movesDocument struct {
		// Summary counts the moves by outcome.
		Summary report.Summary   `json:"summary"`
		Moves   []migrate.Result `json:"moves"`
	}
	unlockDocument struct {
		// Summary counts the workspaces by outcome.
		Summary    map[string]int     `json:"summary"`
		Workspaces []report.Unlocking `json:"workspaces"`
	}
	leftLocksDocument struct {
		// Journals are those of moves that left a lock.
		Journals []report.LeftLock `json:"journals"`
	}
)

// A printed is a kind of JSON document: its schema's name and description, and the types
// that it can have.
type printed struct {
	name, description string
	types             []any
}

// documents are all kinds.
var documents = []printed{
	{"audit", "An audit: the states, and what is wrong with them.", []any{auditDocument{}}},
	{"backends", "The kinds of backends.", []any{command.BackendList{}}},
	{"backup", "The result of a backup.", []any{report.Backup{}}},
	{"config", "Configuration versions of a workspace, or one of them.", []any{report.ConfigurationHistory{}, report.ConfigurationVersion{}, report.AtlasVersion{}}},
	{"demo", "The moves of the demonstration.", []any{movesDocument{}}},
	{"diff", "How two states differ.", []any{diff.Result{}}},
	{"discover", "Which states the configurations use.", []any{discoverDocument{}}},
	{"history", "The versions of a state.", []any{report.History{}}},
	{"migrate", "The result of a haul.", []any{haulDocument{}}},
	{"move", "The result of one move.", []any{migrate.Result{}}},
	{"plan", "What a haul would do.", []any{haulDocument{}}},
	{"progress", "One line of progress, which commands with --json write to stderr.", []any{command.HaulEvent{}}},
	{"prove", "The result of a proof.", []any{prove.Result{}}},
	{"rehearse", "What a haul did at the embedded server.", []any{haulDocument{}}},
	{"report", "What the journal of a haul records.", []any{journalDocument{}}},
	{"rewrite", "How configurations are changed to use the states that were moved.", []any{report.Rewriting{}}},
	{"rollback", "The result of a rollback.", []any{haulDocument{}}},
	{"schema", "The list of JSON Schemas.", []any{command.SchemaList{}}},
	{"settings", "The settings of a command.", []any{command.SettingsShown{}}},
	{"sim", "The address of the embedded server.", []any{command.SimAddress{}}},
	{"unlock", "The result of an unlock, or the locks that moves left.", []any{unlockDocument{}, leftLocksDocument{}}},
	{"verify", "Whether targets hold the same as their sources.", []any{movesDocument{}, journalDocument{}}},
	{"version", "The version of tfhaul.", []any{command.Version{}}},
}

// TestSchemas keeps docs/schemas equal to the Go types.
func TestSchemas(t *testing.T) {
	t.Parallel()
	var names []string
	for _, d := range documents {
		names = append(names, d.name)
		want := newGenerator(t).schema(d)
		path := filepath.Join("..", "docs", "schemas", d.name+".json")
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		written, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(bytes.ReplaceAll(written, []byte("\r\n"), []byte("\n")), want) {
			t.Errorf("%s is not the schema of its Go type: go test ./command -run Schemas -update (%v)", path, err)
		}
	}
	if have := schemas.Names(); !*update && !slices.Equal(have, names) {
		t.Errorf("docs/schemas has %q, want %q", have, names)
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "schemas.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !bytes.Contains(page, []byte("(schemas/"+name+".json)")) {
			t.Errorf("docs/schemas.md does not list %s", name)
		}
	}
	for _, name := range commandNames(t) {
		if flagsOf(tfhaul(t, "help", name).stdout)["--json"] && !slices.Contains(names, name) {
			t.Errorf("tfhaul %s --json has no schema", name)
		}
	}
}

func TestSchemaCommand(t *testing.T) {
	t.Parallel()
	list := tfhaul(t, "schema")
	for _, name := range schemas.Names() {
		if !strings.Contains(list.stdout, "\n"+name+" ") && !strings.HasPrefix(list.stdout, name+" ") {
			t.Errorf("tfhaul schema does not list %s:\n%s", name, list.stdout)
		}
		r := tfhaul(t, "schema", name)
		if r.code != 0 || !bytes.Equal([]byte(r.stdout), schemas.Get(name)) {
			t.Errorf("tfhaul schema %s: exit code %d: %s", name, r.code, r.stderr)
		}
		compileSchema(t, name, false)
	}
	if listed, ok := tfhaul(t, "schema", "--json").document(t)["schemas"].([]any); !ok || len(listed) != len(schemas.Names()) {
		t.Errorf("tfhaul schema --json lists %d schemas", len(listed))
	}
	for _, args := range [][]string{{"schema", "nothing"}, {"schema", "../audit"}, {"schema", "audit", "plan"}} {
		if r := tfhaul(t, args...); r.code != 4 || r.stdout != "" {
			t.Errorf("%q: exit code %d: %s", args, r.code, r.stderr)
		}
	}
	if r := tfhaul(t, "schema", "nothing"); !strings.Contains(r.stderr, "audit, backends, backup") {
		t.Errorf("the refusal does not list the schemas: %s", r.stderr)
	}
}

// TestSchemasRefuse checks that a schema does not accept everything, and that it accepts
// members that a later version adds.
func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, schema, document string
		valid                  bool
	}{
		{"complete", "version", `{"format":"tfhaul/1","version":"v1","commit":"","date":"","modified":false,"go":"go1","platform":"linux/amd64"}`, true},
		{"a new member", "version", `{"format":"tfhaul/1","version":"v1","commit":"","date":"","modified":false,"go":"go1","platform":"linux/amd64","new":1}`, true},
		{"another format", "version", `{"format":"tfhaul/2","version":"v1","commit":"","date":"","modified":false,"go":"go1","platform":"linux/amd64"}`, false},
		{"a missing member", "version", `{"format":"tfhaul/1","version":"v1"}`, false},
		{"a wrong type", "version", `{"format":"tfhaul/1","version":1,"commit":"","date":"","modified":false,"go":"go1","platform":"linux/amd64"}`, false},
		{"one of two forms", "unlock", `{"format":"tfhaul/1","journals":[]}`, true},
		{"neither form", "unlock", `{"format":"tfhaul/1"}`, false},
		{"an unknown outcome", "verify", `{"format":"tfhaul/1","summary":{"lost":1},"moves":[]}`, false},
		{"a list that is null", "verify", `{"format":"tfhaul/1","summary":{},"moves":null}`, false},
	} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(tt.document))
		if err != nil {
			t.Fatal(err)
		}
		if err := compileSchema(t, tt.schema, false).Validate(document); (err == nil) != tt.valid {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := compileSchema(t, tt.schema, true).Validate(document); err == nil && tt.name == "a new member" {
			t.Error("a strict schema accepts a member that it does not describe")
		}
	}
}

// The documents of these commands are not printed in other tests.
func TestSchemasOfEmbeddedServers(t *testing.T) {
	t.Parallel()
	if r := tfhaul(t, "demo", "--json"); r.document(t)["moves"] == nil { // tfhaul validates it
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	lines, end := serve(t, "sim", "--json")
	var text string
	for lines.Scan() {
		if text += lines.Text() + "\n"; lines.Text() == "}" {
			break
		}
	}
	if code, stderr := end(); code != 0 && code != 130 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	validate(t, "sim", text)
}

// compileSchema returns a schema. If it is strict, it refuses members that it does not
// describe, which finds undocumented ones.
func compileSchema(t *testing.T, name string, strict bool) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.Get(name)))
	if err != nil {
		t.Fatalf("the schema %s: %v", name, err)
	}
	if strict {
		closeObjects(document)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func closeObjects(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		if s["type"] == "object" && s["properties"] != nil {
			s["additionalProperties"] = false
		}
		for _, member := range s {
			closeObjects(member)
		}
	case []any:
		for _, element := range s {
			closeObjects(element)
		}
	}
}

// strictSchemas are those that printed documents have been validated with.
var strictSchemas sync.Map // of func() *jsonschema.Schema by name

func strictSchema(t *testing.T, name string) *jsonschema.Schema {
	compile, _ := strictSchemas.LoadOrStore(name, sync.OnceValue(func() *jsonschema.Schema { return compileSchema(t, name, true) }))
	return compile.(func() *jsonschema.Schema)()
}

// mustBeValid fails the test if a run printed a JSON document, or lines of progress, that
// the schema does not describe.
func (r run) mustBeValid(t *testing.T, args []string) run {
	t.Helper()
	if strings.HasPrefix(r.stdout, "{\n  \"format\": \""+report.Format+"\"") {
		at := slices.IndexFunc(args, func(arg string) bool {
			return slices.ContainsFunc(documents, func(d printed) bool { return d.name == arg })
		})
		if at < 0 {
			t.Errorf("%q printed a document of an unknown command", args)
			return r
		}
		validate(t, args[at], r.stdout)
	}
	for line := range strings.Lines(r.stderr) {
		if strings.HasPrefix(line, `{"format":"`+report.Format+`"`) {
			validate(t, "progress", line)
		}
	}
	return r
}

func validate(t *testing.T, name, text string) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Errorf("%s: not one JSON document: %v", name, err)
		return
	}
	if err := strictSchema(t, name).Validate(document); err != nil {
		t.Errorf("the document does not fit tfhaul schema %s: %v", name, err)
	}
}

// TestGeneratorKnowsAllTypes checks that a type without a schema is not passed over.
func TestGeneratorKnowsAllTypes(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a channel has a schema")
		}
	}()
	newGenerator(t).of(reflect.TypeFor[chan int]())
}
