package report

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"tfhaul/plainwords"
)

// A History lists the versions of a state, newest first.
type History struct {
	// Target is the address of a workspace, an object or a file.
	Target        string         `json:"target"`
	StateVersions []StateVersion `json:"state_versions"`
	// More reports whether there are older ones that were not requested.
	More bool `json:"more"`
}

// A StateVersion describes one state version.
type StateVersion struct {
	ID               string    `json:"id"`
	Serial           *int64    `json:"serial"` // null if it is not reported
	Current          bool      `json:"current"`
	CreatedAt        time.Time `json:"created_at"`
	Size             int64     `json:"size"` // bytes; 0 if the server does not report it
	TerraformVersion string    `json:"terraform_version"`
	Run              string    `json:"run"`
	Status           string    `json:"status"`
}

// ShowHistory writes a history as text, with times in location.
func ShowHistory(w io.Writer, s Style, h History, location *time.Location) error {
	t := table{columns: []column{{}, {title: "SERIAL", right: true}, {title: "STATE VERSION"}, {title: "CREATED"}, {title: "SIZE", right: true},
		{title: "TERRAFORM", spare: true}, {title: "STATUS", spare: true}, {title: "RUN", elastic: true}}}
	for _, v := range h.StateVersions {
		marker, size, serial := " ", "", ""
		if v.Serial != nil {
			serial = fmt.Sprint(*v.Serial)
		}
		if v.Current {
			marker = "*"
		}
		if v.Size > 0 {
			size = Size(v.Size)
		}
		t.rows = append(t.rows, []string{marker, serial, PlainLine(v.ID),
			when(v.CreatedAt, location), size,
			PlainLine(v.TerraformVersion), PlainLine(v.Status), PlainLine(v.Run)})
	}
	noun := "state version"
	if isOther(h.Target) {
		noun, t.columns[2].title = "version", "VERSION"
	}
	return s.versions(w, t, h.Target, noun, "; * is current", h.More)
}

// versions writes a list of versions, newest first, and whether there are more.
func (s Style) versions(w io.Writer, t table, target, noun, note string, more bool) error {
	var b bytes.Buffer
	if len(t.rows) == 0 {
		fmt.Fprintf(&b, "%s has no %s\n", PlainLine(target), noun)
		return flush(w, &b)
	}
	t.write(&b, s, "")
	count := plainwords.Counted(len(t.rows), noun)
	if more {
		count, note = fmt.Sprintf("the newest %d", len(t.rows)), note+"; --limit 0 shows all"
	}
	fmt.Fprintf(&b, "%s: %s%s\n", PlainLine(target), count, note)
	return flush(w, &b)
}

func when(t time.Time, location *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(location).Format("2006-01-02 15:04:05 -0700")
}
