package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tfhaul/backend"
)

// lockPlace is one place for a lock: an object or an item of a table. A state may be locked
// in several.
type lockPlace interface {
	// read returns nil if there is no lock.
	read(ctx context.Context) (*heldLock, error)
	// write creates the lock's description unless one exists, and returns errLockHeld if
	// there was one. With an error, maybe reports whether the lock may have been created.
	write(ctx context.Context, description []byte) (maybe bool, err error)
	// remove deletes the lock if it is still the one that read returned with tag, and
	// otherwise returns errLockHeld.
	remove(ctx context.Context, tag string) error
	// path returns where the lock is, for messages; lift returns the command that removes
	// it by hand.
	path() string
	lift() string
}

// errLockHeld is returned by a lockPlace when the condition of a write or removal was not
// met.
var errLockHeld = errors.New("the lock already exists, or is a different one")

// lockPlaces returns where Terraform's s3 backend looks for this state's lock, in the same
// order.
func (o *object) lockPlaces() []lockPlace {
	var places []lockPlace
	if !o.bucket.noLockFile {
		places = append(places, &lockObject{state: o})
	}
	if o.bucket.table != nil {
		places = append(places, &lockItem{table: o.bucket.table, state: o})
	}
	return places
}

// lease is a lock that we hold on a state in a bucket.
type lease struct {
	state *object
	lock  backend.Lock
}

func (l *lease) Lock() backend.Lock { return l.lock }

// TakeLock writes Terraform's lock document to <key>.tflock unless it exists (Terraform
// 1.10, use_lockfile = true), and with ?lock-table= also to the DynamoDB table
// (dynamodb_table).
func (o *object) TakeLock(ctx context.Context, r backend.LockRequest) (backend.Lease, error) {
	doc := backend.NewLockInfo(r, o.lockID())
	places := o.lockPlaces()
	held := &lease{state: o, lock: backend.Lock{
		ID: doc.ID, Who: doc.Who, Operation: doc.Operation, Info: doc.Info, Created: doc.Created,
		Path: places[0].path(),
	}}
	for i, place := range places {
		maybe, err := o.take(ctx, place, doc)
		if err == nil {
			continue
		}
		written := places[:i]
		if maybe {
			written = places[:i+1]
		}
		// Remove what was written, even after an interrupt.
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockCleanup)
		defer cancel()
		if left := o.free(cleanup, written, doc.ID); left != nil && !backend.IsLockLost(left) {
			return nil, &backend.LockLeftError{Address: o.address, Lift: liftCommands(written), Err: err}
		}
		return nil, err
	}
	return held, nil
}

// lockCleanup is how long TakeLock tries to remove what it wrote.
const lockCleanup = 30 * time.Second

// take writes the lock in one place. If the response to a write is lost, the SDK may repeat
// it and then find our own lock. With an error, maybe reports whether the lock may have
// been created.
func (o *object) take(ctx context.Context, place lockPlace, doc *backend.LockInfo) (maybe bool, err error) {
	for range lockAttempts {
		maybe, err := place.write(ctx, doc.Marshal())
		if !errors.Is(err, errLockHeld) {
			return maybe, err
		}
		held, err := place.read(ctx)
		switch {
		case err != nil:
			return true, err
		case held == nil: // released in between
		case held.lock.ID == doc.ID:
			return false, nil
		default:
			return false, &backend.LockedError{Address: o.address, Lock: held.lock}
		}
	}
	return false, o.uncreatable(place)
}

// lockAttempts is how often to try to create a lock. S3 answers 409 to concurrent writes,
// although none of them may remain.
const lockAttempts = 3

// uncreatable returns the error for a lock that the server does not let us create.
func (o *object) uncreatable(place lockPlace) error {
	return fmt.Errorf("cannot lock %q: the server refuses to create the lock %s, although it does not exist; it may treat a deleted lock as an existing one, and such a bucket can be locked only in a DynamoDB table (%s=NAME&%s=false)",
		o.address, place.path(), paramLockTable, paramLockFile)
}

func (o *object) FreeLock(ctx context.Context, id string) error {
	err := o.free(ctx, o.lockPlaces(), id)
	var lost *backend.LockLostError
	if errors.As(err, &lost) && lost.Lock == nil {
		return nil
	}
	return err
}

func (l *lease) Release(ctx context.Context) error {
	err := l.state.free(ctx, l.state.lockPlaces(), l.lock.ID)
	if err != nil && !backend.IsLockLost(err) {
		return &backend.LockLeftError{Address: l.state.address, Lift: liftCommands(l.state.lockPlaces()), Err: err}
	}
	return err
}

// free removes the lock with this ID from every place, continuing after a failure.
func (o *object) free(ctx context.Context, places []lockPlace, id string) error {
	var failed, lost error
	for _, place := range places {
		freed, holder, err := freeOne(ctx, place, id)
		switch {
		case err != nil:
			failed = cmp.Or(failed, err)
		case !freed && lost == nil:
			lost = &backend.LockLostError{Address: o.address, Lock: holder.lockOrNil()}
		}
	}
	return cmp.Or(failed, lost)
}

// freeOne removes the lock with this ID from one place, or reports whose lock is there
// instead.
func freeOne(ctx context.Context, place lockPlace, id string) (freed bool, holder *heldLock, err error) {
	holder, err = readWhole(ctx, place)
	if err != nil || holder == nil || holder.lock.ID != id {
		return false, holder, err
	}
	if err = place.remove(ctx, holder.tag); !errors.Is(err, errLockHeld) {
		return err == nil, nil, err
	}
	// It has changed: either it is gone, as after a removal whose response was lost, or it
	// is someone else's.
	holder, err = readWhole(ctx, place)
	return err == nil && holder == nil, holder, err
}

func (l *lease) Leave() string {
	stops := "terraform with use_lockfile = true (1.10 or later)"
	switch {
	case l.state.bucket.noLockFile:
		stops = "terraform with this dynamodb_table"
	case l.state.bucket.table != nil:
		stops += " or with this dynamodb_table"
	}
	return fmt.Sprintf("The lock %s was left on %q: it stops every %s that would write there. To remove it: terraform force-unlock %s in the old configuration, or %s.",
		l.lock.ID, l.state.address, stops, l.lock.ID, liftCommands(l.state.lockPlaces()))
}

func liftCommands(places []lockPlace) string {
	commands := make([]string, len(places))
	for i, place := range places {
		commands[i] = place.lift()
	}
	return strings.Join(commands, "; ")
}
