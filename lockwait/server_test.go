package lockwait

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A place is a lock somewhere else: a small server whose replies can be lost.
type place struct {
	mu      sync.Mutex
	holder  Holder             // zero: free; Ours is not used
	journal []string           // the requests that arrived: "lock", "holder", "unlock"
	faults  map[string][]fault // what happens to the next requests of a kind
	pending int                // how many unlocks are answered "pending"
	latency time.Duration
	// slowBack is how long an answer takes after the request took effect.
	slowBack time.Duration
	mute     bool // the place does not tell reasons: who holds the lock cannot be recognised
}

// A fault is what happens to one request.
type fault int

const (
	none     fault = iota
	lostAway       // the request never arrives
	lostBack       // it takes effect, and its reply is lost
	broken         // it arrives, and is answered with an error of another kind
)

var errBroken = errors.New("no permission")

// arrive is the way of a request to the place and back. It returns whether the
// request takes effect, and the error that its sender sees otherwise.
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
		} // a last lost question stands for a place that is unreachable from now on
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

// hold puts somebody else's lock there, or frees it.
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
	case p.holder.Name != "user ci": // another identity: the place refuses
		answer = ErrNotHeld
	default: // the place knows identities, not reasons
		p.holder = Holder{}
	}
	if lost != nil {
		return lost
	}
	return answer
}
