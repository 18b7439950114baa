package migrate

import (
	"fmt"
	"sync"
)

// claims are the workspaces that the moves of one run work on, by id. All locks of a
// haul carry the same reason: without claims, a move that comes to the workspace of
// another one, because it was renamed meanwhile, takes the other's lock for one that
// a crash left. A nil *claims is that of a move without a haul.
type claims struct {
	mu sync.Mutex
	by map[string]moveKey
}

// take claims a workspace for a move until the run ends. It returns false, and whose
// it is, when another move has it.
func (c *claims) take(id string, move moveKey) (moveKey, bool) {
	if c == nil || id == "" {
		return move, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if holder, taken := c.by[id]; taken {
		return holder, holder == move
	}
	if c.by == nil {
		c.by = map[string]moveKey{}
	}
	c.by[id] = move
	return move, true
}

// key identifies the move in ledgers and claims.
func (x *execution) key() moveKey { return moveKey{x.result.Source, x.result.Target} }

// claim keeps the workspace to this move. It refuses what another move of the same
// run works on.
func (x *execution) claim() error {
	holder, ok := x.claims.take(x.workspace.ID, x.key())
	if ok {
		return nil
	}
	return &stop{code: CodeCollision, message: fmt.Sprintf(
		"Another move of this haul is working on the same workspace: %s to %s. The workspace was probably renamed. Nothing was sent. Check which workspace this state belongs to, then resume the haul.",
		holder.source, holder.target)}
}
