package s3

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tfhaul/backend"
)

// An outgoing is a state being sent. It returns the last byte only after checking that all
// bytes are the announced ones, so a server never receives all of anything else, and S3
// stores nothing that is incomplete. Nothing is buffered.
type outgoing struct {
	ctx    context.Context // ends the reading
	cancel context.CancelFunc
	open   func(context.Context) (io.ReadCloser, error)
	size   int64
	md5    string
	// progress is called for every piece.
	progress func()

	// complete reports whether the last byte was handed over.
	complete atomic.Bool

	mu     sync.Mutex // guards the fields below: the transport may still read when it is closed
	closed bool
	source io.ReadCloser // nil until the first Read
	sum    hash.Hash
	read   int64
}

func newOutgoing(ctx context.Context, p *backend.Write, progress func()) *outgoing {
	ctx, cancel := context.WithCancel(ctx)
	return &outgoing{ctx: ctx, cancel: cancel, open: p.Open, size: p.Size, md5: p.MD5, progress: progress, sum: md5.New()}
}

func (o *outgoing) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(p) == 0:
		return 0, nil
	case o.complete.Load():
		return 0, io.EOF
	case o.closed:
		return 0, &backend.SourceError{Err: http.ErrBodyReadAfterClose}
	case o.ctx.Err() != nil:
		return 0, &backend.SourceError{Err: context.Cause(o.ctx)}
	case o.source == nil:
		source, err := o.open(o.ctx)
		if err != nil {
			return 0, &backend.SourceError{Err: err}
		}
		o.source = source
	}
	o.progress()
	n, err := o.source.Read(p)
	o.progress()
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, &backend.SourceError{Err: err}
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
		return 0, &backend.SourceError{Err: err}
	case err == nil, o.read != o.size, hex.EncodeToString(o.sum.Sum(nil)) != o.md5:
		return 0, &backend.SourceError{Changed: true}
	}
	o.complete.Store(true)
	return n, io.EOF
}

// end reads beyond the last byte. It returns io.EOF if there is nothing more.
func (o *outgoing) end() error {
	var more [1]byte
	n, err := io.ReadFull(o.source, more[:])
	if n > 0 {
		return nil
	}
	return err
}

// Close ends the reading. It may be called during a Read.
func (o *outgoing) Close() error {
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

// A watch cancels a context when nothing has happened for too long.
type watch struct {
	timer *time.Timer
	after time.Duration
}

// watched returns a context that ends when progress has not been called for this long.
func watched(ctx context.Context, after time.Duration) (context.Context, *watch, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{after: after}
	w.timer = time.AfterFunc(after, func() { cancel(&stallError{after}) })
	return ctx, w, func() {
		w.timer.Stop()
		cancel(nil)
	}
}

func (w *watch) progress() { w.timer.Reset(w.after) }
