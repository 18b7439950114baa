package report

import (
	"cmp"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"time"

	"tfhaul/audit"
	"tfhaul/plainwords"
)

// SARIFHead begins every SARIF file of this program; no state or journal begins with it.
const SARIFHead = `{
  "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
  "version": "2.1.0",
  "runs": [
    {
      "tool": {
        "driver": {
          "name": "tfhaul"`

// InventorySARIF writes the findings of an audit as a SARIF 2.1.0 log, for code scanning and
// other tools (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html). Each code is
// a rule. Known findings are suppressed results. version is that of this program.
func InventorySARIF(w io.Writer, i *audit.Inventory, version string) error {
	l := sarifLog{command: "audit", version: version, ended: i.Taken, problems: problemsOf(i), compared: i.Baseline != nil}
	if len(i.Sources) > 0 {
		l.everywhere = i.Sources[0]
	}
	return l.write(w)
}

// HaulSARIF writes what a plan or a haul found, and what it could not move, as a SARIF 2.1.0
// log. command is "plan" or "migrate".
func HaulSARIF(w io.Writer, h Haul, command, version string, ended time.Time) error {
	l := sarifLog{command: command, version: version, ended: ended, problems: problemsIn(h), everywhere: "."}
	return l.write(w)
}

// A sarifLog is a log with one run.
type sarifLog struct {
	command, version string
	ended            time.Time
	problems         []problem
	everywhere       string // the location of what concerns no single file
	compared         bool   // with a baseline
}

// The members of SARIF that are used, by the names of the specification.
type (
	sarifFile struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool            `json:"tool"`
		Automation  sarifAutomation      `json:"automationDetails"`
		Invocations []sarifInvocation    `json:"invocations"`
		BaseIDs     map[string]sarifText `json:"originalUriBaseIds"`
		Results     []sarifResult        `json:"results"`
	}
	sarifAutomation struct {
		ID string `json:"id"`
	}
	sarifInvocation struct {
		Successful bool   `json:"executionSuccessful"`
		End        string `json:"endTimeUtc,omitempty"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string             `json:"id"`
		Short   sarifText          `json:"shortDescription"`
		Help    sarifHelp          `json:"help"`
		Default sarifConfiguration `json:"defaultConfiguration"`
	}
	sarifConfiguration struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text        string     `json:"text,omitempty"`
		Description *sarifText `json:"description,omitempty"`
	}
	sarifHelp struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown"`
	}
	sarifResult struct {
		Rule         string             `json:"ruleId"`
		Index        int                `json:"ruleIndex"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Related      []sarifLocation    `json:"relatedLocations,omitempty"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Baseline     string             `json:"baselineState,omitempty"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
	sarifLocation struct {
		ID       int           `json:"id,omitempty"`
		Message  *sarifText    `json:"message,omitempty"`
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI  string `json:"uri"`
		Base string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		Line int `json:"startLine"`
	}
)

// sarifRoot is the conventional name of the directory that relative names are below.
const sarifRoot = "%SRCROOT%"

// maxRelated limits the related locations of a result.
const maxRelated = 100

func (l *sarifLog) write(w io.Writer) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "tfhaul", Version: l.version, Rules: []sarifRule{}}},
		Automation: sarifAutomation{"tfhaul " + l.command + "/"},
		BaseIDs:    map[string]sarifText{sarifRoot: {Description: &sarifText{Text: "The directory in which tfhaul ran."}}},
		Results:    make([]sarifResult, 0, len(l.problems)),
	}
	invocation := sarifInvocation{Successful: true}
	if !l.ended.IsZero() {
		invocation.End = l.ended.UTC().Format(time.RFC3339)
	}
	run.Invocations = []sarifInvocation{invocation}
	rules := map[string]int{}
	for k := range l.problems {
		p := &l.problems[k]
		n, known := rules[PlainLine(p.code)]
		if !known {
			n = len(run.Tool.Driver.Rules)
			rules[PlainLine(p.code)] = n
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, ruleOf(p))
		}
		run.Results = append(run.Results, l.result(p, n))
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(sarifFile{Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

// ruleOf returns the rule of a code, with the severity of its first, and most serious,
// problem.
func ruleOf(p *problem) sarifRule {
	title := cmp.Or(titleOf(p.code), Plain(plainwords.Sentence(strings.ReplaceAll(p.code, "-", " "))))
	help := sarifHelp{Text: title, Markdown: markdownText(title)}
	if p.advice != "" {
		help.Text += " For example: " + Plain(p.advice)
		help.Markdown += "\n\nFor example: " + markdownText(p.advice)
	}
	return sarifRule{ID: PlainLine(p.code), Short: sarifText{Text: title}, Help: help, Default: sarifConfiguration{sarifLevel(p.severity)}}
}

func sarifLevel(s audit.Severity) string {
	switch s {
	case audit.SeverityError, audit.SeverityWarning:
		return string(s)
	}
	return "note"
}

func (l *sarifLog) result(p *problem, rule int) sarifResult {
	r := sarifResult{
		Rule: PlainLine(p.code), Index: rule, Level: sarifLevel(p.severity), Message: sarifText{Text: cmp.Or(Plain(p.text()), PlainLine(p.code))},
		// GitHub recognizes a result only by the second.
		Fingerprints: map[string]string{"tfhaulFinding/v1": p.fingerprint, "primaryLocationLineHash": p.fingerprint},
	}
	if len(p.places) == 0 {
		r.Locations = []sarifLocation{sarifPlace(l.everywhere)}
	}
	for k, name := range p.places[:min(len(p.places), 1+maxRelated)] {
		place := sarifPlace(name)
		if note := PlainLine(p.notes[k]); note != "" {
			place.Message = &sarifText{Text: note}
		}
		if k == 0 {
			r.Locations = []sarifLocation{place}
			continue
		}
		place.ID = k
		r.Related = append(r.Related, place)
	}
	if l.compared {
		r.Baseline = "new"
	}
	if p.known != nil {
		r.Baseline = "unchanged"
		r.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: Plain(p.known.Reason)}}
	}
	return r
}

// sarifPlace returns the location of a state.
func sarifPlace(name string) sarifLocation {
	place := sarifLocation{Physical: sarifPhysical{Region: sarifRegion{1}}}
	artifact := &place.Physical.Artifact
	name = strings.ToValidUTF8(name, "\uFFFD")
	if address, err := url.Parse(name); err == nil && strings.Contains(name, "://") {
		artifact.URI = address.String()
		return place
	}
	name = strings.ReplaceAll(name, `\`, "/")
	switch {
	case strings.HasPrefix(name, "/"):
		artifact.URI = (&url.URL{Scheme: "file", Path: name}).String()
	case len(name) > 1 && name[1] == ':': // a drive of Windows
		artifact.URI = (&url.URL{Scheme: "file", Path: "/" + name}).String()
	default:
		artifact.URI, artifact.Base = (&url.URL{Path: name}).String(), sarifRoot
	}
	return place
}
