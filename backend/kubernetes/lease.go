package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// leaseName returns the name of the Lease that locks a state (RemoteClient.createLeaseName).
func (l *location) leaseName() string { return "lock-" + secretName(l.suffix, l.workspace, 0) }

// lockAttempts is how often to try to take a lock that was free when it was read.
const lockAttempts = 3

// A leaseObject is the Lease of a state. The state is locked while it has a holder: Terraform
// leaves the Lease when it unlocks.
type leaseObject struct {
	metadata metadata
	holder   *string // nil if it is free
	raw      json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *leaseObject) UnmarshalJSON(raw []byte) error {
	var document struct {
		Metadata metadata `json:"metadata"`
		Spec     struct {
			Holder *string `json:"holderIdentity"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return err
	}
	o.metadata, o.holder, o.raw = document.Metadata, document.Spec.Holder, append(json.RawMessage(nil), raw...)
	return nil
}

// held reports whether the lock is held.
func (o *leaseObject) held() bool { return o != nil && o.holder != nil }

// lock describes the holder.
func (s *state) lock(o *leaseObject) *backend.Lock {
	lock := &backend.Lock{ID: *o.holder, Path: s.lockPath()}
	if text := o.metadata.Annotations[lockAnnotation]; text != "" && len(text) <= backend.MaxLockInfo {
		lock.Describe([]byte(text))
		lock.ID = *o.holder // which terraform force-unlock compares
	}
	return lock
}

// lockPath names the Lease for messages.
func (s *state) lockPath() string {
	return Scheme + "://" + s.at.namespace + "/leases/" + s.at.leaseName()
}

func (s *state) leaseRequest(doing, verb string) request {
	r := request{doing: doing, address: s.address, verb: verb, resource: leases, namespace: s.at.namespace, name: s.at.leaseName()}
	if verb == "create" {
		r.name = ""
	}
	return r
}

// readLease returns nil if there is no Lease.
func (s *state) readLease(ctx context.Context) (*leaseObject, error) {
	o := &leaseObject{}
	r := s.leaseRequest("read the lock of", "get")
	err := s.cluster.ask(ctx, r, o)
	switch {
	case backend.CodeOf(err) == backend.NoState:
		return nil, nil
	case err != nil:
		return nil, err
	case o.metadata.Name != r.name || o.metadata.ResourceVersion == "":
		return nil, s.cluster.explain(ctx, r, &unreadableAnswer{"the response is about another Lease"})
	}
	return o, nil
}

// Holder implements backend.State.
func (s *state) Holder(ctx context.Context) (*backend.Lock, error) {
	o, err := s.readLease(ctx)
	if err != nil || !o.held() {
		return nil, err
	}
	return s.lock(o), nil
}

// errLockHeld is returned when the lock is held, or changed after it was read.
var errLockHeld = errors.New("the lock is held, or changed meanwhile")

// writeLease takes the lock with this description, if it still is as it was read: it has no Lease
// if o is nil. Terraform does the same.
func (s *state) writeLease(ctx context.Context, o *leaseObject, id string, text []byte) error {
	var r request
	if o == nil {
		r = s.leaseRequest("lock", "create")
		r.body = map[string]any{
			"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
			"metadata": map[string]any{
				"name": s.at.leaseName(), "namespace": s.at.namespace, "labels": s.at.allLabels(),
				"annotations": map[string]string{lockAnnotation: string(text)},
			},
			"spec": map[string]any{"holderIdentity": id},
		}
	} else {
		r = s.leaseRequest("lock", "update")
		var err error
		if r.body, err = o.with(&id, text); err != nil {
			return err
		}
	}
	return s.changeLease(ctx, r)
}

// freeLease releases the lock if the Lease still is as it was read.
func (s *state) freeLease(ctx context.Context, o *leaseObject) error {
	r := s.leaseRequest("unlock", "update")
	var err error
	if r.body, err = o.with(nil, nil); err != nil {
		return err
	}
	return s.changeLease(ctx, r)
}

func (s *state) changeLease(ctx context.Context, r request) error {
	err := s.cluster.ask(ctx, r, &leaseObject{})
	if isUnmet(err) {
		return errLockHeld
	}
	return err
}

// with returns the Lease with another holder, or without one, and everything else as it is. Its
// resourceVersion is the condition of an update.
func (o *leaseObject) with(holder *string, text []byte) (any, error) {
	document, err := editable(o.raw, "Lease", "coordination.k8s.io/v1")
	if err != nil {
		return nil, err
	}
	within := func(in map[string]any, name string) map[string]any {
		inner, _ := in[name].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
		}
		in[name] = inner
		return inner
	}
	spec, annotations := within(document, "spec"), within(within(document, "metadata"), "annotations")
	delete(annotations, lockAnnotation)
	delete(spec, "holderIdentity")
	if holder != nil {
		spec["holderIdentity"], annotations[lockAnnotation] = *holder, string(text)
	}
	return document, nil
}

// lease is a lock that we hold on a state.
type lease struct {
	state *state
	lock  backend.Lock
}

func (l *lease) Lock() backend.Lock { return l.lock }

// lockCleanup is how long TakeLock tries to find out what became of its lock.
const lockCleanup = 30 * time.Second

// TakeLock implements backend.Lockable.
func (s *state) TakeLock(ctx context.Context, r backend.LockRequest) (backend.Lease, error) {
	doc := backend.NewLockInfo(r, "") // Terraform's backend of this kind writes no path
	held := &lease{state: s, lock: backend.Lock{ID: doc.ID, Who: doc.Who, Operation: doc.Operation, Info: doc.Info, Created: doc.Created, Path: s.lockPath()}}
	for range lockAttempts {
		o, err := s.readLease(ctx)
		if err != nil {
			return nil, err
		}
		if o.held() {
			return nil, &backend.LockedError{Address: s.address, Lock: *s.lock(o)}
		}
		if err = s.writeLease(ctx, o, doc.ID, doc.Marshal()); err == nil {
			return held, nil
		}
		if !errors.Is(err, errLockHeld) && !mayHaveHappened(err) {
			return nil, err
		}
		// Find out whose lock it is, even after an interrupt.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockCleanup)
		defer cancel()
		now, unread := s.readLease(after)
		switch {
		case unread != nil && errors.Is(err, errLockHeld):
			return nil, unread
		case unread != nil:
			return nil, &backend.LockLeftError{Address: s.address, Lift: s.liftCommand(), Err: err}
		case now.held() && *now.holder == doc.ID:
			if ctx.Err() == nil {
				return held, nil
			}
			if left := held.Release(after); left != nil && !backend.IsLockLost(left) {
				return nil, left
			}
			return nil, err
		case now.held():
			return nil, &backend.LockedError{Address: s.address, Lock: *s.lock(now)}
		case !errors.Is(err, errLockHeld):
			return nil, err
		} // released in between
	}
	return nil, s.untakable()
}

// untakable returns the error for a lock that keeps changing.
func (s *state) untakable() error {
	return fmt.Errorf("cannot lock %q: its Lease %s changes between reading and writing it, although nobody holds it; another program may be taking and releasing it: try again", s.address, s.at.leaseName())
}

// FreeLock implements backend.Lockable.
func (s *state) FreeLock(ctx context.Context, id string) error {
	err := s.free(ctx, id)
	if lost, ok := errors.AsType[*backend.LockLostError](err); ok && lost.Lock == nil {
		return nil
	}
	return err
}

// Release implements backend.Lease.
func (l *lease) Release(ctx context.Context) error {
	err := l.state.free(ctx, l.lock.ID)
	if err != nil && !backend.IsLockLost(err) {
		return &backend.LockLeftError{Address: l.state.address, Lift: l.state.liftCommand(), Err: err}
	}
	return err
}

// free releases the lock with this ID. Whether it still is that one is checked both here and by
// the server. A Lease that changed without a new holder is released again.
func (s *state) free(ctx context.Context, id string) error {
	var unclear error
	for range lockAttempts {
		o, err := s.readLease(ctx)
		switch {
		case err != nil:
			return err
		case !o.held() && unclear != nil && !errors.Is(unclear, errLockHeld):
			return nil // by the request whose response was lost
		case !o.held():
			return &backend.LockLostError{Address: s.address}
		case *o.holder != id:
			return &backend.LockLostError{Address: s.address, Lock: s.lock(o)}
		}
		err = s.freeLease(ctx, o)
		if err == nil || !errors.Is(err, errLockHeld) && !mayHaveHappened(err) {
			return err
		}
		unclear = err
	}
	return unclear
}

// Leave implements backend.Lease.
func (l *lease) Leave() string {
	return fmt.Sprintf("The lock %s was left on %q: it stops every terraform that would write there. To remove it: terraform force-unlock %[1]s in the old configuration, or %[3]s.",
		l.lock.ID, l.state.address, l.state.liftCommand())
}

// liftCommand returns the command that removes the lock by hand.
func (s *state) liftCommand() string {
	return s.cluster.kubectl + " delete lease --namespace " + s.at.namespace + " " + plainwords.ShellWord(s.at.leaseName())
}
