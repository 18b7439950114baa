package azurerm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// A lock is a lease of the state's blob that never expires. Its description is in the blob's
// metadata (internal/backend/remote-state/azure, RemoteClient.Lock). A lease does not change
// the blob's ETag, and setting metadata does.
//
// Terraform takes the lease and then describes it. If it is killed in between, it leaves a
// lease that terraform force-unlock cannot release. tfhaul writes the description first, and
// takes the lease on the condition that the blob still has it. To unlock, it ends the lease
// first and then removes the description. So what a killed tfhaul leaves is either a lease
// with a description, or a description without a lease, which Terraform ignores.

// lockMetadata is the name of the metadata with the description, in base64.
const lockMetadata = "terraformlockid"

// listedLockFresh is how long to rely on the locks that a search listed: long enough to plan
// hundreds of states without a request for each, too short for a haul's later moves.
const listedLockFresh = time.Minute

// lockAttempts is how often to try to take a lock while the blob changes.
const lockAttempts = 3

// lockPath returns how Terraform names the blob in a lock.
func (b *blob) lockPath() string { return b.container.url.container + "/" + b.key }

// Holder implements backend.State. Within a minute of the search that found this state, it
// uses the search's listing if that has no lock.
func (b *blob) Holder(ctx context.Context) (*backend.Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b.at != (selection{}) { // an older version cannot be locked
		return nil, nil
	}
	if b.stored != nil && !b.stored.leased && time.Since(b.listed) <= listedLockFresh {
		return nil, nil
	}
	lock, _, err := b.readLock(ctx)
	return lock, err
}

// readLock returns the lock, or nil if the blob is not locked, and the blob's properties. A
// lock has an ID only if that is the ID of the lease.
func (b *blob) readLock(ctx context.Context) (*backend.Lock, *properties, error) {
	now, err := b.container.stat(ctx, b.lockRequest("read the lock of"), b.key, selection{}, "")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot tell whether the state is locked: %w", err)
	}
	if now == nil || !now.leased {
		return nil, now, nil
	}
	lock := &backend.Lock{Path: b.lockPath()}
	if text := description(now); text != nil {
		lock.Describe(text)
	}
	has, err := b.hasLease(ctx, lock.ID)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("cannot tell who has locked the state: %w", err)
	case has:
		return lock, now, nil
	}
	if now, err = b.stat(ctx, selection{}); err == nil && (now == nil || !now.leased) {
		return nil, now, nil // released in between
	}
	// The blob has another lease than the one described, or one without a description.
	return &backend.Lock{Path: b.lockPath(), Info: undescribed, Removal: "break the lease with: " + b.breakCommand()}, now, err
}

// undescribed describes a lease whose description is missing, or is that of another one.
const undescribed = "the blob has a lease without a description: another program is just taking the lock, or was killed while it did, and then terraform force-unlock cannot release it"

// description returns the description in a blob's metadata, or nil.
func description(p *properties) []byte {
	text, err := base64.StdEncoding.DecodeString(p.metadata[lockMetadata])
	if err != nil || len(text) == 0 || len(text) > backend.MaxLockInfo {
		return nil
	}
	return text
}

// leaseID matches the IDs that a lease can have.
var leaseID = regexp.MustCompile(`(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// hasLease reports whether the blob has the lease with this ID.
func (b *blob) hasLease(ctx context.Context, id string) (bool, error) {
	if !leaseID.MatchString(id) {
		return false, nil
	}
	now, err := b.container.stat(ctx, b.lockRequest("read the lock of"), b.key, selection{}, id)
	if isNotOurs(err) {
		return false, nil
	}
	return now != nil && now.leased, err
}

func (b *blob) lockRequest(doing string) request {
	return request{doing: doing, address: b.address, needs: mayRead}
}

// errLockHeld is returned when another program has the lock.
var errLockHeld = errors.New("the blob has a lease")

// writeLock takes the lock if no one has it. created reports whether it has created an empty
// blob for that, as Terraform does. Only the request for the lease is never repeated: after an
// unclear response the lock may be ours.
func (b *blob) writeLock(ctx context.Context, id string, text []byte) (created bool, err error) {
	r := request{doing: "lock", address: b.address, needs: mayWrite}
	value := base64.StdEncoding.EncodeToString(text)
	for range lockAttempts {
		etag := ""
		now, err := b.container.stat(ctx, r, b.key, selection{}, "")
		switch {
		case err != nil:
			return created, err
		case now != nil && now.leased:
			return created, errLockHeld
		case now != nil:
			metadata := map[string]string{lockMetadata: value}
			for name, other := range now.metadata {
				if name != lockMetadata {
					metadata[name] = other
				}
			}
			etag, err = b.container.setMetadata(ctx, r, b.key, now.etag, metadata)
		default:
			var empty *properties
			empty, err = b.container.put(ctx, r, upload{key: b.key, metadata: map[string]string{lockMetadata: value}, md5: md5Of(nil)})
			if err == nil {
				etag, created = empty.etag, true
			}
		}
		if isLeased(err) {
			return created, errLockHeld
		}
		if isUnmet(err) || err != nil && mayHaveHappened(err) && ctx.Err() == nil && backend.CodeOf(err) != backend.Unreachable {
			continue // it changed, or a description of ours may be there
		}
		if err == nil {
			err = b.container.acquireLease(ctx, r, b.key, etag, id)
			switch {
			case isLeased(err):
				return created, errLockHeld
			case isUnmet(err):
				continue
			case err != nil:
				err = &leaseError{err}
			}
		}
		return created, err
	}
	return created, b.uncreatable()
}

// A leaseError is the failure of the request that takes the lease.
type leaseError struct{ error }

func (e *leaseError) Unwrap() error { return e.error }

// mayBeLocked reports whether a failed writeLock may have taken the lock.
func mayBeLocked(err error) bool {
	_, leasing := errors.AsType[*leaseError](err)
	return leasing && mayHaveHappened(err)
}

// uncreatable returns the error for a blob that keeps changing.
func (b *blob) uncreatable() error {
	return fmt.Errorf("cannot lock %q: another program keeps changing the blob: try again", b.address)
}

// lease is a lock that we hold on a state in a container.
type lease struct {
	state *blob
	lock  backend.Lock
}

func (l *lease) Lock() backend.Lock { return l.lock }

// lockCleanup is how long TakeLock tries to find out what became of its lock.
const lockCleanup = 30 * time.Second

// TakeLock implements backend.Lockable.
func (b *blob) TakeLock(ctx context.Context, r backend.LockRequest) (backend.Lease, error) {
	doc := backend.NewLockInfo(r, b.lockPath())
	held := &lease{state: b, lock: backend.Lock{ID: doc.ID, Who: doc.Who, Operation: doc.Operation, Info: doc.Info, Created: doc.Created, Path: b.lockPath()}}
	for range lockAttempts {
		_, err := b.writeLock(ctx, doc.ID, doc.Marshal())
		if err == nil {
			return held, nil
		}
		if !errors.Is(err, errLockHeld) && !mayBeLocked(err) {
			return nil, err
		}
		// Find out whose lock it is, even after an interrupt.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockCleanup)
		defer cancel()
		there, _, unread := b.readLock(after)
		switch {
		case unread != nil && errors.Is(err, errLockHeld):
			return nil, unread
		case unread != nil:
			return nil, &backend.LockLeftError{Address: b.address, Lift: b.breakCommand(), Err: err}
		case there != nil && there.ID == doc.ID:
			if ctx.Err() == nil {
				return held, nil
			}
			if left := held.Release(after); left != nil && !backend.IsLockLost(left) {
				return nil, left
			}
			return nil, err
		case there != nil:
			return nil, &backend.LockedError{Address: b.address, Lock: *there}
		case !errors.Is(err, errLockHeld):
			return nil, err
		} // released in between
	}
	return nil, b.uncreatable()
}

// FreeLock implements backend.Lockable.
func (b *blob) FreeLock(ctx context.Context, id string) error {
	err := b.free(ctx, id)
	if lost, ok := errors.AsType[*backend.LockLostError](err); ok && lost.Lock == nil {
		return nil
	}
	return err
}

// Release implements backend.Lease.
func (l *lease) Release(ctx context.Context) error {
	err := l.state.free(ctx, l.lock.ID)
	if err != nil && !backend.IsLockLost(err) {
		return &backend.LockLeftError{Address: l.state.address, Lift: l.state.breakCommand(), Err: err}
	}
	return err
}

// free ends the lease with this ID, and then removes its description. The server ends no other
// lease.
func (b *blob) free(ctx context.Context, id string) error {
	r := request{doing: "unlock", address: b.address, needs: mayWrite}
	err := b.container.releaseLease(ctx, r, b.key, id)
	gone := isNotOurs(err) || backend.CodeOf(err) == backend.NoState
	if err != nil && !gone {
		if !mayHaveHappened(err) {
			return err
		}
		has, unread := b.hasLease(ctx, id)
		if has || unread != nil {
			return err
		}
		gone = false // the release took effect
	}
	if gone {
		there, now, err := b.readLock(ctx)
		if err != nil {
			return err
		}
		if there == nil {
			b.undescribe(ctx, now, id)
		}
		return &backend.LockLostError{Address: b.address, Lock: there}
	}
	if now, err := b.stat(ctx, selection{}); err == nil {
		b.undescribe(ctx, now, id)
	}
	return nil
}

// undescribe removes the description of a lease that has ended. If that fails, the description
// stays until the next lock, and nothing reads it: it counts only with a lease.
func (b *blob) undescribe(ctx context.Context, now *properties, id string) {
	if now == nil || now.leased {
		return
	}
	var was backend.Lock
	if text := description(now); text != nil {
		was.Describe(text)
	}
	if was.ID != id {
		return
	}
	metadata := map[string]string{}
	for name, value := range now.metadata {
		if name != lockMetadata {
			metadata[name] = value
		}
	}
	r := request{doing: "remove the description of the lock of", address: b.address, needs: mayWrite}
	_, _ = b.container.setMetadata(ctx, r, b.key, now.etag, metadata) // see above
}

// Leave implements backend.Lease.
func (l *lease) Leave() string {
	return fmt.Sprintf("The lock %s was left on %q: it stops every terraform that would write there. To remove it: terraform force-unlock %[1]s in the old configuration, or %[3]s.",
		l.lock.ID, l.state.address, l.state.breakCommand())
}

// breakCommand returns the command that ends any lease by hand.
func (b *blob) breakCommand() string {
	return "az storage blob lease break --account-name " + b.container.account + " --container-name " + plainwords.ShellWord(b.container.url.container) + " --blob-name " + plainwords.ShellWord(b.key)
}
