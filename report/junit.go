package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"

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
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suites: []junitSuite{suite}}); err != nil {
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
