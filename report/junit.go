package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"tfhaul/audit"
	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// HaulJUnit writes a haul as JUnit XML for CI systems: each move is a test. Refused,
// failed and interrupted moves do not pass; skipped moves are skipped. A move with a
// proof passes only if it was proven.
func HaulJUnit(w io.Writer, h HaulReport) error {
	results := h.All()
	suite := junitSuite{Name: "tfhaul " + Plain(h.Haul), Tests: len(results), Cases: make([]junitCase, 0, len(results))}
	if !h.Started.IsZero() {
		suite.Timestamp = h.Started.UTC().Format("2006-01-02T15:04:05")
		suite.Time = junitSeconds(h.Ended.Sub(h.Started).Seconds())
	}
	for _, r := range results {
		c := junitCase{Name: Plain(r.Source), Class: Plain(r.Target), Time: junitSeconds(r.Seconds)}
		why := &junitWhy{Type: Plain(string(r.Code)), Message: Plain(r.Message)}
		suite.judge(&c, Tone(r.Outcome), why)
		if r.Outcome == migrate.Skipped || r.Outcome == migrate.WouldMove {
			c.Skipped = why
			suite.Skipped++
		}
		if r.Proof != nil && r.Arrived() {
			why := &junitWhy{Type: "proof-" + Plain(cmp.Or(string(r.Proof.Code), string(r.Proof.Verdict))), Message: Plain(r.Proof.Message)}
			suite.judge(&c, Tone(r.Proof.Verdict), why)
			c.Out = fmt.Sprintf("Proof: %s. %s\n", Plain(string(r.Proof.Verdict)), Plain(r.Proof.Message))
		}
		if r.Locked {
			c.Out += "The " + PlaceNoun([]migrate.Result{r}) + " is still locked. To unlock it: " + Plain(r.UnlockCommand)
		}
		suite.Cases = append(suite.Cases, c)
	}
	if n := h.NotAttempted; n > 0 {
		c := junitCase{Name: "not attempted: " + plainwords.Counted(n, "move"), Class: suite.Name, Time: junitSeconds(0)}
		suite.judge(&c, "error", &junitWhy{Type: "not-attempted", Message: "The haul ended before these moves began. " + h.again()})
		suite.Cases = append(suite.Cases, c)
		suite.Tests++
	}
	if n := h.SourcesUnchecked; n > 0 {
		c := junitCase{Name: "sources not checked: " + plainwords.Counted(n, "move"), Class: suite.Name, Time: junitSeconds(0)}
		suite.judge(&c, "error", &junitWhy{Type: "sources-unchecked", Message: h.unchecked()})
		suite.Cases = append(suite.Cases, c)
		suite.Tests++
	}
	return suite.write(w)
}

// InventoryJUnit writes an audit as JUnit XML: each state, and each other place with a
// finding, is a test. A new finding of at least the given severity makes it fail; a state
// that could not be read is an error. Other findings are in the test's output.
func InventoryJUnit(w io.Writer, i *audit.Inventory, atLeast audit.Severity) error {
	suite := junitSuite{Name: "tfhaul audit", Timestamp: i.Taken.UTC().Format("2006-01-02T15:04:05")}
	about := map[string][]*audit.Finding{}
	var names, others []string
	for k := range i.Snapshots {
		names = append(names, i.Snapshots[k].Source)
		about[i.Snapshots[k].Source] = nil
	}
	const all = "all states"
	for k := range i.Findings {
		f := &i.Findings[k]
		places := f.Sources
		if len(places) == 0 {
			places = []string{all}
		}
		for _, name := range places {
			if _, known := about[name]; !known {
				others = append(others, name)
			}
			about[name] = append(about[name], f)
		}
	}
	for _, name := range append(names, others...) {
		suite.Cases = append(suite.Cases, suite.audited(name, about[name], atLeast))
	}
	suite.Tests = len(suite.Cases)
	return suite.write(w)
}

// audited returns the test of a state, and counts it if it fails.
func (s *junitSuite) audited(name string, findings []*audit.Finding, atLeast audit.Severity) junitCase {
	c := junitCase{Name: Plain(name), Class: s.Name, Time: junitSeconds(0)}
	var failed []*audit.Finding
	for _, f := range findings {
		switch text := fmt.Sprintf("%s %s: %s", f.Severity, f.Code, strings.TrimSpace(f.Message+" "+f.Advice)); {
		case f.Known != nil:
			c.Out += Plain(text) + " Known: " + Plain(f.Known.Reason) + "\n"
		case f.Severity.AtLeast(atLeast):
			failed = append(failed, f)
		default:
			c.Out += Plain(text) + "\n"
		}
	}
	if len(failed) == 0 {
		return c
	}
	why, tone := &junitWhy{Type: Plain(string(failed[0].Code))}, "warning"
	var messages []string
	for _, f := range failed {
		messages = append(messages, Plain(strings.TrimSpace(f.Message+" "+f.Advice)))
		if f.Code == audit.CodeUnreadable {
			tone = "error"
		}
	}
	why.Message = strings.Join(messages, "\n")
	s.judge(&c, tone, why)
	return c
}

// write writes the suite.
func (s *junitSuite) write(w io.Writer) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suites: []junitSuite{*s}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// judge counts a test that did not pass as a failure or an error.
func (s *junitSuite) judge(c *junitCase, tone string, why *junitWhy) {
	switch tone {
	case "warning":
		c.Failure = why
		s.Failures++
	case "error":
		c.Error = why
		s.Errors++
	}
}

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr,omitempty"`
	Timestamp string      `xml:"timestamp,attr,omitempty"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string    `xml:"name,attr"`
	Class   string    `xml:"classname,attr"`
	Time    string    `xml:"time,attr"`
	Failure *junitWhy `xml:"failure"`
	Error   *junitWhy `xml:"error"`
	Skipped *junitWhy `xml:"skipped"`
	Out     string    `xml:"system-out,omitempty"`
}

type junitWhy struct {
	Type    string `xml:"type,attr,omitempty"`
	Message string `xml:"message,attr"`
}

func junitSeconds(s float64) string { return fmt.Sprintf("%.3f", s) }
