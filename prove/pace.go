package prove

import (
	"context"
	"math/rand/v2"
	"time"

	"tfhaul/lockwait"
)

// Pauses between polls of a run. They start short, because most plans take seconds, and
// grow, because other users share the rate limit.
const (
	firstPause = 500 * time.Millisecond
	mostPause  = 5 * time.Second
	// maxPatience is how long to wait for something that takes a server a moment.
	maxPatience = time.Minute
)

// A pacing spaces out polls.
type pacing struct {
	next  time.Duration
	spent time.Duration
}

func newPacing() *pacing { return &pacing{next: firstPause} }

// pause waits, a little longer each time. It returns ctx's error.
func (p *pacing) pause(ctx context.Context) error {
	d := p.next - time.Duration(rand.Int64N(int64(p.next)/4)) // so that many proofs do not poll at the same time
	p.next = min(p.next*3/2, mostPause)
	p.spent += d
	return lockwait.Sleep(ctx, d)
}
