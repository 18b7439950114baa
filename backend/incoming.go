package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// An Incoming is a state being received. Reading it fails if it ends before its announced
// length, if nothing arrives for too long, or if it is not what its digests are of. Nothing is
// buffered. It is not safe for concurrent use.
type Incoming struct {
	IncomingOptions
	ctx    context.Context
	cancel context.CancelCauseFunc
	in     io.ReadCloser
	got    int64
	failed error
}

// IncomingOptions describe what is being received.
type IncomingOptions struct {
	Address string
	Size    int64         // announced, in bytes; negative if it is not
	Stall   time.Duration // how long to wait for the next byte
	// Describe returns the reason of a connection's error in plain words.
	Describe func(error) string
	// Sums receives all bytes, and Compare is then called, once, to compare the digests. Both may
	// be nil.
	Sums    io.Writer
	Compare func() error
}

// NewIncoming returns the content of a response whose request was sent under ctx. Close, or a
// stall, cancels ctx.
func NewIncoming(ctx context.Context, cancel context.CancelCauseFunc, in io.ReadCloser, o IncomingOptions) *Incoming {
	return &Incoming{IncomingOptions: o, ctx: ctx, cancel: cancel, in: in}
}

// Failed returns the error of Read, if it had one.
func (i *Incoming) Failed() error { return i.failed }

// Read implements io.Reader.
func (i *Incoming) Read(p []byte) (int, error) {
	stall := time.AfterFunc(i.Stall, func() { i.cancel(&StallError{After: i.Stall}) })
	n, err := i.in.Read(p)
	stall.Stop()
	i.got += int64(n)
	if i.Sums != nil {
		_, _ = i.Sums.Write(p[:n]) // a hash never fails
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && (i.got == i.Size || i.Size < 0):
		if i.Compare != nil {
			i.failed = i.Compare()
		}
		if i.failed == nil {
			return n, io.EOF
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		i.failed = i.brokenOff("the connection was closed", io.ErrUnexpectedEOF)
	case i.ctx.Err() != nil:
		cause := context.Cause(i.ctx)
		i.failed = i.brokenOff(cause.Error(), cause)
	default:
		i.failed = i.brokenOff(i.Describe(err), err)
	}
	return n, i.failed
}

// brokenOff returns the error for a body that ended too early.
func (i *Incoming) brokenOff(why string, err error) error {
	of := ""
	if i.Size >= 0 {
		of = fmt.Sprintf(" of %d", i.Size)
	}
	return &WordedError{fmt.Sprintf("reading %q broke off after %d%s bytes: %s", i.Address, i.got, of, why), err}
}

// Close implements io.Closer.
func (i *Incoming) Close() error {
	i.cancel(nil)
	return i.in.Close()
}

// A WordedError is an error in plain words that wraps the original one.
type WordedError struct {
	Text string
	Err  error
}

func (w *WordedError) Error() string { return w.Text }

// Unwrap returns the original error.
func (w *WordedError) Unwrap() error { return w.Err }
