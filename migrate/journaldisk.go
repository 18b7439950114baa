package migrate

import (
	"runtime"
	"sync"
	"time"
)

// A flusher has the disk take what a journal has written. To wait for the disk costs
// a move about as much as a request does, so that those who wait at the same time wait
// for it once; and whoever is about to have it work lets those go first who could go
// on at once, and may come to wait, too. Nobody waits for what is not there yet: moves
// that wait for their server are not waited for.
type flusher struct {
	// sync has the disk take all that is written, and says up to where that is.
	sync func() (int64, error)

	mu      sync.Mutex
	flushed int64         // the disk has what stands before this
	err     error         // why it is not known what else the disk has
	moves   int           // are carried out now, and will wait sooner or later
	waiting int           // of them wait
	working bool          // somebody has the disk work, or is about to
	worked  chan struct{} // is closed when the disk has worked
}

const (
	// mostYields is how often who is about to have the disk work lets others go first.
	// More brings hardly any more of them.
	mostYields = 4
	// mostPatience bounds how long those whom nothing waits for leave it to others to
	// have the disk work.
	mostPatience = 10 * time.Millisecond
)

func newFlusher(work func() (int64, error)) *flusher {
	return &flusher{sync: work, worked: make(chan struct{})}
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
}

// wait returns when the disk has what is written up to a place.
func (f *flusher) wait(upTo int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting++
	defer func() { f.waiting-- }()
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
	for i := 0; i < mostYields && f.waiting > 0 && f.waiting < f.moves; i++ {
		f.mu.Unlock()
		runtime.Gosched()
		f.mu.Lock()
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
