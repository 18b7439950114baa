package lockwait

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A place is a small lock server whose replies can be lost.
type place struct {
	mu      sync.Mutex
	holder  Holder             // zero means free; Ours is not used
	journal []string           // the requests that arrived: "lock", "holder", "unlock"
	faults  map[string][]fault // what happens to the next requests of each kind
	pending int                // how many unlocks are answered with ErrPending
	latency time.Duration
	// slowBack is the delay between a request's effect and its reply.
	slowBack time.Duration
	mute     bool // answers without the holder's reason, so that nobody recognizes a lock
}

// A fault is what happens to one request.
type fault int

const (
	none     fault = iota
	lostAway       // the request never arrives
	lostBack       // the request takes effect, and its reply is lost
	broken         // the request arrives and is answered with another error
)

var errBroken = errors.New("no permission")

// arrive carries a request to the server and back. It returns whether the request takes
// effect, and the error that the sender gets.
func (p *place) arrive(ctx context.Context, kind string) (effect bool, lost error) {
	if p.latency > 0 {
		if err := Sleep(ctx, p.latency); err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnsure, err)
		}
	} else if ctx.Err() != nil {
		return false, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := none
	if queue := p.faults[kind]; len(queue) > 0 {
		f = queue[0]
		if len(queue) > 1 || f != lostAway || kind != "holder" {
			p.faults[kind] = queue[1:]
		} // a lost question that is the last fault means: unreachable from now on
	}
	if f != lostAway {
		p.journal = append(p.journal, kind)
	}
	switch f {
	case lostAway:
		return false, ErrUnsure
	case lostBack:
		return true, ErrUnsure
	case broken:
		return false, errBroken
	}
	return true, nil
}

func (p *place) fail(kind string, faults ...fault) *place {
	if p.faults == nil {
		p.faults = map[string][]fault{}
	}
	p.faults[kind] = append(p.faults[kind], faults...)
	return p
}

// hold makes another the holder, or frees the lock.
func (p *place) hold(h Holder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holder = h
}

func (p *place) heldBy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holder.Reason
}

func (p *place) requests() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.journal, " ")
}

// A party is one Locker of the place.
type party struct {
	*place
	reason string
}

func (p party) Lock(ctx context.Context, sending Sending) error {
	defer time.Sleep(p.slowBack)
	if err := sending(ctx); err != nil {
		return err
	}
	effect, lost := p.arrive(ctx, "lock")
	if !effect {
		return lost
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := error(nil)
	if p.holder.free() {
		p.holder = Holder{Name: "user ci", Reason: p.reason}
	} else {
		answer = ErrHeld
	}
	if lost != nil {
		return lost
	}
	return answer
}

func (p party) Holder(ctx context.Context, sending Sending) (Holder, error) {
	defer time.Sleep(p.slowBack)
	if err := sending(ctx); err != nil {
		return Holder{}, err
	}
	if effect, lost := p.arrive(ctx, "holder"); !effect || lost != nil {
		return Holder{}, errors.Join(lost, errors.New("no answer"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.holder
	if h.free() {
		return h, nil
	}
	if p.mute {
		return Holder{Name: "somebody"}, nil
	}
	h.Ours = h.Reason == p.reason
	return h, nil
}

func (p party) Unlock(ctx context.Context, sending Sending) error {
	defer time.Sleep(p.slowBack)
	if err := sending(ctx); err != nil {
		return err
	}
	effect, lost := p.arrive(ctx, "unlock")
	if !effect {
		return lost
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var answer error
	switch {
	case p.pending > 0:
		p.pending--
		answer = ErrPending
	case p.holder.Name != "user ci": // another identity: the server refuses
		answer = ErrNotHeld
	default: // the server compares identities, not reasons
		p.holder = Holder{}
	}
	if lost != nil {
		return lost
	}
	return answer
}
