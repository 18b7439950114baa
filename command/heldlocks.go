package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"tfhaul/migrate"
	"tfhaul/report"
)

// heldLocks knows, from the events of moves, which workspaces this process has
// locked, or may have. It is safe for use by many goroutines.
type heldLocks struct {
	mu      sync.Mutex
	byPlace map[string]heldLock // by target
}

// A heldLock is one of them.
type heldLock struct {
	haul string
	sure bool // the lock was granted; otherwise it was asked for
}

// observe follows what a haul does to locks.
func (h *heldLocks) observe(e migrate.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byPlace == nil {
		h.byPlace = map[string]heldLock{}
	}
	switch e.Event {
	case migrate.EventLocking:
		h.byPlace[e.Target] = heldLock{haul: e.Haul}
	case migrate.EventLocked, migrate.EventLockKept:
		h.byPlace[e.Target] = heldLock{haul: e.Haul, sure: true}
	case migrate.EventUnlocked:
		delete(h.byPlace, e.Target)
	case migrate.EventOutcome:
		if e.Result != nil && !e.Result.Locked {
			delete(h.byPlace, e.Target)
		}
	}
}

// candidates are the workspaces that are locked, or may be, sorted.
func (h *heldLocks) candidates() map[string]heldLock {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.byPlace)
}

// report says what is left locked when there is no time to unlock it.
func (h *heldLocks) report(w io.Writer) {
	var b strings.Builder
	locks := h.candidates()
	if len(locks) == 0 {
		b.WriteString("tfhaul: stopped at once; nothing is left locked\n")
	}
	for _, place := range slices.Sorted(maps.Keys(locks)) {
		l := locks[place]
		state := "may be left locked"
		if l.sure {
			state = "is left locked"
		}
		fmt.Fprintf(&b, "tfhaul: stopped at once; %s %s. To free it: tfhaul unlock %s --haul %s\n",
			report.Plain(place), state, report.Plain(place), l.haul)
	}
	// Nothing can be done about a stderr that is gone.
	_, _ = io.WriteString(w, b.String())
}
