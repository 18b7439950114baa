package command

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"tfhaul/migrate"
	"tfhaul/report"
)

// heldLocks knows, from the events of moves, which workspaces this process has
// locked, or may have. It is safe for use by many goroutines.
type heldLocks struct {
	mu     sync.Mutex
	ledger migrate.LockLedger
	moving map[string]bool // by target: locked by a move of this process
}

// observe follows what a haul does to locks.
func (h *heldLocks) observe(e migrate.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ledger.Add(e)
	switch e.Event {
	case migrate.EventLocked:
		if h.moving == nil {
			h.moving = map[string]bool{}
		}
		h.moving[e.Target] = true
	case migrate.EventUnlocked, migrate.EventLockKept, migrate.EventOutcome:
		delete(h.moving, e.Target)
	}
}

// inherit adds the locks that earlier runs of the haul have left.
func (h *heldLocks) inherit(past *migrate.Ledger) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range past.HeldLocks() {
		h.ledger.Hold(l)
	}
}

// candidates are the workspaces that are locked, or may be, by name.
func (h *heldLocks) candidates() []migrate.HeldLock {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ledger.HeldLocks()
}

// underWay returns how many moves of this process hold a lock now.
func (h *heldLocks) underWay() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.moving)
}

// report says what is left locked when there is no time to unlock it.
func (h *heldLocks) report(w io.Writer) {
	var b strings.Builder
	locks := h.candidates()
	if len(locks) == 0 {
		b.WriteString("tfhaul: stopped at once; nothing is left locked\n")
	}
	for _, l := range locks {
		state := "may be left locked"
		if l.Sure {
			state = "is left locked"
		}
		fmt.Fprintf(&b, "tfhaul: stopped at once; %s %s. To unlock it: %s\n", report.Plain(l.Target), state, report.Plain(l.UnlockCommand()))
	}
	// Nothing can be done about a stderr that is gone.
	_, _ = io.WriteString(w, b.String())
}
