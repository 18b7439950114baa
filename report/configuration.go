package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"tfhaul/plainwords"
)

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

// Configurations tells a person of a list of configuration versions. Times are those
// of the location.
func Configurations(w io.Writer, s Style, h ConfigurationHistory, location *time.Location) error {
	t := table{columns: []column{{title: "CONFIGURATION VERSION"}, {title: "CREATED"}, {title: "STATUS"}, {title: "KIND"}, {title: "FROM", elastic: true}}}
	for _, v := range h.ConfigurationVersions {
		t.rows = append(t.rows, []string{PlainLine(v.ID), when(v.QueuedAt, location), PlainLine(v.Status), v.kind(), PlainLine(v.from())})
	}
	return s.versions(w, t, h.Target, "configuration version", "", h.More)
}

// Configuration tells a person of one configuration version.
func Configuration(w io.Writer, s Style, v ConfigurationVersion, location *time.Location) error {
	var b bytes.Buffer
	status := s.Strong(PlainLine(v.Status))
	switch v.Status {
	case "uploaded":
		status = s.Good(v.Status)
	case "errored":
		status = s.Bad(v.Status)
	}
	fmt.Fprintf(&b, "%s: %s\n", status, PlainLine(v.ID))
	files := ""
	if v.Files > 0 {
		files = plainwords.Counted(v.Files, "file")
	}
	s.indented(&b, "  ", dotted(v.kind(), labelled("from ", v.from()), when(v.QueuedAt, location), files))
	if v.Error != "" || v.ErrorMessage != "" {
		s.indented(&b, "  ", strings.TrimSpace(v.Error+" "+v.ErrorMessage))
	}
	s.notSent(&b, v.LeftOut)
	if v.Run != "" {
		s.indented(&b, "  ", "The upload made the run "+v.Run)
	}
	return flush(w, &b)
}

// notSent says which files stayed where they are.
func (s Style) notSent(b *bytes.Buffer, leftOut []string) {
	if n := len(leftOut); n > 0 {
		s.indented(b, "  ", "Not sent: "+plainwords.Counted(n, "state file")+", such as "+leftOut[0])
	}
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

// ShowAtlasVersion tells a person of it.
func ShowAtlasVersion(w io.Writer, s Style, v AtlasVersion) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s version %d\n", s.Good("uploaded"), PlainLine(v.Target), v.Version)
	received := "; how much of it arrived the server does not say"
	if v.Received >= 0 {
		received = "; the server has " + Size(v.Received)
	}
	s.indented(&b, "  ", plainwords.Counted(v.Files, "file")+", "+Size(v.Size)+received)
	s.notSent(&b, v.LeftOut)
	return flush(w, &b)
}
