package backend

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// An Outgoing is a state being sent, for kinds that store nothing that is incomplete. It
// returns the last byte only after checking that all bytes are the announced ones, so a
// server never receives all of anything else. Nothing is buffered.
type Outgoing struct {
	ctx    context.Context // ends the reading
	cancel context.CancelFunc
	open   func(context.Context) (io.ReadCloser, error)
	size   int64
	md5    string
	// progress is called for every piece.
	progress func()

	complete atomic.Bool

	mu     sync.Mutex // guards the fields below: the transport may still read when it is closed
	closed bool
	source io.ReadCloser // nil until the first Read
	sum    hash.Hash
	read   int64
}

// NewOutgoing returns the state to be sent by a write. Reading it ends with ctx.
func NewOutgoing(ctx context.Context, p *Write, progress func()) *Outgoing {
	ctx, cancel := context.WithCancel(ctx)
	return &Outgoing{ctx: ctx, cancel: cancel, open: p.Open, size: p.Size, md5: p.MD5, progress: progress, sum: md5.New()}
}

// Complete reports whether the last byte was handed over.
func (o *Outgoing) Complete() bool { return o.complete.Load() }

// Read implements io.Reader. Its errors are a *SourceError.
func (o *Outgoing) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(p) == 0:
		return 0, nil
	case o.complete.Load():
		return 0, io.EOF
	case o.closed:
		return 0, &SourceError{Err: http.ErrBodyReadAfterClose}
	case o.ctx.Err() != nil:
		return 0, &SourceError{Err: context.Cause(o.ctx)}
	case o.source == nil:
		source, err := o.open(o.ctx)
		if err != nil {
			return 0, &SourceError{Err: err}
		}
		o.source = source
	}
	o.progress()
	n, err := o.source.Read(p)
	o.progress()
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, &SourceError{Err: err}
	}
	o.sum.Write(p[:n])
	if o.read += int64(n); err == nil && o.read < o.size {
		return n, nil
	}
	if err == nil {
		err = o.end()
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return 0, &SourceError{Err: err}
	case err == nil, o.read != o.size, hex.EncodeToString(o.sum.Sum(nil)) != o.md5:
		return 0, &SourceError{Changed: true}
	}
	o.complete.Store(true)
	return n, io.EOF
}

// end reads beyond the last byte. It returns io.EOF if there is nothing more.
func (o *Outgoing) end() error {
	var more [1]byte
	n, err := io.ReadFull(o.source, more[:])
	if n > 0 {
		return nil
	}
	return err
}

// Close ends the reading. It may be called during a Read.
func (o *Outgoing) Close() error {
	o.cancel()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.source == nil {
		o.closed = true
		return nil
	}
	o.closed = true
	return o.source.Close()
}

// A StallError ends a transfer in which nothing has happened for this long.
type StallError struct{ After time.Duration }

func (e *StallError) Error() string { return fmt.Sprintf("nothing arrived for %s", e.After) }

// Watched returns a context that ends with a *StallError when progress has not been called
// for this long.
func Watched(ctx context.Context, after time.Duration) (watched context.Context, progress func(), stop context.CancelFunc) {
	watched, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(after, func() { cancel(&StallError{after}) })
	return watched, func() { timer.Reset(after) }, func() {
		timer.Stop()
		cancel(nil)
	}
}
