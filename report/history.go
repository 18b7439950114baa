package report

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"tfhaul/plainwords"
)

// A History is the state versions that a workspace has, newest first.
type History struct {
	// Target is host/organization/workspace.
	Target        string         `json:"target"`
	StateVersions []StateVersion `json:"state_versions"`
	// More says that there are older ones that were not asked for.
	More bool `json:"more"`
}

// A StateVersion is one of them.
type StateVersion struct {
	ID               string    `json:"id"`
	Serial           int64     `json:"serial"`
	Current          bool      `json:"current"`
	CreatedAt        time.Time `json:"created_at"`
	Size             int64     `json:"size"` // bytes; 0 on servers that do not tell
	TerraformVersion string    `json:"terraform_version"`
	Run              string    `json:"run"`
	Status           string    `json:"status"`
}

// HistoryJSON writes the document of a history.
func HistoryJSON(w io.Writer, h History) error {
	if h.StateVersions == nil {
		h.StateVersions = []StateVersion{}
	}
	return JSON(w, struct {
		Format string `json:"format"`
		History
	}{Format, h})
}

// ShowHistory tells a person of a history. Times are those of the location.
func ShowHistory(w io.Writer, s Style, h History, location *time.Location) error {
	var b bytes.Buffer
	if len(h.StateVersions) == 0 {
		fmt.Fprintf(&b, "%s has no state version\n", plainLine(h.Target))
		_, err := w.Write(b.Bytes())
		return err
	}
	t := table{columns: []column{{}, {title: "SERIAL", right: true}, {title: "STATE VERSION"}, {title: "CREATED"}, {title: "SIZE", right: true},
		{title: "TERRAFORM", elastic: true}, {title: "STATUS", elastic: true}, {title: "RUN", elastic: true}}}
	for _, v := range h.StateVersions {
		marker, size := " ", ""
		if v.Current {
			marker = "*"
		}
		if v.Size > 0 {
			size = Size(v.Size)
		}
		t.rows = append(t.rows, []string{marker, fmt.Sprint(v.Serial), plainLine(v.ID),
			v.CreatedAt.In(location).Format("2006-01-02 15:04:05 -0700"), size,
			plainLine(v.TerraformVersion), plainLine(v.Status), plainLine(v.Run)})
	}
	t.write(&b, s, "")
	switch {
	case h.More:
		fmt.Fprintf(&b, "%s: the newest %d; * is current; --limit 0 shows all\n", plainLine(h.Target), len(h.StateVersions))
	default:
		fmt.Fprintf(&b, "%s: %s; * is current\n", plainLine(h.Target), plainwords.Counted(len(h.StateVersions), "state version"))
	}
	_, err := w.Write(b.Bytes())
	return err
}
