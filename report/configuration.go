package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"tfhaul/plainwords"
)

// A ConfigurationHistory lists a workspace's configuration versions, newest first.
type ConfigurationHistory struct {
	// Target is host/organization/workspace.
	Target                string                 `json:"target"`
	ConfigurationVersions []ConfigurationVersion `json:"configuration_versions"`
	// More reports whether there are older ones that were not requested.
	More bool `json:"more"`
}

// A ConfigurationVersion describes one configuration version.
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
	// Files and LeftOut are set for a version that was just pushed. Files includes
	// directories.
	Files   int      `json:"files,omitempty"`
	LeftOut []string `json:"left_out,omitempty"`
	// Run is the run that the push started, if any.
	Run string `json:"run_id,omitempty"`
}

// Configurations writes a list of configuration versions as text, with times in location.
func Configurations(w io.Writer, s Style, h ConfigurationHistory, location *time.Location) error {
	t := table{columns: []column{{title: "CONFIGURATION VERSION"}, {title: "CREATED"}, {title: "STATUS"}, {title: "KIND"}, {title: "FROM", elastic: true}}}
	for _, v := range h.ConfigurationVersions {
		t.rows = append(t.rows, []string{PlainLine(v.ID), when(v.QueuedAt, location), PlainLine(v.Status), v.kind(), PlainLine(v.from())})
	}
	return s.versions(w, t, h.Target, "configuration version", "", h.More)
}

// Configuration writes one configuration version as text.
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
		s.indented(&b, "  ", "The upload started run "+v.Run)
	}
	return flush(w, &b)
}

// notSent writes which files were not uploaded.
func (s Style) notSent(b *bytes.Buffer, leftOut []string) {
	if n := len(leftOut); n > 0 {
		s.indented(b, "  ", "Not sent: "+plainwords.Counted(n, "state file")+", such as "+leftOut[0])
	}
}

// kind returns what the configuration version can be used for.
func (v ConfigurationVersion) kind() string {
	switch {
	case v.Speculative:
		return "speculative"
	case v.Provisional:
		return "provisional"
	}
	return ""
}

// from returns where the configuration version came from.
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

// An AtlasVersion is a configuration version pushed through Atlas's first API.
type AtlasVersion struct {
	// Target is host/user/name.
	Target  string `json:"target"`
	Version int    `json:"version"`
	// Size is the number of bytes sent, and Received the number that the server reports,
	// or -1 if it does not.
	Size     int64    `json:"size"`
	Received int64    `json:"received"`
	Files    int      `json:"files"`
	LeftOut  []string `json:"left_out,omitempty"`
}

// ShowAtlasVersion writes it as text.
func ShowAtlasVersion(w io.Writer, s Style, v AtlasVersion) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s version %d\n", s.Good("uploaded"), PlainLine(v.Target), v.Version)
	received := "; the server does not report how much it received"
	if v.Received >= 0 {
		received = "; the server has " + Size(v.Received)
	}
	s.indented(&b, "  ", plainwords.Counted(v.Files, "file")+", "+Size(v.Size)+received)
	s.notSent(&b, v.LeftOut)
	return flush(w, &b)
}
