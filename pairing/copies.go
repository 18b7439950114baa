package pairing

import (
	"fmt"

	"tfhaul/migrate"
)

// copiesIn returns the moves of states that are an older or an identical copy of another
// state in the plan, by their index, with the reason not to make them: two workspaces
// would manage the same resources. Copies that diverged are not among them, because
// nothing shows which is right.
func copiesIn(moves []migrate.Planned) map[int]string {
	newest := map[string]int{} // by lineage
	for i := range moves {
		s := moves[i].Result.Snapshot
		if s == nil || s.Lineage == "" {
			continue
		}
		n, met := newest[s.Lineage]
		if !met {
			newest[s.Lineage] = i
			continue
		}
		best := moves[n].Result
		if s.Serial > best.Snapshot.Serial || s.MD5 == best.Snapshot.MD5 && continues(moves[i].Result) && !continues(best) {
			newest[s.Lineage] = i
		}
	}
	reasons := map[int]string{}
	for i := range moves {
		s := moves[i].Result.Snapshot
		if s == nil || s.Lineage == "" || newest[s.Lineage] == i {
			continue
		}
		best := moves[newest[s.Lineage]].Result
		switch {
		case s.MD5 == best.Snapshot.MD5:
			reasons[i] = fmt.Sprintf("This is an identical copy of %s. Two workspaces would manage the same resources.", best.Source)
		case s.Serial < best.Snapshot.Serial:
			reasons[i] = fmt.Sprintf("This is an older copy (serial %d) of %s, which has serial %d. Two workspaces would manage the same resources.", s.Serial, best.Source, best.Snapshot.Serial)
		}
	}
	return reasons
}

// continues reports whether the workspace holds this state already, or an earlier serial of it.
func continues(r migrate.Result) bool {
	return r.Relation == migrate.Identical || r.Relation == migrate.Newer
}
