package command

import (
	"fmt"
	"sync"
	"time"

	"tfhaul/migrate"
	"tfhaul/report"
)

// A progress tells a person on stderr what a move is doing, a line a step. Without
// a terminal it only warns, once per holder, of a lock that is waited for. It is
// safe for use by many goroutines.
type progress struct {
	*process
	mu      sync.Mutex
	waiting map[string]string // who holds the lock, by target
}

func (p *process) progress() *progress {
	return &progress{process: p, waiting: map[string]string{}}
}

// observe receives every event of a move.
func (g *progress) observe(e migrate.Event) {
	g.held.observe(e)
	if g.quiet {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.Event == migrate.EventWaiting {
		g.wait(e)
		return
	}
	if g.stderr.interactive {
		if text := stepText(e); text != "" {
			g.step(e, text)
		}
	}
}

// wait tells who is waited for, when that is another user.
func (g *progress) wait(e migrate.Event) {
	before, known := g.waiting[e.Target]
	if known && before == e.Holder {
		return
	}
	g.waiting[e.Target] = e.Holder
	if !g.stderr.interactive {
		g.tellWaiting(e)
		return
	}
	g.step(e, "locked by "+e.Holder+"; waiting for it")
}

// tellWaiting tells who holds the lock that a move waits for.
func (p *process) tellWaiting(e migrate.Event) {
	p.note("Waiting for the lock on %s, held by %s…", report.PlainLine(e.Target), report.PlainLine(e.Holder))
}

func (g *progress) step(e migrate.Event, text string) {
	style := g.stderr.style()
	g.stderr.message(style.Faint(e.Time.Local().Format(time.TimeOnly))+" ", report.PlainLine(text))
}

// stepText is what an event means to a person; "" when nothing.
func stepText(e migrate.Event) string {
	switch e.Event {
	case migrate.EventIntent:
		serial := ""
		if e.Snapshot != nil {
			serial = fmt.Sprintf("serial %d, %s", e.Snapshot.Serial, report.Size(e.Snapshot.Size))
		}
		return fmt.Sprintf("%s: %s, %s", e.Source, serial, e.Relation)
	case migrate.EventCreated:
		return "workspace created"
	case migrate.EventLocked:
		return "workspace locked"
	case migrate.EventBackup:
		return "what the workspace holds is kept in " + e.Backup
	case migrate.EventSending:
		return "sending"
	case migrate.EventSent:
		return "sent as " + e.StateVersionID
	case migrate.EventVerified:
		return "read back: the same bytes"
	case migrate.EventUnlocked:
		return "workspace unlocked"
	case migrate.EventLockKept:
		return "the workspace stays locked"
	}
	return ""
}
