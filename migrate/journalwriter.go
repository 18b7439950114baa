package migrate

import (
	"context"
	"io/fs"
	"sync"

	"tfhaul/crash"
)

// A disk is the part of a file that a lineWriter needs.
type disk interface {
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error
}

// A lineWriter appends lines to a file. One goroutine writes all lines that have accumulated
// while the disk was busy, and syncs once for all of them, if anyone waits for one.
type lineWriter struct {
	disk  disk
	end   int64         // where the next line goes
	text  []byte        // of the latest lines
	dirty bool          // a line was written since the last sync
	ended chan struct{} // closed when the goroutine has ended
	// failed is the first failure. It belongs to the goroutine until that has ended.
	failed error

	mu     sync.Mutex // guards closed, and sending to lines
	closed bool
	lines  chan pendingLine
}

// maxPending is how many lines can wait for the disk before enqueue blocks.
const maxPending = 64

// A pendingLine is a line that waits for the disk. written is nil if nobody waits with it.
type pendingLine struct {
	text    []byte
	written chan error
}

func startWriter(ctx context.Context, d disk, end int64) *lineWriter {
	w := &lineWriter{disk: d, end: end, lines: make(chan pendingLine, maxPending), ended: make(chan struct{})}
	crash.Go(ctx, func() {
		w.run()
		close(w.ended)
	})
	return w
}

// append returns when the line and all before it are on the disk, or cannot be written.
func (w *lineWriter) append(text []byte) error {
	line := pendingLine{text, make(chan error, 1)}
	if err := w.enqueue(line); err != nil {
		return err
	}
	return <-line.written
}

// follow writes a line soon, and does not wait. The line is on the disk when a later append
// or close returns.
func (w *lineWriter) follow(text []byte) error { return w.enqueue(pendingLine{text: text}) }

// enqueue passes a line to the goroutine.
func (w *lineWriter) enqueue(line pendingLine) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fs.ErrClosed
	}
	w.lines <- line
	return nil
}

// close returns when every line is on the disk and the goroutine has ended. It returns the
// first failure.
func (w *lineWriter) close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	<-w.ended
	return w.failed
}

// run writes lines until the channel is closed. After a failure it writes nothing more, because
// the contents of the disk are unknown and a second sync would not reveal them.
func (w *lineWriter) run() {
	for first := range w.lines {
		lines := w.batch(first)
		if w.failed == nil {
			w.failed = w.write(lines)
		}
		for _, line := range lines {
			if line.written != nil {
				line.written <- w.failed
			}
		}
	}
	if w.dirty && w.failed == nil {
		w.failed = w.disk.Sync()
	}
}

// batch returns the line and all that are already waiting.
func (w *lineWriter) batch(first pendingLine) []pendingLine {
	lines := []pendingLine{first}
	for range len(w.lines) {
		lines = append(lines, <-w.lines)
	}
	return lines
}

// write writes lines in one write, and syncs once if anyone waits.
func (w *lineWriter) write(lines []pendingLine) error {
	w.text = w.text[:0]
	waited := false
	for _, line := range lines {
		w.text = append(w.text, line.text...)
		waited = waited || line.written != nil
	}
	if _, err := w.disk.WriteAt(w.text, w.end); err != nil {
		// Remove what was written, or it would count as recorded. If that fails, readers
		// still drop an incomplete line.
		_ = w.disk.Truncate(w.end)
		return err
	}
	w.end += int64(len(w.text))
	w.dirty = !waited
	if !waited {
		return nil
	}
	return w.disk.Sync()
}
