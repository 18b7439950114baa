package migrate

import (
	"sync"
	"time"
)

// A flusher has the disk take what a journal has written. To wait for the disk costs
// a move about as much as a request does, so that those who wait at the same time wait
// for it once; and whoever is about to have it work waits for others first, while that
// has lately brought some, and while moves are carried out that do not wait yet. A move
// that is carried out alone waits for nobody.
type flusher struct {
	// sync has the disk take all that is written, and says up to where that is.
	sync func() (int64, error)

	mu      sync.Mutex
	flushed int64         // the disk has what stands before this
	err     error         // why it is not known what else the disk has
	moves   int           // are carried out now, and will wait sooner or later
	waiting int           // of them wait
	working bool          // somebody gathers, or has the disk work
	gather  time.Duration // how long who is about to have the disk work waits for others
	all     chan struct{} // of who gathers, for when all moves wait; nil when nobody does
	worked  chan struct{} // is closed when the disk has worked
}

const (
	// What brought others is done for twice as long the next time, within these
	// bounds; what did not, for half as long, and not at all below the first. Where moves
	// wait for a far server, nobody else comes in so short a time, and nobody waits for it.
	leastGathering = 250 * time.Microsecond
	mostGathering  = 4 * time.Millisecond
	// mostPatience bounds how long those whom nothing waits for leave it to others to
	// have the disk work.
	mostPatience = 10 * time.Millisecond
)

func newFlusher(sync func() (int64, error)) *flusher {
	return &flusher{sync: sync, worked: make(chan struct{})}
}

// enter says that a move begins, leave that it will wait no more.
func (f *flusher) enter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moves++
}

func (f *flusher) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moves--
	f.gathered()
}

// gathered tells who gathers when all are there.
func (f *flusher) gathered() {
	if f.all != nil && f.waiting >= f.moves {
		close(f.all)
		f.all = nil
	}
}

// wait returns when the disk has what is written up to a place.
func (f *flusher) wait(upTo int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting++
	defer func() { f.waiting-- }()
	f.gathered()
	for f.flushed < upTo && f.err == nil {
		if f.working {
			f.await(nil)
		} else {
			f.work()
		}
	}
	return f.verdict(upTo)
}

// waitLast is wait for a move that has left: it leaves it to the others, for a while.
func (f *flusher) waitLast(upTo int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	patience := time.NewTimer(mostPatience)
	defer patience.Stop()
	for over := false; f.flushed < upTo && f.err == nil; {
		switch {
		case f.working:
			f.await(nil)
		case f.moves > 0 && !over:
			over = f.await(patience.C)
		default:
			f.work()
		}
	}
	return f.verdict(upTo)
}

func (f *flusher) verdict(upTo int64) error {
	if f.flushed >= upTo {
		return nil
	}
	return f.err
}

// await returns when the disk has worked, or true when the time is over.
func (f *flusher) await(over <-chan time.Time) bool {
	worked := f.worked
	f.mu.Unlock()
	defer f.mu.Lock()
	select {
	case <-worked:
		return false
	case <-over:
		return true
	}
}

// work has the disk work, for all who wait.
func (f *flusher) work() {
	f.working = true
	if f.gather > 0 && f.waiting > 0 && f.waiting < f.moves {
		f.gatherOthers()
	}
	switch served := f.waiting; {
	case served == 0: // who works is one that left
	case served > 1:
		f.gather = min(max(2*f.gather, leastGathering), mostGathering)
	case f.gather > leastGathering:
		f.gather /= 2
	default:
		f.gather = 0
	}
	f.mu.Unlock()
	flushed, err := f.sync()
	f.mu.Lock()
	f.working = false
	if err != nil {
		f.err = err
	} else {
		f.flushed = flushed
	}
	close(f.worked)
	f.worked = make(chan struct{})
}

// gatherOthers waits until all moves wait, or the time is over.
func (f *flusher) gatherOthers() {
	all := make(chan struct{})
	f.all = all
	timer := time.NewTimer(f.gather)
	f.mu.Unlock()
	select {
	case <-all:
	case <-timer.C:
	}
	timer.Stop()
	f.mu.Lock()
	f.all = nil
}
