package migrate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"tfhaul/backend"
	backendhttp "tfhaul/backend/http"
	"tfhaul/fixtures/gitlab"
	"tfhaul/fixtures/testenv"
	"tfhaul/migrate"
)

const (
	sweepProject = "acme/live"
	sweepPath    = "/states/network"
)

// serveSpoiled serves a handler whose requests the bench spoils.
func serveSpoiled(t *testing.T, h http.Handler, end chan struct{}) string {
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		close(end)
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}

// spoiling returns what spoils the requests to a server of the http backend.
func (b *storeBench) spoiling(end chan struct{}) func(http.ResponseWriter, *http.Request, string, func() *httptest.ResponseRecorder) {
	return func(w http.ResponseWriter, _ *http.Request, op string, answer func() *httptest.ResponseRecorder) {
		b.faults.spoilAnswer(w, op, &spoiled{answer: answer, end: end, refuse: func(fault string) *httptest.ResponseRecorder {
			out := httptest.NewRecorder()
			gitlab.Refuse(out, map[string]int{"slow down": 429, "denied": 403, "broken": 500}[fault], "refused by the test")
			return out
		}})
	}
}

// newGitLabBench returns a bench with a GitLab project.
func newGitLabBench(t *testing.T, held []byte) *storeBench {
	b := newEmptyBench(t, "network")
	b.faults.hangs = true
	end := make(chan struct{})
	s := &gitlab.Server{Intercept: b.spoiling(end)}
	s.AddProject(sweepProject)
	s.AddToken("glpat-of-the-sweep", gitlab.Token{User: "ann", Role: gitlab.Maintainer})
	host := serveSpoiled(t, s, end)
	b.open = func() backend.Target {
		_, kind := backendhttp.Kinds(backend.Connection{Environ: []string{"GITLAB_TOKEN=glpat-of-the-sweep"}})
		return openSweep(t, kind, "gitlab+http://"+host+"/"+sweepProject+"/")
	}
	if held != nil {
		s.Put(sweepProject, b.key, serialOf(held), held)
	}
	b.isLocked = func() bool { record := s.State(sweepProject, b.key); return record != nil && record.LockID != "" }
	b.put = b.unlessLocked(func(text []byte) { s.Put(sweepProject, b.key, serialOf(text), text) })
	b.aim(b.open())
	return b
}

// unlessLocked returns how another program writes: the server refuses it while the state is
// locked.
func (b *storeBench) unlessLocked(put func([]byte)) func([]byte) {
	return func(text []byte) {
		if b.isLocked() {
			b.faults.rival = nil
			return
		}
		put(text)
	}
}

// newHTTPBench returns a bench with another server.
func newHTTPBench(t *testing.T, held []byte) *storeBench {
	b := newEmptyBench(t, "network")
	b.faults.hangs = true
	end := make(chan struct{})
	s := &gitlab.Plain{Intercept: b.spoiling(end)}
	host := serveSpoiled(t, s, end)
	b.open = func() backend.Target {
		kind, _ := backendhttp.Kinds(backend.Connection{Environ: []string{"X=y"}})
		return openSweep(t, kind, "http+http://"+host+"/states/?lock-address={name}")
	}
	if held != nil {
		s.Put(sweepPath, held)
	}
	b.holds = func() []byte { return s.Get(sweepPath) }
	b.isLocked = func() bool { return s.LockOf(sweepPath) != nil }
	b.put = b.unlessLocked(func(text []byte) { s.Put(sweepPath, text) })
	b.aim(b.open())
	return b
}

func openSweep(t *testing.T, kind backend.Kind, address string) backend.Target {
	t.Helper()
	target, err := kind.Target.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func serialOf(text []byte) int64 {
	var header struct{ Serial int64 }
	if err := json.Unmarshal(text, &header); err != nil {
		panic(err) // the tests' states are JSON
	}
	return header.Serial
}

// httpMoves are storeMoves, in which a state that is replaced has a lower serial: GitLab makes
// no other one current.
var httpMoves = map[string]struct {
	held   []byte
	change func(*migrate.Move)
}{
	"fresh":     {},
	"newer":     {held: state(6, lineage, 2)},
	"identical": {held: sweepSnapshot},
	"replace":   {held: state(5, foreign, 3), change: replace},
}

// sampledHTTP is how many faults there are for each one of the sample.
const sampledHTTP = 23

// TestHTTPSurvivesEveryFault spoils every request of every kind of move into GitLab and into
// another server of the http backend.
func TestHTTPSurvivesEveryFault(t *testing.T) {
	if testing.Short() {
		t.Skip("sweeps all requests of all moves")
	}
	ran, of := 0, 0
	t.Run("sweep", func(t *testing.T) {
		for name, bench := range map[string]func(*testing.T, []byte) *storeBench{"GitLab": newGitLabBench, "another server": newHTTPBench} {
			for _, move := range slices.Sorted(maps.Keys(httpMoves)) {
				s := httpMoves[move]
				b := bench(t, s.held)
				if r := b.move(t.Context(), s.change); !r.Arrived() {
					t.Fatalf("%s, %s: %+v", name, move, r)
				}
				for k := 1; k <= b.faults.n; k++ {
					for _, f := range s3Faults {
						if of++; !testenv.Full() && of%sampledHTTP != 0 {
							continue
						}
						ran++
						t.Run(fmt.Sprintf("%s/%s/%s at request %d", name, move, f, k), func(t *testing.T) {
							t.Parallel()
							b := bench(t, s.held)
							b.faults.at, b.faults.fault = k, f
							b.survives(s.held, s.change)
						})
					}
				}
			}
		}
	})
	t.Logf("%d of %d faults were swept", ran, of)
}
