package prove

import (
	"context"
	"math/rand/v2"
	"time"

	"tfhaul/lockwait"
)

// The pauses between looks at a run: soon at first, because most plans take
// seconds, then seldom, because the rate limit is shared with whatever else runs.
const (
	firstPause = 500 * time.Millisecond
	mostPause  = 5 * time.Second
	// mostPatience is how long to wait for what takes a server a moment.
	mostPatience = time.Minute
)

// A pacing spaces out looks at something that takes its time.
type pacing struct {
	next  time.Duration
	spent time.Duration
}

func newPacing() *pacing { return &pacing{next: firstPause} }

// pause waits, a little longer each time. The error is ctx's.
func (p *pacing) pause(ctx context.Context) error {
	d := p.next - time.Duration(rand.Int64N(int64(p.next)/4)) // so that many do not ask as one
	p.next = min(p.next*3/2, mostPause)
	p.spent += d
	return lockwait.Sleep(ctx, d)
}
