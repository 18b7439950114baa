package audit

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tfhaul/backend"
	"tfhaul/crash"
	"tfhaul/statefile"
)

// A role is what a file means to an audit.
type role int

const (
	roleState   role = iota
	roleErrored      // errored.tfstate: read like a state, and compared with the one next to it
	roleBackup       // only its serial and lineage matter
)

// A file is a file that the audit reads, with what it learned.
type file struct {
	object backend.State
	role   role
	Snapshot

	refusal      *statefile.Error // why it is not a state
	unreadable   error            // why it could not be read
	lockErr      error            // why it is unknown whether it is locked
	digest       string           // the digest that the backend recorded with the last write
	digestErr    error
	changed      *backend.ChangedError // how it changed while it was being read
	plainSecrets []plainSecret         // outputs that look like secrets
	billable     int

	// Why Terraform cannot use the state or treats its providers as different ones, and
	// what to do.
	unusable, openTofu, legacy [2]string

	// drops reports whether Terraform drops resources of the state.
	drops bool
}

func newFile(object backend.State, role role) *file {
	f := &file{object: object, role: role}
	f.Source, f.Workspace = backend.Printable(object.Address()), object.Place().Workspace
	f.Snapshot.Findings, f.Providers = []Code{}, []Provider{}
	return f
}

// read reads all files, local and remote ones at the same time. It returns ctx's error,
// or that of a server that would fail all other requests, too.
func (t *taking) read(ctx context.Context) error {
	var local, remote []int
	for i, f := range t.files {
		if f.object.Traits().Local {
			local = append(local, i)
		} else {
			remote = append(remote, i)
		}
	}
	p := &progress{tell: t.Progress, total: len(t.files)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer crash.Catch(ctx)
		return t.readSome(ctx, local, t.Parallelism, p)
	})
	group.Go(func() error {
		defer crash.Catch(ctx)
		// What the search saw of locks saves a request per file, but only for a short
		// time, so use it first.
		if err := each(ctx, remote, t.RemoteParallelism, func(ctx context.Context, i int) error { return t.files[i].readLock(ctx) }); err != nil {
			return err
		}
		return t.readSome(ctx, remote, t.RemoteParallelism, p)
	})
	return group.Wait()
}

func (t *taking) readSome(ctx context.Context, files []int, parallelism int, p *progress) error {
	return each(ctx, files, parallelism, func(ctx context.Context, i int) error {
		defer p.step()
		f := t.files[i]
		if f.object.Traits().Local {
			if err := f.readLock(ctx); err != nil {
				return err
			}
		}
		ids := t.ids.collector()
		err := f.read(ctx, ids, t.Now)
		t.ids.merge(i, ids)
		return err
	})
}

// each calls do for the files, with this parallelism, until one call fails. Reading needs a
// deep stack, which grows once per worker and not once per file.
func each(ctx context.Context, files []int, parallelism int, do func(context.Context, int) error) error {
	group, running := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(parallelism, len(files)) {
		group.Go(func() error {
			defer crash.Catch(ctx)
			for running.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(files) {
					return nil
				}
				if err := do(running, files[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmp.Or(group.Wait(), context.Cause(ctx))
}

// A progress counts files.
type progress struct {
	mu          sync.Mutex
	tell        func(done, total int)
	done, total int
}

func (p *progress) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done++; p.tell != nil {
		p.tell(p.done, p.total)
	}
}

// readLock asks who holds the source's lock.
func (f *file) readLock(ctx context.Context) error {
	if f.role != roleState {
		return nil
	}
	f.Lock, f.lockErr = f.object.Holder(ctx)
	return hopeless(ctx, f.lockErr)
}

// recently is how long a file must not have been written before it is opened, to count as
// not being written while it is read.
const recently = time.Minute

// read reads the file to its end and collects what identifies its objects. It returns
// only hopeless errors.
func (f *file) read(ctx context.Context, ids *collector, now time.Time) error {
	opened := time.Now()
	body, version, err := f.object.Open(ctx, nil)
	if err != nil {
		return f.cannotRead(ctx, err)
	}
	if f.role == roleBackup {
		return f.readHeader(ctx, body)
	}
	snapshot, err := statefile.Inspect(&interruptible{ctx, body}, f.visitor(ids.resource))
	if closed := body.Close(); err == nil && closed != nil {
		err = closed
	}
	if snapshot.MD5 == "" { // the file was refused before its end
		snapshot.Size = version.Size
	}
	f.fill(snapshot)
	f.unusable[0], f.unusable[1], _ = snapshot.Unusable()
	f.openTofu[0], f.openTofu[1] = snapshot.OpenTofuProviders()
	f.legacy[0], f.legacy[1] = snapshot.LegacyProviders()
	f.drops = snapshot.Drops()
	f.Kind = string(statefile.KindState)
	if f.role == roleErrored {
		f.Kind = string(statefile.KindErrored)
	}
	if !version.Created.IsZero() {
		f.Modified = version.Created.UTC()
		f.AgeSeconds = int64(max(0, now.Sub(version.Created)).Seconds())
	}
	switch {
	case err != nil && !errors.As(err, &f.refusal):
		ids.found = ids.found[:0]
		return f.cannotRead(ctx, err)
	case f.refusal != nil:
		f.billable = 0
		f.Kind, f.Code = string(f.refusal.Kind), f.refusal.Code()
		f.plainSecrets = nil
		ids.found = ids.found[:0]
	case f.role == roleErrored:
		f.Code = string(CodeErrored)
	case f.unusable[0] != "":
		f.Code = string(CodeUnusable)
	}
	f.Billable = f.billable
	version.MD5 = f.MD5
	if f.refusal != nil || opened.Sub(version.Created) < recently {
		if err := f.object.Check(ctx, version); err != nil && !errors.As(err, &f.changed) {
			ids.found = ids.found[:0]
			return f.cannotRead(ctx, err)
		}
	}
	return f.readDigest(ctx)
}

// headerRoom is more than the size of the part with the serial and lineage, in bytes:
// Terraform writes them in the first five lines.
const headerRoom = 4 << 10

// readHeader reads the beginning of a backup, which has the serial and lineage. A backup
// without them there is ignored.
func (f *file) readHeader(ctx context.Context, body io.ReadCloser) error {
	snapshot, err := statefile.Read(&interruptible{ctx, io.LimitReader(body, headerRoom)})
	_ = body.Close() // the beginning was read
	f.fill(snapshot)
	if err != nil && !errors.As(err, &f.refusal) {
		return f.cannotRead(ctx, err)
	}
	return nil
}

// readDigest asks for the digest that the backend recorded.
func (f *file) readDigest(ctx context.Context) error {
	digested, ok := f.object.(backend.Digested)
	if !ok || f.role != roleState {
		return nil
	}
	f.digest, f.digestErr = digested.Digest(ctx)
	return hopeless(ctx, f.digestErr)
}

// cannotRead records why, and returns the error if all other reads would fail the same
// way.
func (f *file) cannotRead(ctx context.Context, err error) error {
	f.unreadable, f.Kind, f.Code = err, KindUnreadable, string(CodeUnreadable)
	return hopeless(ctx, err)
}

// hopeless returns err if reading on is pointless, and nil otherwise.
func hopeless(ctx context.Context, err error) error {
	var server *backend.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &server) && server.Everywhere():
		return err
	}
	return nil
}

// interruptible ends a long read when ctx ends.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
