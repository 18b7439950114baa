package migrate

import (
	"context"
	"fmt"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// answerToRelation is the relation that a server claims when it refuses a state.
var answerToRelation = map[backend.Code]Relation{
	backend.Stale: Stale, backend.Diverged: Diverged, backend.Unrelated: Unrelated,
}

// relationCodes are the codes of the relations that forbid a move.
var relationCodes = map[Relation]Code{
	Stale: CodeStale, Diverged: CodeDiverged, Unrelated: CodeUnrelated,
}

// refusedByServer explains why a server refuses a state that the relation allowed to
// send. What the workspace holds is read again, so that another user is only blamed
// for a state version that exists.
func (x *execution) refusedByServer(ctx context.Context, answer *backend.Error) *stop {
	claimed := answerToRelation[answer.Code]
	s := &stop{code: relationCodes[claimed]}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	now, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Version, error) { return x.Target.Current(ctx, x.workspace) })
	said := plainwords.Sentence(answer.Message)
	switch {
	case err == nil && now != nil && (x.held == nil || now.ID != x.held.version.ID):
		s.message = x.sayf("%s While tfhaul held the lock, another state version became current: %s. Nothing was stored. Check the history before you continue: %s",
			said, x.called(now), x.historyCommand())
	case x.Replace && x.replaces():
		s.code = relationCodes[x.verdict.Relation]
		s.message = x.sayf("%s tfhaul asked the server to replace %s by force, and the server ignored the request. Nothing was stored. %s", said, x.holds(), x.insteadOfForce(claimed))
	case err == nil && x.held == nil:
		s.message = x.sayf("%s The workspace has no current state version, so the server compared with one that it does not show. Nothing was stored. Check the workspace's history: %s",
			said, x.historyCommand())
	case err == nil:
		s.message = x.sayf("%s The workspace still holds %s, so the server compared with a state version that is not current. Nothing was stored. Check the workspace's history: %s",
			said, x.holds(), x.historyCommand())
	default:
		s.message = x.sayf("%s Nothing was stored. Check the workspace's history before you continue: %s", said, x.historyCommand())
	}
	return s
}

// holds names what the workspace held when the relation was decided.
func (x *execution) holds() string {
	return fmt.Sprintf("serial %d (%s)", x.held.serial(), x.held.version.ID)
}

// insteadOfForce says what replaces a state on a server that ignores force.
func (x *execution) insteadOfForce(claimed Relation) string {
	name := x.Move.Workspace
	switch {
	case claimed == Unrelated:
		return x.sayf("This server never accepts a state with a different lineage. Move it to a new workspace (%s), or delete and recreate %s first.", x.setting("create", ""), name)
	case !x.Bump:
		return fmt.Sprintf("This server only accepts a higher serial. Add %s to %s to send the state as serial %d.", x.permission("bump-serial"), x.permission("replace"), x.held.serial()+1)
	}
	return x.sayf("The serial was already raised to %d. Check the workspace's history: %s", x.payload.serial, x.historyCommand())
}

// nothingReplaced corrects the result of a move that made a backup and then stored
// nothing.
func (x *execution) nothingReplaced(s *stop) {
	if x.result.Backup == "" || x.sent != nil || s.unproven || s.code == CodeUnproven || s.code == CodeLockLeft {
		return
	}
	if x.deletes() {
		x.note("Nothing was deleted. The backup is %s.", x.result.Backup)
	} else {
		x.note("Nothing was replaced. The backup made before sending is %s.", x.result.Backup)
	}
	x.result.Backup = ""
}
