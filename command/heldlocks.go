package command

import (
	"fmt"
	"strings"
	"sync"

	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// heldLocks knows, from the events of moves, which workspaces this process has
// locked, or may have. It is safe for use by many goroutines.
type heldLocks struct {
	mu     sync.Mutex
	ledger migrate.LockLedger
	moving map[string]bool // by target: locked by a move of this process

	// Of a haul: its journal, and the command that continues it.
	journal, continues string
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

// recordedIn sets the journal of a haul and the command that continues it, for report.
func (h *heldLocks) recordedIn(journal, continues string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.journal, h.continues = journal, continues
}

// isHaul reports whether a haul is running.
func (h *heldLocks) isHaul() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.journal != ""
}

// maxStopped is how many workspaces report lists.
const maxStopped = 8

// report returns what is left locked when there is no time to unlock it: of a haul with one
// command that unlocks all of it and one that continues it.
func (h *heldLocks) report() string {
	var b strings.Builder
	locks := h.candidates()
	h.mu.Lock()
	journal, continues := h.journal, h.continues
	h.mu.Unlock()
	sure := 0
	for _, l := range locks {
		if l.Sure {
			sure++
		}
	}
	switch {
	case len(locks) == 0:
		b.WriteString("tfhaul: stopped at once; nothing is left locked\n")
	case len(locks) == 1 || journal == "":
		for _, l := range locks {
			state, command := "may be left locked", l.UnlockCommand()
			if l.Sure {
				state = "is left locked"
			}
			if journal != "" {
				command = unlockJournal(journal)
			}
			fmt.Fprintf(&b, "tfhaul: stopped at once; %s %s. To unlock it: %s\n", l.Target, state, command)
		}
	default:
		state := "are left locked, or may be"
		if sure == len(locks) {
			state = "are left locked"
		}
		fmt.Fprintf(&b, "tfhaul: stopped at once; %d workspaces %s:\n", len(locks), state)
		for i, l := range locks {
			if i == maxStopped {
				fmt.Fprintf(&b, "  … and %d more\n", len(locks)-i)
				break
			}
			fmt.Fprintf(&b, "  %s\n", l.Target)
		}
		fmt.Fprintf(&b, "To unlock them: %s\n", unlockJournal(journal))
	}
	if continues != "" {
		unlocks := ""
		if len(locks) > 0 {
			unlocks = ", which also unlocks them"
		}
		if len(locks) == 1 {
			unlocks = ", which also unlocks it"
		}
		fmt.Fprintf(&b, "To continue%s: %s\n", unlocks, continues)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// unlockJournal is the command that unlocks what a haul left locked.
func unlockJournal(journal string) string { return "tfhaul unlock " + plainwords.ShellWord(journal) }
