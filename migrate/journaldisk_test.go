package migrate

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A testDisk takes a while to work and counts how often it does.
type testDisk struct {
	*flusher
	written atomic.Int64
	worked  int
	fails   error
}

func newTestDisk(takes time.Duration) *testDisk {
	d := new(testDisk)
	d.flusher = newFlusher(func() (int64, error) {
		upTo := d.written.Load()
		d.worked++ // one at a time, says the race detector
		time.Sleep(takes)
		return upTo, d.fails
	})
	return d
}

func (d *testDisk) append() error     { return d.wait(d.written.Add(1)) }
func (d *testDisk) appendLast() error { return d.waitLast(d.written.Add(1)) }

// A move that is carried out alone waits for the disk, and for nobody else.
func TestALoneMoveWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk(time.Millisecond)
		d.enter()
		start := time.Now()
		for range 3 {
			if err := d.append(); err != nil {
				t.Fatal(err)
			}
		}
		d.leave()
		if err := d.appendLast(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 4*time.Millisecond || d.worked != 4 {
			t.Errorf("four events took %s, and the disk worked %d times", took, d.worked)
		}
	})
}

// Moves that come together wait together, and what they wait for is on the disk.
func TestMovesShareTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const moves, events = 8, 100
		d := newTestDisk(time.Millisecond)
		var running sync.WaitGroup
		for i := range moves {
			d.enter()
			running.Go(func() {
				for range events {
					time.Sleep(time.Duration(1+i) * 100 * time.Microsecond) // the step
					upTo := d.written.Add(1)
					if err := d.wait(upTo); err != nil {
						t.Error(err)
					}
					d.mu.Lock()
					if d.flushed < upTo {
						t.Errorf("the disk has %d when %d is waited for", d.flushed, upTo)
					}
					d.mu.Unlock()
				}
				d.leave()
				if err := d.appendLast(); err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
		if d.worked > 2*events+moves {
			t.Errorf("for %d events of %d moves the disk worked %d times", events, moves, d.worked)
		}
	})
}

// A move that waits for its server is not waited for.
func TestNobodyWaitsForWhoIsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk(time.Millisecond)
		d.enter()
		d.enter() // which is elsewhere
		start := time.Now()
		for range 100 {
			if err := d.append(); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("100 events took %s", took)
		}
	})
}

// The last event of a move goes to the disk with those of others, or on its own when
// they take long.
func TestTheLastEventIsLeftToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk(0)
		d.enter() // the other
		start := time.Now()
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if err := d.appendLast(); err != nil || time.Since(start) != time.Millisecond {
				t.Errorf("beside another it took %s: %v", time.Since(start), err)
			}
		})
		time.Sleep(time.Millisecond)
		if err := d.append(); err != nil {
			t.Error(err)
		}
		waiting.Wait()
		if d.worked != 1 {
			t.Errorf("the disk worked %d times", d.worked)
		}
		start = time.Now()
		if err := d.appendLast(); err != nil || time.Since(start) != mostPatience || d.worked != 2 {
			t.Errorf("beside one that is busy it took %s: %v", time.Since(start), err)
		}
	})
}

// When the disk fails nobody is told that it has what it may not have, then or later.
func TestAFailingDiskIsToldToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDisk(time.Millisecond)
		if err := d.append(); err != nil {
			t.Fatal(err)
		}
		d.fails = errors.New("no space left on device")
		var waiting sync.WaitGroup
		for range 4 {
			waiting.Go(func() {
				if err := d.append(); !errors.Is(err, d.fails) {
					t.Errorf("an event: %v", err)
				}
			})
			waiting.Go(func() {
				if err := d.appendLast(); !errors.Is(err, d.fails) {
					t.Errorf("a last event: %v", err)
				}
			})
		}
		waiting.Wait()
		if err := d.append(); !errors.Is(err, d.fails) {
			t.Errorf("later: %v", err)
		}
		if err := d.wait(1); err != nil {
			t.Errorf("what the disk had before: %v", err)
		}
	})
}
