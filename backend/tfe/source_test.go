package tfe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/tfesim"
)

// An organizationServer is a server with the organization acme, and what reads it.
type organizationServer struct {
	*tfesim.Server
	url   string
	kinds backend.Kinds
}

func serveOrganization(t *testing.T, o tfesim.Options) *organizationServer {
	t.Helper()
	o.Organizations = []string{"acme"}
	sim, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		server.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	kind := Kind(backend.Connection{Environ: []string{"TFE_ADDRESS=" + server.URL, "TFE_TOKEN=" + sim.Token(tfesim.Owner)}})
	return &organizationServer{Server: sim, url: server.URL, kinds: backend.Kinds{kind}}
}

// seed creates a workspace with a state of this serial, and returns the state.
func (s *organizationServer) seed(t *testing.T, name string, serial int) []byte {
	t.Helper()
	raw := fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.4","serial":%d,"lineage":"of-%s","outputs":{},"resources":[]}`, serial, name)
	if _, err := s.Seed("acme", name, raw); err != nil {
		t.Fatal(err)
	}
	return raw
}

func (s *organizationServer) list(t *testing.T, address string, f backend.Filter) *backend.Listing {
	t.Helper()
	l, err := s.kinds.Find(t.Context(), address, f)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return l
}

// state returns the one state at an address.
func (s *organizationServer) state(t *testing.T, address string) backend.State {
	t.Helper()
	l := s.list(t, address, backend.Filter{})
	if len(l.States) != 1 {
		t.Fatalf("%s has %d states, want 1", address, len(l.States))
	}
	return l.States[0]
}

func readState(ctx context.Context, s backend.State, v *backend.Version) ([]byte, backend.Version, error) {
	body, version, err := s.Open(ctx, v)
	if err != nil {
		return nil, version, err
	}
	raw, err := io.ReadAll(body)
	return raw, version, errors.Join(err, body.Close())
}

// apiCalls counts the requests that the rate limit counts.
func (s *organizationServer) apiCalls() int {
	n := 0
	for _, q := range s.Requests() {
		if !strings.Contains(q.Endpoint, "/_") && !strings.Contains(q.Endpoint, "well-known") {
			n++
		}
	}
	return n
}

func eachPersonality(t *testing.T, test func(t *testing.T, p tfesim.Personality)) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		t.Run(p.String(), func(t *testing.T) { test(t, p) })
	}
}

func TestOrganizationIsListedWithItsStates(t *testing.T) {
	eachPersonality(t, func(t *testing.T, p tfesim.Personality) {
		s := serveOrganization(t, tfesim.Options{Personality: p})
		want := map[string][]byte{}
		for i := range 250 {
			name := fmt.Sprintf("ws-%03d", i)
			want[name] = s.seed(t, name, i+1)
		}
		if _, err := s.AddWorkspace("acme", "empty"); err != nil {
			t.Fatal(err)
		}
		s.ResetRequests()
		l := s.list(t, "tfe://acme", backend.Filter{})
		if len(l.States) != 250 {
			t.Fatalf("%d states, want 250", len(l.States))
		}
		if len(l.Skipped) != 1 || !strings.HasSuffix(l.Skipped[0].Name, "/acme/empty") || l.Skipped[0].Code != "no-state" {
			t.Errorf("skipped %+v, want the workspace empty", l.Skipped)
		}
		for _, state := range l.States {
			place := state.Place()
			if lock, err := state.Holder(t.Context()); err != nil || lock != nil {
				t.Fatalf("%s: lock %v, %v", place.Key, lock, err)
			}
			raw, version, err := readState(t.Context(), state, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(raw, want[place.Workspace]) {
				t.Errorf("%s: other bytes than the workspace holds", place.Workspace)
			}
			if version.ID == "" || version.Serial == 0 || !version.Kept {
				t.Errorf("%s: version %+v", place.Workspace, version)
			}
			if place.Organization != "acme" || place.Project != "Default Project" || place.Key != place.Workspace || place.Base != "terraform" || place.Dir != "" {
				t.Errorf("place %+v", place)
			}
		}
		if calls := s.apiCalls(); calls != 3 {
			t.Errorf("listing and reading 250 states took %d API calls, want 3 pages", calls)
		}
	})
}

// A workspace that is deleted between two pages moves the next one to a page that was read.
func TestListingsThatShiftAreRepeated(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	for i := range 102 {
		s.seed(t, fmt.Sprintf("ws-%03d", i), 1)
	}
	s.Inject(tfesim.Fault{Endpoint: "GET /organizations/:organization/workspaces", Kind: tfesim.FaultChange, Change: func(body []byte) []byte {
		if err := s.DeleteWorkspace("acme", "ws-007"); err != nil {
			t.Error(err)
		}
		return body
	}})
	s.ResetRequests()
	listing := s.list(t, "tfe://acme", backend.Filter{})
	names := map[string]bool{}
	for _, state := range listing.States {
		names[state.Place().Workspace] = true
	}
	if len(listing.States) != 101 || len(names) != 101 || names["ws-007"] {
		t.Errorf("%d states with %d names, want each of the 101 that still exist", len(listing.States), len(names))
	}
	if n := s.apiCalls(); n != 4 {
		t.Errorf("%d requests, want the two pages twice", n)
	}
}

func TestPatternsSelectWorkspaces(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	for _, name := range []string{"app-dev", "app-prod", "network-prod"} {
		s.seed(t, name, 1)
	}
	for _, test := range []struct {
		filter backend.Filter
		want   []string
	}{
		{backend.Filter{}, []string{"app-dev", "app-prod", "network-prod"}},
		{backend.Filter{Include: []string{"app-*"}}, []string{"app-dev", "app-prod"}},
		{backend.Filter{Include: []string{"*-prod"}, Exclude: []string{"app-*"}}, []string{"network-prod"}},
		{backend.Filter{Exclude: []string{"*-dev"}}, []string{"app-prod", "network-prod"}},
	} {
		var got []string
		for _, state := range s.list(t, "tfe://acme", test.filter).States {
			got = append(got, state.Place().Key)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v selects %v, want %v", test.filter, got, test.want)
		}
	}
	_, err := s.kinds.Find(t.Context(), "tfe://acme", backend.Filter{Include: []string{"none-*"}})
	if none, ok := errors.AsType[*backend.NoMatchError](err); !ok || strings.Contains(none.Error(), "subdirectories") {
		t.Errorf("nothing found: %v", err)
	}
}

func TestServersThatIncludeNoVersionsAreReadOneByOne(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	want := s.seed(t, "network", 7)
	s.Inject(tfesim.Fault{Endpoint: "GET /organizations/:organization/workspaces", Times: -1, Kind: tfesim.FaultChange, Change: withoutIncluded(t)})
	raw, version, err := readState(t.Context(), s.state(t, "tfe://acme"), nil)
	if err != nil || !bytes.Equal(raw, want) || version.Serial != 7 {
		t.Errorf("serial %d, %d bytes, %v; want serial 7 and %d bytes", version.Serial, len(raw), err, len(want))
	}
}

func withoutIncluded(t *testing.T) func([]byte) []byte {
	return func(body []byte) []byte {
		var document map[string]json.RawMessage
		if err := json.Unmarshal(body, &document); err != nil {
			t.Error(err)
			return body
		}
		delete(document, "included")
		changed, err := json.Marshal(document)
		if err != nil {
			t.Error(err)
		}
		return changed
	}
}

func TestAddressesOfSources(t *testing.T) {
	kind := Kind(backend.Connection{Environ: []string{}})
	for _, test := range []struct{ address, canonical string }{
		{"tfe://acme/Net", "app.terraform.io/acme/net"},
		{"tfe://acme", "app.terraform.io/acme"},
		{"acme/net", "app.terraform.io/acme/net"},
		{"tfe://app.terraform.io/acme/net", "app.terraform.io/acme/net"},
		{"tfe://tfe.example.com:8443/acme", "tfe.example.com:8443/acme"},
		{"TFE://localhost:8443/acme/net", "localhost:8443/acme/net"},
	} {
		if got := kind.Canonical(test.address); got != test.canonical {
			t.Errorf("Canonical(%q) = %q, want %q", test.address, got, test.canonical)
		}
	}
	for _, wrong := range []string{"tfe://", "tfe://a/b/c/d", "tfe://acme/a b", "tfe://user:secret@host/acme", "tfe://acme/net?token=secret"} {
		_, err := kind.Open(t.Context(), wrong)
		if err == nil {
			t.Errorf("%s is accepted", wrong)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error repeats the secret: %v", wrong, err)
		}
	}
}

// TFE_TOKEN is the secret of one host. It is not sent to the host of a second source, either.
func TestTheTokenOfOneSourceIsNotSentToAnother(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	s.seed(t, "network", 1)
	var asked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			asked.Add(1)
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer other.Close()
	s.list(t, "tfe://acme", backend.Filter{})
	_, err := s.kinds.Find(t.Context(), "tfe://"+other.URL+"/acme", backend.Filter{})
	if err == nil || !strings.Contains(err.Error(), "on different hosts") || asked.Load() > 0 {
		t.Errorf("%v, and the other host got the token %d times; want that it is not used", err, asked.Load())
	}
}

func TestWhatKeepsAWorkspaceFromBeingRead(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	s.seed(t, "network", 1)
	state := s.state(t, "tfe://acme/network")
	if err := s.Lock("acme", "network", tfesim.SecondUser, "maintenance"); err != nil {
		t.Fatal(err)
	}
	lock, err := s.state(t, "tfe://acme/network").Holder(t.Context())
	if err != nil || lock == nil || lock.Info != "maintenance" || !strings.HasPrefix(lock.Who, "user ") || !strings.Contains(lock.Lift(), "/app/acme/workspaces/network") {
		t.Errorf("lock %+v, %v", lock, err)
	}
	if _, err := state.(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{Info: backend.MoveInfo("s3://b/k", "haul-1")}); !isLocked(err) {
		t.Errorf("TakeLock of a locked workspace: %v", err)
	}
	if err := s.Unlock("acme", "network"); err != nil {
		t.Fatal(err)
	}
	run, err := s.LockByRun("acme", "network")
	if err != nil {
		t.Fatal(err)
	}
	lock, err = s.state(t, "tfe://acme/network").Holder(t.Context())
	if err != nil || lock == nil || !strings.Contains(lock.Who, run) || !strings.Contains(lock.Lift(), run) {
		t.Errorf("with a run in progress: lock %+v, %v", lock, err)
	}
}

func isLocked(err error) bool {
	_, locked := errors.AsType[*backend.LockedError](err)
	return locked
}

// A listing says who holds each lock. If it says that someone does, the workspace is asked
// again, because the lock may have been released.
func TestReleasedLockIsNotHeldAgainstAWorkspace(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	s.seed(t, "network", 1)
	if err := s.Lock("acme", "network", tfesim.SecondUser, "for a moment"); err != nil {
		t.Fatal(err)
	}
	state := s.state(t, "tfe://acme")
	if err := s.Unlock("acme", "network"); err != nil {
		t.Fatal(err)
	}
	if lock, err := state.Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("lock %+v, %v; want none", lock, err)
	}
}

func TestSourceWorkspaceIsLockedAndReleased(t *testing.T) {
	eachPersonality(t, func(t *testing.T, p tfesim.Personality) {
		s := serveOrganization(t, tfesim.Options{Personality: p})
		want := s.seed(t, "network", 3)
		state := s.state(t, "tfe://acme").(backend.Lockable)
		s.ResetRequests()
		info := backend.MoveInfo("s3://bucket/key", "haul-1")
		lease, err := state.TakeLock(t.Context(), backend.LockRequest{Info: info})
		if err != nil {
			t.Fatal(err)
		}
		if holder, locked := s.LockHolder("acme", "network"); !locked || holder.Reason != info {
			t.Errorf("the workspace is locked: %v, by %+v", locked, holder)
		}
		lock, err := state.Holder(t.Context())
		if err != nil || lock == nil || lock.ID != lease.Lock().ID {
			t.Errorf("Holder returns %+v, %v, want our lock", lock, err)
		}
		if raw, version, err := readState(t.Context(), state, nil); err != nil || !bytes.Equal(raw, want) {
			t.Errorf("read %d bytes, %v", len(raw), err)
		} else if err := state.Check(t.Context(), version); err != nil {
			t.Error(err)
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, locked := s.LockHolder("acme", "network"); locked {
			t.Error("the workspace is still locked")
		}
		// Lock, unlock, the check, and the look of Holder.
		if calls := s.apiCalls(); calls > 4 {
			t.Errorf("%d API calls, want at most 4", calls)
		}
	})
}

func TestReleaseLeavesTheLocksOfOthers(t *testing.T) {
	for _, test := range []struct {
		name   string
		holder tfesim.Identity
		age    time.Duration // of the last look at the lock
	}{
		{"another user's", tfesim.SecondUser, 0},
		{"of another process of the same account", tfesim.Owner, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serveOrganization(t, tfesim.Options{})
			s.seed(t, "network", 1)
			state := s.state(t, "tfe://acme/network").(*workspaceState)
			lease, err := state.TakeLock(t.Context(), backend.LockRequest{Info: backend.MoveInfo("s3://bucket/key", "haul-1")})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Unlock("acme", "network"); err != nil {
				t.Fatal(err)
			}
			if err := s.Lock("acme", "network", test.holder, "not ours"); err != nil {
				t.Fatal(err)
			}
			state.at = state.at.Add(-test.age)
			if err := lease.Release(t.Context()); !backend.IsLockLost(err) {
				t.Errorf("Release: %v, want a lost lock", err)
			}
			if err := state.FreeLock(t.Context(), lease.Lock().ID); !backend.IsLockLost(err) {
				t.Errorf("FreeLock: %v, want a lost lock", err)
			}
			if holder, _ := s.LockHolder("acme", "network"); holder.Reason != "not ours" {
				t.Errorf("the workspace is locked by %+v", holder)
			}
		})
	}
}

// A haul that died left its lock, and its next run frees it.
func TestLockOfADeadHaulIsFreed(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	s.seed(t, "network", 1)
	info := backend.MoveInfo("s3://bucket/key", "haul-1")
	if _, err := s.state(t, "tfe://acme/network").(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{Info: info}); err != nil {
		t.Fatal(err)
	}
	next := s.state(t, "tfe://acme").(backend.Lockable)
	lock, err := next.Holder(t.Context())
	if err != nil || lock == nil {
		t.Fatalf("lock %v, %v", lock, err)
	}
	if _, haul, ours := lock.Move(); !ours || haul != "haul-1" {
		t.Errorf("the lock is of haul %q", haul)
	}
	if err := next.FreeLock(t.Context(), lock.ID); err != nil {
		t.Fatal(err)
	}
	if _, locked := s.LockHolder("acme", "network"); locked {
		t.Error("the workspace is still locked")
	}
}

func TestLostResponsesOfSourceLocks(t *testing.T) {
	for _, test := range []struct {
		name, endpoint string
		fault          tfesim.Fault
	}{
		{"lock", "POST /workspaces/:workspace_id/actions/lock", tfesim.Fault{Kind: tfesim.FaultReset, After: true}},
		{"unlock", "POST /workspaces/:workspace_id/actions/unlock", tfesim.Fault{Kind: tfesim.FaultReset, After: true}},
		{"unlock, before its effect", "POST /workspaces/:workspace_id/actions/unlock", tfesim.Fault{Kind: tfesim.FaultReset}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serveOrganization(t, tfesim.Options{})
			s.seed(t, "network", 1)
			test.fault.Endpoint = test.endpoint
			s.Inject(test.fault)
			lease, err := s.state(t, "tfe://acme/network").(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{Info: backend.MoveInfo("s3://bucket/key", "haul-1")})
			if err != nil {
				t.Fatal(err)
			}
			if err := lease.Release(t.Context()); err != nil {
				t.Error(err)
			}
			if s.Count(test.endpoint) == 0 {
				t.Errorf("no request was sent to %s", test.endpoint)
			}
			if _, locked := s.LockHolder("acme", "network"); locked {
				t.Error("the workspace is still locked")
			}
		})
	}
}

func TestChangesOfASourceWorkspaceAreNoticed(t *testing.T) {
	for name, change := range map[string]func(*organizationServer, *testing.T) error{
		"a newer state": func(s *organizationServer, t *testing.T) error { s.seed(t, "network", 2); return nil },
		"deleted":       func(s *organizationServer, _ *testing.T) error { return s.DeleteWorkspace("acme", "network") },
		"renamed":       func(s *organizationServer, _ *testing.T) error { return s.RenameWorkspace("acme", "network", "other") },
		"created again": func(s *organizationServer, t *testing.T) error {
			err := s.DeleteWorkspace("acme", "network")
			s.seed(t, "network", 1)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveOrganization(t, tfesim.Options{})
			s.seed(t, "network", 1)
			state := s.state(t, "tfe://acme/network")
			_, version, err := readState(t.Context(), state, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := state.Check(t.Context(), version); err != nil {
				t.Errorf("before the change: %v", err)
			}
			if err := change(s, t); err != nil {
				t.Fatal(err)
			}
			if _, changed := errors.AsType[*backend.ChangedError](state.Check(t.Context(), version)); !changed {
				t.Error("the change was not noticed")
			}
		})
	}
}

// The bytes of the version that was read are sent, even if a newer one is current by then.
func TestPinnedStateVersionIsReadAgain(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	want := s.seed(t, "network", 1)
	_, version, err := readState(t.Context(), s.state(t, "tfe://acme/network"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.seed(t, "network", 2)
	raw, again, err := readState(t.Context(), s.state(t, "tfe://acme/network"), &version)
	if err != nil || !bytes.Equal(raw, want) || again.ID != version.ID {
		t.Errorf("%d bytes of %s, %v; want those of %s", len(raw), again.ID, err, version.ID)
	}
	_, _, err = readState(t.Context(), s.state(t, "tfe://acme/network"), &backend.Version{ID: "sv-gone"})
	if _, changed := errors.AsType[*backend.ChangedError](err); !changed {
		t.Errorf("a version that does not exist: %v", err)
	}
}

func TestExpiredDownloadURLIsReplaced(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	want := s.seed(t, "network", 1)
	s.Inject(tfesim.Fault{Endpoint: "GET /_archivist/v1/object/:token", Status: 403, Body: "Request has expired"})
	raw, _, err := readState(t.Context(), s.state(t, "tfe://acme"), nil)
	if err != nil || !bytes.Equal(raw, want) {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func TestUnreadableStateVersionsAreExplained(t *testing.T) {
	for _, test := range []struct {
		name, want string
		options    tfesim.Options
		prepare    func(t *testing.T, s *organizationServer)
	}{
		{"pending", "not complete", tfesim.Options{}, replaced(`"status":"finalized"`, `"status":"pending"`, `"hosted-state-download-url"`, `"no-download-url"`)},
		{"deleted data", "restore_backing_data", tfesim.Options{}, replaced(`"hosted-state-download-url"`, `"no-download-url"`)},
		{"HYOK", "HYOK", tfesim.Options{HYOK: true}, func(t *testing.T, s *organizationServer) {
			s.Inject(tfesim.Fault{Endpoint: "GET /_archivist/v1/object/:token", Times: -1, Status: 403})
		}},
		{"shorter than announced", "it announced", tfesim.Options{}, func(t *testing.T, s *organizationServer) {
			s.Inject(tfesim.Fault{Endpoint: "GET /_archivist/v1/object/:token", Times: -1, Kind: tfesim.FaultChange, Change: func(body []byte) []byte { return body[:10] }})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serveOrganization(t, test.options)
			s.seed(t, "network", 1)
			if test.prepare != nil {
				test.prepare(t, s)
			}
			_, _, err := readState(t.Context(), s.state(t, "tfe://acme/network"), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "_archivist/v1/object/") {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// replaced replaces texts in every response.
func replaced(texts ...string) func(*testing.T, *organizationServer) {
	return func(_ *testing.T, s *organizationServer) {
		s.Inject(tfesim.Fault{Times: -1, Kind: tfesim.FaultChange, Change: func(body []byte) []byte {
			return []byte(strings.NewReplacer(texts...).Replace(string(body)))
		}})
	}
}

func TestTokensThatCannotReadStates(t *testing.T) {
	s := serveOrganization(t, tfesim.Options{})
	s.seed(t, "network", 1)
	kind := Kind(backend.Connection{Environ: []string{"TFE_ADDRESS=" + s.url, "TFE_TOKEN=" + s.Token(tfesim.ReadOnly)}})
	s.kinds = backend.Kinds{kind}
	if _, _, err := readState(t.Context(), s.state(t, "tfe://acme/network"), nil); err != nil {
		t.Errorf("a token that may only read: %v", err)
	}
	_, err := s.state(t, "tfe://acme/network").(backend.Lockable).TakeLock(t.Context(), backend.LockRequest{Info: "x"})
	if backend.CodeOf(err) != backend.AccessDenied {
		t.Errorf("locking with a token that may only read: %v", err)
	}
	s.kinds = backend.Kinds{Kind(backend.Connection{Environ: []string{"TFE_ADDRESS=" + s.url, "TFE_TOKEN=" + s.Token(tfesim.Outsider)}})}
	if _, err := s.kinds.Find(t.Context(), "tfe://acme", backend.Filter{}); backend.CodeOf(err) != backend.ForbiddenOrMissing {
		t.Errorf("an outsider: %v", err)
	}
	if _, err := s.kinds.Find(t.Context(), "tfe://acme/missing", backend.Filter{}); backend.CodeOf(err) != backend.ForbiddenOrMissing {
		t.Errorf("a workspace that does not exist: %v", err)
	}
}
