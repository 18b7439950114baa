package http

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/fixtures/gitlab"
)

func TestStatesOfAProjectAreListed(t *testing.T) {
	s := &gitlab.Server{PageSize: 2}
	address := startGitLab(t, s)
	for _, name := range []string{"app", "network-prod", "network-test", "with blank/and slash", "x.tfstate"} {
		s.Put(group, name, 3, []byte(stateText(3)+name))
	}
	s.Lock(group, "only-locked", "id", "bob") // has a record and no version
	id := fmt.Sprintf("gitlab+http://%s/%d/", strings.Split(address, "/")[2], 100)
	for _, from := range []string{address, id} {
		listing, err := kinds().Find(t.Context(), from, backend.Filter{})
		if err != nil || len(listing.States) != 5 {
			t.Fatalf("%s: %+v, %v", from, listing, err)
		}
		for _, found := range listing.States {
			text, v, err := read(t, find(t, found.Address()), nil)
			if err != nil || text != stateText(3)+found.Place().Key || v.Serial != 3 || v.Size != int64(len(text)) {
				t.Errorf("%s reads as %q, %+v, %v", found.Address(), text, v, err)
			}
		}
		listing, err = kinds().Find(t.Context(), from, backend.Filter{Include: []string{"network-*"}, Exclude: []string{"*-test"}})
		if err != nil || len(listing.States) != 1 {
			t.Errorf("%s: selected %+v, %v", from, listing, err)
		}
	}
	if _, err := kinds().Find(t.Context(), address, backend.Filter{Include: []string{"none"}}); err == nil || !strings.Contains(err.Error(), "no state found") {
		t.Errorf("nothing: %v", err)
	}
}

func TestWhoHoldsALockInGitLab(t *testing.T) {
	s := &gitlab.Server{}
	o := find(t, startGitLab(t, s)+"net")
	s.Put(group, "net", 1, []byte(stateText(1)))
	if lock, err := o.Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("unlocked: %+v, %v", lock, err)
	}
	s.Lock(group, "net", "6d3f", "bob")
	lock, err := o.Holder(t.Context())
	if err != nil || lock == nil || lock.Who != "bob" || time.Since(lock.Created) > time.Minute || !strings.Contains(lock.Lift(), "Operate > Terraform states") {
		t.Errorf("%+v, %v", lock, err)
	}
}

// A source's lock is taken, seen as ours by this process and a later one of the haul, and
// released. No other lock is.
func TestTheLockOfASource(t *testing.T) {
	for _, f := range append(forms, form{name: "GitLab"}) {
		t.Run(f.name, func(t *testing.T) {
			s, other := &gitlab.Server{}, (*gitlab.Plain)(nil)
			var address string
			if f.server == nil {
				address = startGitLab(t, s)
				address += "net"
			} else {
				other = f.server()
				address = strings.Replace(startPlain(t, other, f.query), "/states/?", "/states/net?", 1)
			}
			holder := func() string { // its ID
				if other == nil {
					return s.State(group, "net").LockID
				}
				return infoID(other.LockOf("/states/net"))
			}
			r := backend.LockRequest{Operation: backend.MigrateOperation, Info: backend.MoveInfo("acme/net", "haul-1")}
			o := find(t, address).(backend.Lockable)
			lease, err := o.TakeLock(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if holder() != lease.Lock().ID {
				t.Errorf("the server has the lock %q, want %q", holder(), lease.Lock().ID)
			}
			if lock, err := o.Holder(t.Context()); err != nil || lock == nil || lock.ID != lease.Lock().ID {
				t.Errorf("the holder is %+v, %v", lock, err)
			}
			// A later process of the haul takes it over; another haul does not get it.
			if again, err := find(t, address).(backend.Lockable).TakeLock(t.Context(), r); err != nil || again.Lock().ID != lease.Lock().ID {
				t.Errorf("the same haul: %v", err)
			}
			r.Info = backend.MoveInfo("acme/net", "haul-2")
			if _, err := find(t, address).(backend.Lockable).TakeLock(t.Context(), r); err == nil || !strings.Contains(err.Error(), "is locked at its source") {
				t.Errorf("another haul: %v", err)
			}
			if err := find(t, address).(backend.Lockable).FreeLock(t.Context(), "another-id"); !backend.IsLockLost(err) || holder() == "" {
				t.Errorf("freeing another lock: %v, it is held by %q", err, holder())
			}
			if err := lease.Release(t.Context()); err != nil || holder() != "" {
				t.Errorf("released: %v, it is held by %q", err, holder())
			}
			if err := o.FreeLock(t.Context(), lease.Lock().ID); err != nil {
				t.Errorf("freeing no lock: %v", err)
			}
			if err := lease.Release(t.Context()); !backend.IsLockLost(err) {
				t.Errorf("releasing it twice: %v", err)
			}
		})
	}
}

func infoID(info []byte) string {
	var lock backend.Lock
	lock.Describe(info)
	return lock.ID
}

// GitLab keeps versions by serial. Some are missing, and a long gap ends the search.
func TestVersionsInGitLab(t *testing.T) {
	s := &gitlab.Server{}
	address := startGitLab(t, s)
	for _, serial := range []int64{1, 2, 5, 6, 6 + maxGap} {
		s.Put(group, "net", serial, []byte(stateText(int(serial))))
	}
	s.Put(group, "far", 7, []byte(stateText(7)))
	s.Put(group, "far", 8+maxGap, []byte(stateText(8+maxGap)))
	for name, want := range map[string][]int64{"net": {6 + maxGap, 6, 5, 2, 1}, "far": {8 + maxGap}} {
		o := find(t, address+name).(backend.Historic)
		var got []int64
		for v, err := range o.Versions(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, v.Serial)
			if text, _, err := read(t, find(t, address+name), v); err != nil || text != stateText(int(v.Serial)) {
				t.Errorf("serial %d reads as %q, %v", v.Serial, text, err)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s has the serials %v, want %v", name, got, want)
		}
	}
}

// A version stays what it was. One that was deleted is missed.
func TestChangesInGitLab(t *testing.T) {
	s := &gitlab.Server{}
	o := find(t, startGitLab(t, s)+"net")
	s.Put(group, "net", 1, []byte(stateText(1)))
	_, v, err := read(t, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Check(t.Context(), v); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	s.Put(group, "net", 2, []byte(stateText(2)))
	if err := o.Check(t.Context(), v); err == nil || !strings.Contains(err.Error(), "it has serial 2 now") {
		t.Errorf("changed: %v", err)
	}
	if text, _, err := read(t, o, &v); err != nil || text != stateText(1) {
		t.Errorf("the old version reads as %q, %v", text, err)
	}
	s.Put(group, "net", 1, []byte(strings.ToUpper(stateText(1)))) // deleted and stored again
	if _, _, err := read(t, o, &v); err == nil || !strings.Contains(err.Error(), "changed since it was read") {
		t.Errorf("another text with the same serial: %v", err)
	}
	s.Remove(group, "net", 1)
	if _, _, err := read(t, o, &v); err == nil || !strings.Contains(err.Error(), "it has serial 2 now") {
		t.Errorf("a deleted version: %v", err)
	}
	s.Remove(group, "net", 2)
	if err := o.Check(t.Context(), v); err == nil || !strings.Contains(err.Error(), "no longer exists") {
		t.Errorf("no version: %v", err)
	}
}

// What GitLab refuses is explained, and stores nothing.
func TestGitLabRefusesWrites(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spoil  func(s *gitlab.Server)
		serial int
		was    *backend.Version
		code   backend.Code
		want   string
	}{
		{"the same serial", func(s *gitlab.Server) { s.Put(group, "net", 5, []byte("other")) }, 5, nil, backend.Diverged, "already has a version with this serial"},
		{"a lower serial than the current one", func(*gitlab.Server) {}, 4, &backend.Version{Serial: 5}, backend.Stale, "raise it with --bump-serial"},
		{"too large", func(s *gitlab.Server) { s.MaxSize = 10 }, 5, nil, backend.Malformed, "max_terraform_state_size_bytes"},
		{"deleted", func(s *gitlab.Server) { s.Delete(group, "net") }, 5, nil, backend.Malformed, "was deleted, and GitLab has not destroyed it yet"},
		{"locked by another user", func(s *gitlab.Server) { s.Lock(group, "net", "bobs", "bob") }, 5, nil, backend.Ambiguous, "lost or unclear"},
		{"unlocked", func(s *gitlab.Server) { s.Lock(group, "net", "", "") }, 5, nil, backend.Ambiguous, "lost or unclear"},
		{"no longer a maintainer", func(s *gitlab.Server) {
			s.AddToken(token, gitlab.Token{User: "ann", Role: gitlab.Developer})
		}, 5, nil, backend.AccessDenied, "at least the Maintainer role"},
		{"a proxy drops the body", func(s *gitlab.Server) {
			s.Intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ func() *httptest.ResponseRecorder) {
				w.WriteHeader(204)
			}
		}, 5, nil, backend.Failed, "received no state"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &gitlab.Server{}
			w := locked(t, openTarget(t, startGitLab(t, s)), "net")
			tt.spoil(s)
			p := toWrite(tt.serial, stateText(tt.serial))
			p.Was = tt.was
			_, err := w.Write(t.Context(), p)
			if backend.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v (%s), want %s (%s)", err, backend.CodeOf(err), tt.want, tt.code)
			}
			if got := s.Current(group, "net"); got != nil && string(got) != "other" {
				t.Errorf("it holds %q", got)
			}
		})
	}
}

// GitLab releases any lock for a request without an ID. Even if a proxy drops the body, only
// our lock is released.
func TestAnUnlockAlwaysHasTheID(t *testing.T) {
	s := &gitlab.Server{}
	w := locked(t, openTarget(t, startGitLab(t, s)), "net")
	s.Lock(group, "net", "bobs", "bob")
	s.Intercept = func(out http.ResponseWriter, r *http.Request, op string, answer func() *httptest.ResponseRecorder) {
		if op == "DELETE lock" && r.URL.Query().Get("ID") == "" {
			t.Error("a request to unlock has no ID in its address")
		}
		gitlab.Give(out, answer())
	}
	if err := w.Unlock(t.Context(), always); err == nil || s.State(group, "net").LockID != "bobs" {
		t.Errorf("%v, the lock is now %q", err, s.State(group, "net").LockID)
	}
}

// The role decides what a token may do, and messages say which role is missing.
func TestRolesInGitLab(t *testing.T) {
	s := &gitlab.Server{}
	address := startGitLab(t, s)
	s.Put(group, "net", 1, []byte(stateText(1)))
	s.AddToken("reader", gitlab.Token{User: "bob", Role: gitlab.Developer})
	s.AddToken("guest", gitlab.Token{User: "eve"})
	s.AddToken("job", gitlab.Token{User: "bob", Role: gitlab.Developer, Job: true})
	as := func(token string) []string { return []string{"TF_HTTP_PASSWORD=" + token} }
	if text, _, err := read(t, find(t, address+"net", as("reader")...), nil); err != nil || text != stateText(1) {
		t.Errorf("a developer reads %q, %v", text, err)
	}
	err := writerOf(t, openTarget(t, address, as("reader")...), "net").Lock(t.Context(), always)
	if backend.CodeOf(err) != backend.AccessDenied || !strings.Contains(err.Error(), "Maintainer") {
		t.Errorf("a developer locks: %v", err)
	}
	if _, _, err := read(t, find(t, address+"net", as("guest")...), nil); backend.CodeOf(err) != backend.AccessDenied || !strings.Contains(err.Error(), "Developer") {
		t.Errorf("a guest reads: %v", err)
	}
	if _, err := kinds(as("revoked")...).Find(t.Context(), address, backend.Filter{}); backend.CodeOf(err) != backend.BadCredentials || !strings.Contains(err.Error(), "TF_HTTP_PASSWORD") {
		t.Errorf("a revoked token lists: %v", err)
	}
	job := append(as("job"), "TF_HTTP_USERNAME="+jobUser)
	if text, _, err := read(t, find(t, address+"net", job...), nil); err != nil || text != stateText(1) {
		t.Errorf("a job reads %q, %v", text, err)
	}
	if _, err := kinds(job...).Find(t.Context(), address, backend.Filter{}); backend.CodeOf(err) != backend.BadCredentials || !strings.Contains(err.Error(), "need an access token in GITLAB_TOKEN") {
		t.Errorf("a job lists: %v", err)
	}
	missing := strings.Replace(address, group, "acme/other", 1)
	if _, err := kinds().Find(t.Context(), missing, backend.Filter{}); backend.CodeOf(err) != backend.NoContainer {
		t.Errorf("no such project: %v", err)
	}
	if _, _, err := read(t, find(t, missing+"net"), nil); backend.CodeOf(err) != backend.NoContainer {
		t.Errorf("a state of no such project: %v", err)
	}
	if _, _, err := read(t, find(t, address+"none"), nil); backend.CodeOf(err) != backend.NoState {
		t.Errorf("no such state: %v", err)
	}
}
