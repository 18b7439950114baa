package migrate

import (
	"sync"
)

// claims records which move works on which workspace, by ID. All locks of a haul carry the
// same reason. Without claims, a move that reaches another move's workspace, because it was
// renamed, would mistake the other's lock for one that a crash left. A move without a haul
// uses a nil *claims.
type claims struct {
	mu      sync.Mutex
	holders map[string]moveKey
}

// take claims a workspace for a move until the run ends. If another move has claimed it, take
// returns that move and false.
func (c *claims) take(id string, move moveKey) (moveKey, bool) {
	if c == nil || id == "" {
		return move, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if holder, taken := c.holders[id]; taken {
		return holder, holder == move
	}
	if c.holders == nil {
		c.holders = map[string]moveKey{}
	}
	c.holders[id] = move
	return move, true
}

// key identifies the move in ledgers and claims.
func (x *execution) key() moveKey { return moveKey{x.result.Source, x.result.Target} }

// claim reserves the workspace for this move. It returns an error if another move of the same
// run has claimed it.
func (x *execution) claim() error {
	holder, ok := x.claims.take(x.workspace.ID, x.key())
	if ok {
		return nil
	}
	return x.stopf(CodeCollision, "Another move of this haul is working on the same workspace: %s to %s. The workspace was probably renamed. Nothing was sent. Check which workspace this state belongs to, then resume the haul.",
		holder.source, holder.target)
}
