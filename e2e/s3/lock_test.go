package s3_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"tfhaul/backend"
)

// takeLock takes the lock of o as a haul would.
func takeLock(t *testing.T, o backend.State) backend.Lease {
	t.Helper()
	lease, err := o.(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{
		Operation: "OperationTypeMigrate", Info: "haul h-7 moves it to app.terraform.io/acme/network", Who: "ann@laptop", Version: "1.2.3",
	})
	if err != nil {
		t.Fatalf("TakeLock(%q): %v", o.Address(), err)
	}
	return lease
}

func isLost(err error) bool {
	var lost *backend.LockLostError
	return errors.As(err, &lost)
}

func TestTakingTheLockWritesTerraformsDocument(t *testing.T) {
	b := gateway.bucket(t)
	b.put("net/a b.tfstate", []byte("{}"))
	o := findOne(t, b.ref("net/a%20b.tfstate"))
	before := time.Now()
	lease := takeLock(t, o)

	var doc map[string]any
	if err := json.Unmarshal(b.get("net/a b.tfstate.tflock"), &doc); err != nil {
		t.Fatal(err)
	}
	created, err := time.Parse(time.RFC3339, doc["Created"].(string))
	if err != nil || created.Before(before.Add(-time.Second)) || created.After(time.Now().Add(time.Second)) {
		t.Errorf("Created is %v (%v)", doc["Created"], err)
	}
	for field, want := range map[string]string{
		"ID": lease.Lock().ID, "Operation": "OperationTypeMigrate", "Info": "haul h-7 moves it to app.terraform.io/acme/network",
		"Who": "ann@laptop", "Version": "1.2.3", "Path": b.name + "/net/a b.tfstate",
	} {
		if doc[field] != want {
			t.Errorf("%s is %q, want %q", field, doc[field], want)
		}
	}
	if len(doc["ID"].(string)) != 36 {
		t.Errorf("the ID is %q, which is not a UUID", doc["ID"])
	}
	lock, err := o.Holder(t.Context())
	if err != nil || lock == nil || *lock != lease.Lock() {
		t.Errorf("Lock = %+v, %v\nwant   %+v", lock, err, lease.Lock())
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := b.get("net/a b.tfstate.tflock"); left != nil {
		t.Error("the lock still exists after the release")
	}
	if got := b.get("net/a b.tfstate"); string(got) != "{}" {
		t.Error("the state has changed")
	}
}

func TestOneOfManyGetsTheLock(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", []byte("{}"))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var leases []backend.Lease
	for range 8 {
		o := findOne(t, b.ref("a.tfstate"))
		wg.Go(func() {
			lease, err := o.(backend.Lockable).TakeLock(context.WithoutCancel(t.Context()), backend.LockRequest{Operation: "OperationTypeMigrate"})
			var held *backend.LockedError
			switch {
			case err == nil:
				mu.Lock()
				leases = append(leases, lease)
				mu.Unlock()
			case !errors.As(err, &held):
				t.Errorf("TakeLock: %v, want a *LockedError", err)
			}
		})
	}
	wg.Wait()
	if len(leases) != 1 {
		t.Fatalf("%d hold the lock, want 1", len(leases))
	}
	if err := leases[0].Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReleaseLeavesAnothersLockAlone(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", []byte("{}"))
	o := findOne(t, b.ref("a.tfstate"))
	lease := takeLock(t, o)
	// Another user removes the lock by force and takes it.
	b.remove("a.tfstate.tflock")
	theirs := []byte(`{"ID":"theirs","Who":"bob@build","Operation":"OperationTypeApply"}`)
	b.put("a.tfstate.tflock", theirs)

	err := lease.Release(t.Context())
	if !isLost(err) || !strings.Contains(err.Error(), "bob@build") {
		t.Errorf("Release: %v, want a *LockLostError that names bob@build", err)
	}
	if !bytes.Equal(b.get("a.tfstate.tflock"), theirs) {
		t.Error("another user's lock has changed")
	}
}

func TestLockOfADeadProcessIsFreedByID(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a.tfstate", []byte("{}"))
	id := takeLock(t, findOne(t, b.ref("a.tfstate"))).Lock().ID

	o := findOne(t, b.ref("a.tfstate")).(backend.Lockable)
	if err := o.FreeLock(t.Context(), "another-id"); !isLost(err) {
		t.Errorf("FreeLock of another ID: %v, want a *LockLostError", err)
	}
	if b.get("a.tfstate.tflock") == nil {
		t.Fatal("it was freed with another ID")
	}
	for range 2 { // the second call finds nothing to do
		if err := o.FreeLock(t.Context(), id); err != nil {
			t.Errorf("FreeLock: %v", err)
		}
	}
	if b.get("a.tfstate.tflock") != nil {
		t.Error("the lock still exists")
	}
}

func TestMissingObjectCannotBeLocked(t *testing.T) {
	b := gateway.bucket(t)
	_, err := findOne(t, b.ref("a.tfstate")).(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{})
	wantS3Error(t, err, backend.NoState)
	if b.get("a.tfstate.tflock") != nil {
		t.Error("a lock was left")
	}
}

// versitygw refuses a conditional write forever at a delete marker; AWS and MinIO do not.
// The lock must not be reported as taken, and the error must say what is wrong.
func TestServerThatReportsADeletedLock(t *testing.T) {
	b := gateway.versionedBucket(t)
	b.put("a.tfstate", []byte("{}"))
	o := findOne(t, b.ref("a.tfstate"))
	if err := takeLock(t, o).Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	lease, err := o.(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{})
	if err == nil {
		t.Log("this server now handles it correctly")
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	if !strings.Contains(err.Error(), "deleted lock") {
		t.Errorf("the error does not say what is wrong: %v", err)
	}
	if lock, err := o.Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("Lock = %+v, %v; want none", lock, err)
	}
}

func TestALockInASearchIsTakenFromItsListing(t *testing.T) {
	b := gateway.bucket(t)
	b.put("a/terraform.tfstate", []byte("{}"))
	b.put("b/terraform.tfstate", []byte("{}"))
	b.put("b/terraform.tfstate.tflock", []byte(`{"ID":"1","Who":"ann@laptop"}`))
	b.put("gone/terraform.tfstate.tflock", []byte(`{"ID":"2"}`))
	listing, err := kinds().Find(t.Context(), b.ref(""), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, listing, "a/terraform.tfstate", "b/terraform.tfstate")
	var skipped []string
	for _, s := range listing.Skipped {
		if s.Code == backend.SkipLockFile {
			skipped = append(skipped, s.Name)
		}
	}
	if len(skipped) != 2 {
		t.Errorf("skipped %q, want both lock files", skipped)
	}
	// A lock taken after the search is noticed only when the listing is old, or for a state
	// named directly.
	b.put("a/terraform.tfstate.tflock", []byte(`{"ID":"3"}`))
	if lock, err := listing.States[0].Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("a: Holder = %+v, %v; want none without a request", lock, err)
	}
	if lock, err := findOne(t, listing.States[0].Address()).Holder(t.Context()); err != nil || lock == nil || lock.ID != "3" {
		t.Errorf("a alone: Holder = %+v, %v; want the lock", lock, err)
	}
	if lock, err := listing.States[1].Holder(t.Context()); err != nil || lock == nil || lock.Who != "ann@laptop" {
		t.Errorf("b: Lock = %+v, %v; want ann's", lock, err)
	}
	// A lock that has been released since is not reported.
	b.remove("b/terraform.tfstate.tflock")
	if lock, err := listing.States[1].Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("b, released: Lock = %+v, %v; want none", lock, err)
	}
}
