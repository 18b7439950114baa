package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"tfhaul/plainwords"
	"tfhaul/prove"
)

// ProofJSON writes the document of one proof.
func ProofJSON(w io.Writer, r prove.Result) error {
	return JSON(w, struct {
		Format string `json:"format"`
		prove.Result
	}{Format, r})
}

// Proof tells a person of one proof: the verdict, what would change, and what has
// drifted, which does not count against it.
func Proof(w io.Writer, s Style, r prove.Result) error {
	var b bytes.Buffer
	const indent = "  "
	head := s.verdict(r.Verdict)
	if r.Code != "" {
		head += " (" + plainLine(string(r.Code)) + ")"
	}
	fmt.Fprintf(&b, "%s: %s\n", head, plainLine(r.Target))
	s.indented(&b, indent, r.Message)
	if facts := proofFacts(r); facts != "" {
		s.indented(&b, indent, facts)
	}
	s.changes(&b, "Would change:", r.Changes)
	s.changes(&b, "Changed outside of Terraform since the state was written, which the plan takes as it is:", r.Drift)
	for _, note := range r.Notes {
		s.indented(&b, indent, note)
	}
	if r.RunURL != "" {
		fmt.Fprintf(&b, "%s%s\n", indent, s.Faint(plainLine(r.RunURL)))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// verdict draws a verdict in its colour.
func (s Style) verdict(v prove.Verdict) string {
	text := plainLine(string(v))
	switch v {
	case prove.Proven:
		return s.Good(text)
	case prove.Changes:
		return s.Odd(text)
	case prove.Unproven:
		return s.Bad(text)
	}
	return s.Strong(text)
}

// proofFacts is a line of what the proof is about, and what it cost.
func proofFacts(r prove.Result) string {
	var facts []string
	if r.StateVersionID != "" {
		facts = append(facts, fmt.Sprintf("serial %d", r.Serial), r.StateVersionID, plainwords.Counted(r.Instances, "resource instance"))
	}
	if r.TerraformVersion != "" {
		where := ""
		if r.Local {
			where = " on this machine"
		}
		facts = append(facts, "Terraform "+r.TerraformVersion+where)
	}
	if r.RunID != "" {
		facts = append(facts, r.RunID)
	}
	if r.APICalls > 0 {
		facts = append(facts, fmt.Sprintf("%s in %s", plainwords.Counted(r.APICalls, "API call"), Seconds(r.Seconds)))
	}
	return strings.Join(facts, " · ")
}

// mostChanges is how many changes a table shows.
const mostChanges = 50

// changes draws a table of what changes, or has.
func (s Style) changes(b *bytes.Buffer, title string, changes []prove.Change) {
	if len(changes) == 0 {
		return
	}
	const indent = "  "
	s.indented(b, indent, title)
	t := table{columns: []column{{title: "ADDRESS", elastic: true, middle: true}, {title: "ACTION"}, {title: "WHY", elastic: true}}}
	for i, c := range changes {
		if i == mostChanges {
			break
		}
		why := strings.ReplaceAll(c.Reason, "_", " ")
		if c.PreviousAddress != "" {
			why = strings.TrimSpace("from " + c.PreviousAddress + " " + why)
		}
		t.rows = append(t.rows, []string{plainLine(c.Address), plainLine(strings.Join(c.Actions, ", ")), plainLine(why)})
	}
	t.write(b, s, indent+"  ")
	if hidden := len(changes) - mostChanges; hidden > 0 {
		fmt.Fprintf(b, "%s  … and %d more; --json has them all\n", indent, hidden)
	}
}

// A ConfigurationHistory is the configuration versions that a workspace has, newest
// first.
type ConfigurationHistory struct {
	// Target is host/organization/workspace.
	Target                string                 `json:"target"`
	ConfigurationVersions []ConfigurationVersion `json:"configuration_versions"`
	// More says that there are older ones that were not asked for.
	More bool `json:"more"`
}

// A ConfigurationVersion is one of them.
type ConfigurationVersion struct {
	ID           string    `json:"id"`
	Status       string    `json:"status"`
	Error        string    `json:"error,omitempty"`
	ErrorMessage string    `json:"error_message,omitempty"`
	Source       string    `json:"source"`
	Speculative  bool      `json:"speculative"`
	AutoQueue    bool      `json:"auto_queue_runs"`
	Provisional  bool      `json:"provisional"`
	QueuedAt     time.Time `json:"queued_at,omitzero"`
	Repository   string    `json:"repository,omitempty"`
	Branch       string    `json:"branch,omitempty"`
	Tag          string    `json:"tag,omitempty"`
	Commit       string    `json:"commit,omitempty"`
	CommitTitle  string    `json:"commit_message,omitempty"`
	PullRequest  int       `json:"pull_request,omitempty"`
	// Files and LeftOut are of a version that was just pushed; directories count.
	Files   int      `json:"files,omitempty"`
	LeftOut []string `json:"left_out,omitempty"`
	// Run is the run that the push made, if it made one.
	Run string `json:"run_id,omitempty"`
}

// ConfigurationsJSON writes the document of a list of configuration versions.
func ConfigurationsJSON(w io.Writer, h ConfigurationHistory) error {
	if h.ConfigurationVersions == nil {
		h.ConfigurationVersions = []ConfigurationVersion{}
	}
	return JSON(w, struct {
		Format string `json:"format"`
		ConfigurationHistory
	}{Format, h})
}

// ConfigurationJSON writes the document of one configuration version.
func ConfigurationJSON(w io.Writer, v ConfigurationVersion) error {
	return JSON(w, struct {
		Format string `json:"format"`
		ConfigurationVersion
	}{Format, v})
}

// Configurations tells a person of a list of configuration versions. Times are those
// of the location.
func Configurations(w io.Writer, s Style, h ConfigurationHistory, location *time.Location) error {
	var b bytes.Buffer
	if len(h.ConfigurationVersions) == 0 {
		fmt.Fprintf(&b, "%s has no configuration version\n", plainLine(h.Target))
		_, err := w.Write(b.Bytes())
		return err
	}
	t := table{columns: []column{{title: "CONFIGURATION VERSION"}, {title: "CREATED"}, {title: "STATUS"}, {title: "KIND"}, {title: "FROM", elastic: true}}}
	for _, v := range h.ConfigurationVersions {
		t.rows = append(t.rows, []string{plainLine(v.ID), when(v.QueuedAt, location), plainLine(v.Status), v.kind(), plainLine(v.from())})
	}
	t.write(&b, s, "")
	if h.More {
		fmt.Fprintf(&b, "%s: the newest %d; --limit 0 shows all\n", plainLine(h.Target), len(h.ConfigurationVersions))
	} else {
		fmt.Fprintf(&b, "%s: %s\n", plainLine(h.Target), plainwords.Counted(len(h.ConfigurationVersions), "configuration version"))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Configuration tells a person of one configuration version.
func Configuration(w io.Writer, s Style, v ConfigurationVersion, location *time.Location) error {
	var b bytes.Buffer
	status := s.Strong(plainLine(v.Status))
	switch v.Status {
	case "uploaded":
		status = s.Good(v.Status)
	case "errored":
		status = s.Bad(v.Status)
	}
	fmt.Fprintf(&b, "%s: %s\n", status, plainLine(v.ID))
	var facts []string
	if kind := v.kind(); kind != "" {
		facts = append(facts, kind)
	}
	if from := v.from(); from != "" {
		facts = append(facts, "from "+from)
	}
	if !v.QueuedAt.IsZero() {
		facts = append(facts, when(v.QueuedAt, location))
	}
	if v.Files > 0 {
		facts = append(facts, plainwords.Counted(v.Files, "file"))
	}
	s.indented(&b, "  ", strings.Join(facts, " · "))
	if v.Error != "" || v.ErrorMessage != "" {
		s.indented(&b, "  ", strings.TrimSpace(v.Error+" "+v.ErrorMessage))
	}
	if n := len(v.LeftOut); n > 0 {
		s.indented(&b, "  ", "Not sent: "+plainwords.Counted(n, "state file")+", such as "+v.LeftOut[0])
	}
	if v.Run != "" {
		s.indented(&b, "  ", "The upload made the run "+v.Run)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func when(t time.Time, location *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(location).Format("2006-01-02 15:04:05 -0700")
}

// kind says what may become of a configuration version.
func (v ConfigurationVersion) kind() string {
	switch {
	case v.Speculative:
		return "speculative"
	case v.Provisional:
		return "provisional"
	}
	return ""
}

// from says where a configuration version came from.
func (v ConfigurationVersion) from() string {
	parts := []string{v.Source}
	if v.Repository != "" {
		parts = append(parts, v.Repository)
	}
	switch {
	case v.PullRequest > 0:
		parts = append(parts, fmt.Sprintf("#%d", v.PullRequest))
	case v.Tag != "":
		parts = append(parts, v.Tag)
	case v.Branch != "":
		parts = append(parts, v.Branch)
	}
	if v.Commit != "" {
		parts = append(parts, v.Commit[:min(len(v.Commit), 10)])
	}
	if title, _, _ := strings.Cut(v.CommitTitle, "\n"); title != "" {
		parts = append(parts, title)
	}
	return strings.Join(parts, " ")
}

// An AtlasVersion is a configuration version that was pushed by Atlas's first API.
type AtlasVersion struct {
	// Target is host/user/name.
	Target  string `json:"target"`
	Version int    `json:"version"`
	// Size is how many bytes were sent, Received how many the server says it has; -1
	// when it does not say.
	Size     int64    `json:"size"`
	Received int64    `json:"received"`
	Files    int      `json:"files"`
	LeftOut  []string `json:"left_out,omitempty"`
}

// AtlasVersionJSON writes its document.
func AtlasVersionJSON(w io.Writer, v AtlasVersion) error {
	return JSON(w, struct {
		Format string `json:"format"`
		AtlasVersion
	}{Format, v})
}

// ShowAtlasVersion tells a person of it.
func ShowAtlasVersion(w io.Writer, s Style, v AtlasVersion) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s version %d\n", s.Good("uploaded"), plainLine(v.Target), v.Version)
	received := "; how much of it arrived the server does not say"
	if v.Received >= 0 {
		received = "; the server has " + Size(v.Received)
	}
	s.indented(&b, "  ", plainwords.Counted(v.Files, "file")+", "+Size(v.Size)+received)
	if n := len(v.LeftOut); n > 0 {
		s.indented(&b, "  ", "Not sent: "+plainwords.Counted(n, "state file")+", such as "+v.LeftOut[0])
	}
	_, err := w.Write(b.Bytes())
	return err
}
