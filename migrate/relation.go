package migrate

import (
	"fmt"

	"tfhaul/statefile"
)

// A Verdict is a relation and how it was found.
type Verdict struct {
	Relation Relation
	// Note says what the relation could not be judged by; "" when by everything.
	Note string
}

// Relate returns how a snapshot relates to the state that a workspace holds: held is nil when
// it holds nothing. Lineage comes first: serials of unrelated states mean nothing
// to each other. Where one side has no lineage (format v1), serial and bytes decide,
// and the verdict says so.
func Relate(snapshot, held *statefile.Snapshot) Verdict {
	if held == nil {
		return Verdict{Relation: Fresh}
	}
	if snapshot.MD5 == held.MD5 && snapshot.Size == held.Size {
		return Verdict{Relation: Identical}
	}
	var note string
	switch {
	case snapshot.Lineage == "" || held.Lineage == "":
		note = lineageNote(snapshot.Lineage, held.Lineage)
	case snapshot.Lineage != held.Lineage:
		return Verdict{Relation: Unrelated}
	}
	switch {
	case snapshot.Serial > held.Serial:
		return Verdict{Relation: Newer, Note: note}
	case snapshot.Serial < held.Serial:
		return Verdict{Relation: Stale, Note: note}
	default:
		return Verdict{Relation: Diverged, Note: note}
	}
}

func lineageNote(snapshot, held string) string {
	who := "the source has no"
	switch {
	case snapshot == "" && held == "":
		who = "neither the source nor the workspace's state has a"
	case held == "":
		who = "the workspace's state has no"
	}
	return fmt.Sprintf("%s lineage, so only serials and bytes were compared", who)
}

// writes reports whether a state with this relation is uploaded without a permission.
func (r Relation) writes() bool { return r == Fresh || r == Newer }
