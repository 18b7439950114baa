package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// storeAttacks are what other processes and strange answers do.
var storeAttacks = []string{"robbed", "suspended and robbed", "unlocked", "suspended", "repeated", "cut", "longer", "altered"}

// theirLock is the reason of the lock of one who takes it by force.
const theirLock = "theirs"

var storeFaults = []string{"refused", "lost", "rival", "interrupted", "killed before", "killed after"}

// faults spoil one operation, or one request, counted from 1.
type faults struct {
	bench     *storeBench
	mu        sync.Mutex
	n, at     int
	fault, op string
	rival     []byte
	dead      bool
	hangs     bool           // a dead process is not answered
	earlier   map[string]any // the last answer of each kind
	misread   bool           // what was moved read as other bytes
	jumped    time.Duration  // how far the clock is ahead
	died      func()
	interrupt func()
	before    func(op string)
}

// afterCheck reports whether the fault came after the check that the state is current.
func (f *faults) afterCheck() bool {
	return slices.Contains([]string{"read", "unlock", "GET", "GET lock", "DELETE lock", "GetItem", "DeleteItem"}, f.op)
}

// revive ends the faults.
func (f *faults) revive() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.dead = 0, false
}

// A faultyTarget spoils one operation.
type faultyTarget struct {
	backend.Target
	*faults
}

// spoil is called before an operation. It returns the error to answer with, and whether the
// operation still takes effect.
func (f *faults) spoil(op string) (err error, done bool) {
	if f.n++; f.before != nil {
		f.before(op)
	}
	dead := &backend.Error{Code: backend.Unreachable, Message: "the process is dead"}
	if f.dead {
		return dead, false
	}
	if f.n != f.at {
		return nil, true
	}
	f.op = op
	switch f.fault {
	case "refused":
		return &backend.Error{Code: backend.Unreachable, Message: "connection refused"}, false
	case "lost":
		return &backend.Error{Code: backend.Ambiguous, Message: "connection reset"}, true
	case "rival":
		f.rival = state(30, lineage, 7)
		f.bench.put(f.rival)
	case "robbed", "suspended and robbed":
		if f.fault != "robbed" {
			time.Sleep(time.Minute)
		}
		f.rival = state(30, lineage, 7)
		f.bench.put(f.rival)
		f.bench.force(theirLock)
	case "unlocked":
		f.bench.force("")
	case "suspended":
		time.Sleep(time.Minute)
	case "interrupted":
		f.interrupt()
	case "killed before":
		f.died()
		f.dead = true
		return dead, false
	case "killed after":
		f.dead = true
		return dead, true
	}
	return nil, true
}

// operation performs an operation with the fault.
func operation[T any](f *faults, op string, do func() (T, error)) (T, error) {
	var none T
	err, done := f.spoil(op)
	if !done {
		return none, err
	}
	got, did := do()
	if f.dead {
		f.died()
	}
	if f.earlier == nil {
		f.earlier = map[string]any{}
	}
	if last, ok := f.earlier[op].(T); ok && f.n == f.at && f.fault == "repeated" && op != "write" && op != "read" {
		return last, nil
	}
	f.earlier[op] = got
	if err != nil {
		return none, err
	}
	return got, did
}

func (f *faultyTarget) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

func (f *faultyTarget) Look(ctx context.Context, name string) (*backend.Standing, error) {
	return operation(f.faults, "look", func() (*backend.Standing, error) { return f.Target.Look(ctx, name) })
}

func (f *faultyTarget) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	return operation(f.faults, "look", func() (*backend.Standing, error) { return f.Target.LookByID(ctx, id) })
}

func (f *faultyTarget) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	return operation(f.faults, "current", func() (*backend.Version, error) { return f.Target.Current(ctx, s) })
}

func (f *faultyTarget) Version(ctx context.Context, id string) (*backend.Version, error) {
	return operation(f.faults, "version", func() (*backend.Version, error) { return f.Target.Version(ctx, id) })
}

func (f *faultyTarget) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		if err, _ := f.spoil("versions"); err != nil {
			yield(nil, err)
			return
		}
		f.Target.Versions(ctx, s)(yield)
	}
}

func (f *faultyTarget) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	return operation(f.faults, "read", func() (io.ReadCloser, error) {
		body, err := f.Target.Read(ctx, v)
		if err != nil || f.n != f.at {
			return body, err
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		given := text
		switch f.fault {
		case "cut":
			given = text[:100]
		case "longer":
			given = append(bytes.Clone(text), ' ')
		case "altered":
			given = bytes.Replace(text, []byte("a"), []byte("b"), 1)
		}
		f.misread = bytes.Equal(text, sweepSnapshot) && !bytes.Equal(given, text)
		return io.NopCloser(bytes.NewReader(given)), nil
	})
}

func (f *faultyTarget) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	return &faultyWriter{Writer: f.Target.Writer(s, o), f: f.faults, lost: o.Lost, onLost: o.OnLost}
}

type faultyWriter struct {
	backend.Writer
	f      *faults
	lost   int
	onLost func()
}

func (w *faultyWriter) LostRequests() int { return w.lost }

func (w *faultyWriter) Lock(ctx context.Context, sending lockwait.Sending) error {
	_, err := operation(w.f, "lock", func() (struct{}, error) { return struct{}{}, w.Writer.Lock(ctx, sending) })
	if backend.CodeOf(err) == backend.Ambiguous {
		w.lost++
		w.onLost()
		return errors.Join(lockwait.ErrUnsure, err)
	}
	return err
}

func (w *faultyWriter) Holder(ctx context.Context, sending lockwait.Sending) (lockwait.Holder, error) {
	h, err := operation(w.f, "holder", func() (lockwait.Holder, error) { return w.Writer.Holder(ctx, sending) })
	return h, unsure(err)
}

func (w *faultyWriter) Unlock(ctx context.Context, sending lockwait.Sending) error {
	_, err := operation(w.f, "unlock", func() (struct{}, error) { return struct{}{}, w.Writer.Unlock(ctx, sending) })
	return unsure(err)
}

func unsure(err error) error {
	if slices.Contains([]backend.Code{backend.Ambiguous, backend.Unreachable}, backend.CodeOf(err)) {
		return errors.Join(lockwait.ErrUnsure, err)
	}
	return err
}

func (w *faultyWriter) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	return operation(w.f, "write", func() (*backend.Version, error) { return w.Writer.Write(ctx, p) })
}
