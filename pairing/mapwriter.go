package pairing

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"tfhaul/migrate"
)

// WriteMap writes a map of a plan's moves, to edit the names of their workspaces or keys. A
// move without a name is a comment. It returns how many moves have one.
func WriteMap(w io.Writer, p *migrate.Plan, keys bool) (int, error) {
	out := csv.NewWriter(w)
	name := "workspace"
	if keys {
		name = "key"
	}
	if err := out.Write([]string{"source", name, "relation", "serial", "size", "reason"}); err != nil {
		return 0, err
	}
	n := 0
	for _, planned := range p.Moves {
		r := planned.Result
		row := []string{r.Source, planned.Workspace, string(r.Relation), "", "", ""}
		if s := r.Snapshot; s != nil {
			row[4] = strconv.FormatInt(s.Size, 10)
			if s.Format > 0 {
				row[3] = strconv.FormatInt(s.Serial, 10)
			}
		}
		if r.Outcome == migrate.Refused || r.Outcome == migrate.Failed {
			row[5] = strings.Map(printable, r.Message)
		}
		switch {
		case planned.Unnamed:
			// The reader would take a line without a workspace for a mistake.
			row[0] = "# " + row[0]
		case strings.HasPrefix(row[0], "#"):
			row[0] = "./" + row[0] // or it would be a comment
		}
		if !planned.Unnamed {
			n++
		}
		if err := out.Write(row); err != nil {
			return n, err
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return n, fmt.Errorf("the map cannot be written: %w", err)
	}
	return n, nil
}
