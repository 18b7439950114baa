package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/crash"
)

// A slowDisk keeps what is written in memory, takes a while to sync, and counts how
// often it does.
type slowDisk struct {
	mu     sync.Mutex
	text   string
	synced string // what outlives the death of the machine
	syncs  int
	takes  time.Duration
	room   int // bytes that can be written; 0 for any number
	fails  error
}

func (d *slowDisk) WriteAt(p []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at != int64(len(d.text)) {
		return 0, fmt.Errorf("written at %d, and the file ends at %d", at, len(d.text))
	}
	n := len(p)
	if d.room > 0 {
		n = min(n, d.room-len(d.text))
	}
	d.text += string(p[:n])
	if n < len(p) {
		return n, errNoRoom
	}
	return n, nil
}

var errNoRoom = errors.New("no space left on device")

func (d *slowDisk) Truncate(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = d.text[:size]
	return nil
}

func (d *slowDisk) Sync() error {
	d.mu.Lock()
	text, fails := d.text, d.fails
	d.syncs++
	d.mu.Unlock()
	time.Sleep(d.takes)
	d.mu.Lock()
	defer d.mu.Unlock()
	if fails == nil {
		d.synced = text
	}
	return fails
}

func (d *slowDisk) has(line string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Contains(d.synced, line)
}

func startTestWriter(t *testing.T, d *slowDisk) *lineWriter {
	t.Helper()
	w := startWriter(t.Context(), d, 0)
	t.Cleanup(func() { _ = w.close() })
	return w
}

// Lines that are appended while the disk is busy share the next sync, and each is on
// the disk when its append returns.
func TestAppendsShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const moves, events = 8, 100
		d := &slowDisk{takes: time.Millisecond}
		w := startTestWriter(t, d)
		var running sync.WaitGroup
		for i := range moves {
			running.Go(func() {
				for n := range events {
					time.Sleep(time.Duration(1+i) * 100 * time.Microsecond) // the step
					line := fmt.Sprintf("line %d of move %d\n", n, i)
					if err := w.append([]byte(line)); err != nil {
						t.Error(err)
					}
					if !d.has(line) {
						t.Errorf("%q is not on the disk when append returns", line)
					}
				}
			})
		}
		running.Wait()
		if lines := strings.Count(d.synced, "\n"); lines != moves*events {
			t.Errorf("the disk holds %d lines, want %d", lines, moves*events)
		}
		if d.syncs > 2*events+moves {
			t.Errorf("%d syncs for %d events of %d moves", d.syncs, events, moves)
		}
	})
}

// A single move waits for the disk and for nothing else.
func TestAppendWaitsForTheDiskAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{takes: time.Millisecond}
		w := startTestWriter(t, d)
		start := time.Now()
		for range 4 {
			if err := w.append([]byte("line\n")); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 4*time.Millisecond || d.syncs != 4 {
			t.Errorf("four lines took %s and %d syncs", took, d.syncs)
		}
	})
}

// A line that nobody waits for is written at once, in order, and synced with the next line
// that someone waits for, or by close.
func TestLinesThatFollowShareTheNextSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{takes: time.Millisecond}
		w := startWriter(t.Context(), d, 0)
		follow := func(line string) {
			t.Helper()
			if err := w.follow([]byte(line)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		follow("intent\n")
		if d.text != "intent\n" || d.syncs != 0 {
			t.Errorf("the file holds %q after %d syncs", d.text, d.syncs)
		}
		if err := w.append([]byte("locking\n")); err != nil || d.synced != "intent\nlocking\n" || d.syncs != 1 {
			t.Errorf("%v; %q is on the disk after %d syncs", err, d.synced, d.syncs)
		}
		follow("locked\n")
		if err := w.close(); err != nil || d.synced != "intent\nlocking\nlocked\n" || d.syncs != 2 {
			t.Errorf("%v; %q is on the disk after %d syncs", err, d.synced, d.syncs)
		}
	})
}

// The next append that waits, and close, report that a line before it could not be written.
func TestAFailureOfALineThatFollowsIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{room: 3}
		w := startWriter(t.Context(), d, 0)
		if err := w.follow([]byte("too long\n")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := w.append([]byte("x\n")); !errors.Is(err, errNoRoom) || d.text != "" {
			t.Errorf("append: %v; the file holds %q", err, d.text)
		}
		if err := w.close(); !errors.Is(err, errNoRoom) {
			t.Errorf("close: %v", err)
		}
	})
}

// Everyone who waits for a sync that fails gets its error, and so does every later
// append: nothing more is written.
func TestAFailedSyncIsReportedToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{takes: time.Millisecond}
		w := startTestWriter(t, d)
		if err := w.append([]byte("before\n")); err != nil {
			t.Fatal(err)
		}
		broken := errors.New("input/output error")
		d.fails = broken
		var waiting sync.WaitGroup
		for range 4 {
			waiting.Go(func() {
				if err := w.append([]byte("during\n")); !errors.Is(err, broken) {
					t.Errorf("during the failure: %v", err)
				}
			})
		}
		waiting.Wait()
		d.fails = nil
		length, syncs := len(d.text), d.syncs
		if err := w.append([]byte("after\n")); !errors.Is(err, broken) {
			t.Errorf("after the failure: %v", err)
		}
		if len(d.text) != length || d.syncs != syncs {
			t.Error("the writer used the disk after a failure")
		}
	})
}

// Of lines that there is no room for nothing stays in the file.
func TestAFailedWriteIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{room: len("before\nsome")}
		w := startTestWriter(t, d)
		if err := w.append([]byte("before\n")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := w.append([]byte("something\n")); !errors.Is(err, errNoRoom) {
				t.Errorf("without room: %v", err)
			}
		}
		if d.text != "before\n" {
			t.Errorf("the file holds %q", d.text)
		}
	})
}

// close waits for the lines that are being appended. Later ones fail.
func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{takes: time.Second}
		w := startTestWriter(t, d)
		var appending sync.WaitGroup
		const lines = 5
		for range lines {
			appending.Go(func() {
				if err := w.append([]byte("line\n")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := w.close(); err != nil {
			t.Error(err)
		}
		if got := strings.Count(d.synced, "\n"); got != lines {
			t.Errorf("%d lines are on the disk after close, want %d", got, lines)
		}
		appending.Wait()
		if err := w.append([]byte("late\n")); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}

// A panic in the writer reaches the handler, and no append takes it for success.
func TestAPanicWhileWritingReachesTheHandler(t *testing.T) {
	caught := make(chan crash.Panic, 1)
	ctx := crash.Handle(t.Context(), func(p crash.Panic) { caught <- p })
	w := startWriter(ctx, nil, 0) // no disk at all
	returned := make(chan error, 1)
	go func() { returned <- w.append([]byte("line\n")) }()
	if p := <-caught; !strings.Contains(p.Reason, "nil pointer") {
		t.Errorf("the handler got %q", p.Reason)
	}
	select {
	case err := <-returned:
		t.Errorf("append returned %v", err)
	default:
	}
}
