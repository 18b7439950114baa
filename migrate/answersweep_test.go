package migrate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/fixtures/testenv"
	"tfhaul/lockwait"
	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// The answer sweep: answers that are late, about something else, from before or not
// whole, and requests that take effect later, at every request of every kind of move.
// What holds after the fault sweep holds here, and nothing is sent under a lock that
// was not seen as ours in the 5 seconds before.
func TestAnswerSweep(t *testing.T) {
	var ran atomic.Int64
	t.Run("cases", func(t *testing.T) {
		for _, s := range scenarios() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.dir = t.TempDir()
				s.file = writeSnapshot(t, s.dir, sweepSnapshot)
				s.listed = s.listRequests(t)
				for k, q := range s.listed {
					for i, w := range twists {
						// Before the first request nothing is known that could be renamed.
						if w.renamed && k == 0 || !testenv.Full() && (k+i)%5 != 0 || w.only != nil && !w.only(q) {
							continue
						}
						s.twist(t, w, k+1, q)
						ran.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d answers were spoilt over %d kinds of move", ran.Load(), len(scenarios()))
	if ran.Load() < 100 {
		t.Errorf("only %d cases ran", ran.Load())
	}
}

// A twist spoils the answer to one request, or several of its kind from there on.
type twist struct {
	name string
	// only chooses the requests where it makes a difference; nil is all.
	only func(tfesim.Request) bool
	// fault makes what the server does.
	fault func(*twistCase) tfesim.Fault
	// suspends: the process stands still when the answer has arrived.
	suspends bool
	// overtaken: another process of the same account forces the lock before the answer
	// is given, and takes it.
	overtaken bool
	// renamed: the workspace gets another name before the request takes effect, and a
	// new one takes its name.
	renamed bool
}

var twists = []twist{
	{name: "late by 1 s", fault: late(time.Second, true)},
	{name: "late by 40 s", fault: late(40*time.Second, true)},
	{name: "late effect by 1 s", fault: late(time.Second, false)},
	{name: "late effect by 40 s", fault: late(40*time.Second, false)},
	{name: "overtaken, late by 3 s", only: isLock, fault: late(3*time.Second, true), overtaken: true},
	{name: "overtaken, late by 6 s", fault: late(6*time.Second, true), overtaken: true},
	{name: "overtaken, late by 40 s", fault: late(40*time.Second, true), overtaken: true},
	{name: "overtaken, late effect by 40 s", fault: late(40*time.Second, false), overtaken: true},
	{name: "suspended", suspends: true},
	{name: "suspended and overtaken", suspends: true, overtaken: true},
	{name: "another id", only: isDocument, fault: changed(func(c *twistCase) func([]byte) []byte {
		return replaced(c.id, c.other)
	})},
	{name: "another name", only: isDocument, fault: changed(func(*twistCase) func([]byte) []byte {
		return replaced(`"name":"`+workspace+`"`, `"name":"other"`)
	})},
	{name: "renamed", renamed: true},
	{name: "locked flipped", only: isDocument, fault: changed(func(*twistCase) func([]byte) []byte { return flipped })},
	{name: "stale once", only: isQuestion, fault: stale(1)},
	{name: "stale twice", only: isQuestion, fault: stale(2)},
	{name: "stale five times", only: isQuestion, fault: stale(5)},
	{name: "empty download", only: isDownload, fault: changed(func(*twistCase) func([]byte) []byte {
		return func([]byte) []byte { return nil }
	})},
	{name: "short download", only: isDownload, fault: changed(func(*twistCase) func([]byte) []byte {
		return func(b []byte) []byte { return b[:len(b)/2] }
	})},
	{name: "overlong download", only: isDownload, fault: changed(func(*twistCase) func([]byte) []byte {
		return func(b []byte) []byte { return append(bytes.Clone(b), '\n') }
	})},
	{name: "the answer before again", only: isDocument, fault: changed(func(c *twistCase) func([]byte) []byte {
		return func(real []byte) []byte {
			if before := c.watch.lastDocument(); before != nil {
				return before
			}
			return real
		}
	})},
	{name: "effect after the retry", fault: postponed(2 * time.Second)},
	{name: "effect after the end", fault: postponed(3 * time.Minute)},
}

func late(wait time.Duration, after bool) func(*twistCase) tfesim.Fault {
	return func(*twistCase) tfesim.Fault {
		return tfesim.Fault{Kind: tfesim.FaultLate, Wait: wait, After: after}
	}
}

func postponed(wait time.Duration) func(*twistCase) tfesim.Fault {
	return func(*twistCase) tfesim.Fault { return tfesim.Fault{Kind: tfesim.FaultPostpone, Wait: wait} }
}

func changed(how func(*twistCase) func([]byte) []byte) func(*twistCase) tfesim.Fault {
	return func(c *twistCase) tfesim.Fault {
		return tfesim.Fault{Kind: tfesim.FaultChange, Change: how(c)}
	}
}

// stale answers as before the move.
func stale(times int) func(*twistCase) tfesim.Fault {
	return func(c *twistCase) tfesim.Fault {
		before := c.before[c.request.Endpoint]
		return tfesim.Fault{Endpoint: c.request.Endpoint, Nth: c.nth, Times: times,
			Status: before.Code, Header: before.Header(), Body: before.Body.String()}
	}
}

func replaced(from, to string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(from), []byte(to)) }
}

func flipped(b []byte) []byte {
	if bytes.Contains(b, []byte(`"locked":true`)) {
		return bytes.ReplaceAll(b, []byte(`"locked":true`), []byte(`"locked":false`))
	}
	return bytes.ReplaceAll(b, []byte(`"locked":false`), []byte(`"locked":true`))
}

func isLock(q tfesim.Request) bool     { return strings.HasSuffix(q.Endpoint, "/actions/lock") }
func isBlob(q tfesim.Request) bool     { return strings.HasPrefix(q.Path, "/_archivist/") }
func isDocument(q tfesim.Request) bool { return !isBlob(q) }
func isDownload(q tfesim.Request) bool { return isBlob(q) && q.Method == http.MethodGet }
func isQuestion(q tfesim.Request) bool {
	return strings.HasSuffix(q.Endpoint, "/current-state-version") || strings.HasPrefix(q.Endpoint, "GET /organizations/")
}

// listRequests runs the scenario without a twist.
func (s scenario) listRequests(t *testing.T) (all []tfesim.Request) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := s.bench(t)
		b.run(s.change)
		all = b.sim.Requests()
	})
	return all
}

// A twistCase is one case of the sweep.
type twistCase struct {
	scenario
	*bench
	twist
	watch     *lockWatch
	id, other string // of the workspace, and of another one
	request   tfesim.Request
	k, nth    int // which request of all, and which of its endpoint
	before    map[string]*httptest.ResponseRecorder

	rivalVersions atomic.Int64 // how many state versions there were when the rival took the lock
	rival         atomic.Bool  // the rival has taken the lock
}

const rivalReason = "another haul of the same account"

// twist runs the scenario with a twist at its k-th request.
func (s scenario) twist(t *testing.T, w twist, k int, q tfesim.Request) {
	t.Run(fmt.Sprintf("%s at request %d", w.name, k), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			watch := &lockWatch{at: k}
			b := newBenchOver(t, tfesim.Options{Personality: s.server}, func(next http.RoundTripper) http.RoundTripper {
				watch.next = next
				return watch
			})
			b.engine = b.newEngineWith(b.sim.Token(tfesim.Owner), time.Minute)
			b.engine.Clock, b.engine.Upload = watch.clock, s.upload
			b.file, b.engine.BackupDir = s.file, filepath.Join(s.dir, "backup")
			if s.held != nil {
				b.holds(s.held)
			}
			b.workspaceExists("other")
			c := &twistCase{scenario: s, bench: b, twist: w, watch: watch, k: k, request: q, before: map[string]*httptest.ResponseRecorder{}}
			c.prepare()
			r := b.run(s.change)
			c.settle(r)
		})
	})
}

// prepare sets the twist.
func (c *twistCase) prepare() {
	c.id, c.other = c.idOf(workspace), c.idOf("other")
	for _, path := range []string{"organizations/" + org + "/workspaces/" + workspace, "workspaces/" + c.id + "/current-state-version"} {
		endpoint, answer := c.ask(path)
		c.before[endpoint] = answer
	}
	c.sim.ResetRequests()
	c.watch.reason, c.watch.engaged = "(haul "+c.engine.Haul+")", true
	c.watch.suspends = c.suspends
	n := 0
	var once sync.Once
	c.nth = c.nthOfEndpoint()
	c.sim.OnRequest(func(q tfesim.Request) {
		if n++; n != c.k {
			return
		}
		once.Do(func() {
			if c.renamed {
				c.rename()
			}
			if c.overtaken && c.suspends {
				c.watch.then = c.overtake
			} else if c.overtaken {
				time.AfterFunc(500*time.Millisecond, c.overtake)
			}
		})
	})
	if c.fault == nil {
		return
	}
	fault := c.twist.fault(c)
	if fault.Nth == 0 {
		fault.Nth = c.k
	}
	c.sim.Inject(fault)
}

// nthOfEndpoint is which of the requests to its endpoint the k-th is.
func (c *twistCase) nthOfEndpoint() int {
	n := 0
	for i, q := range c.scenario.listed {
		if q.Endpoint == c.request.Endpoint {
			n++
		}
		if i+1 == c.k {
			break
		}
	}
	return max(n, 1)
}

func (c *twistCase) idOf(name string) string {
	var doc struct {
		Data struct{ ID string }
	}
	_, answer := c.ask("organizations/" + org + "/workspaces/" + name)
	if err := json.Unmarshal(answer.Body.Bytes(), &doc); err != nil {
		c.t.Fatal(err)
	}
	return doc.Data.ID
}

// ask asks the server beside the network.
func (c *twistCase) ask(path string) (endpoint string, answer *httptest.ResponseRecorder) {
	req := httptest.NewRequest(http.MethodGet, "http://localhost/api/v2/"+path, nil)
	req.Header.Set("Authorization", "Bearer "+c.sim.Token(tfesim.Owner))
	answer = httptest.NewRecorder()
	c.sim.ResetRequests()
	c.sim.ServeHTTP(answer, req)
	return c.sim.Requests()[0].Endpoint, answer
}

// overtake has another process of the same account take the lock, if it is ours.
func (c *twistCase) overtake() {
	h, locked := c.sim.LockHolder(org, workspace)
	if !locked || !strings.Contains(h.Reason, c.watch.reason) {
		return
	}
	if err := c.sim.Unlock(org, workspace); err != nil {
		c.t.Error(err)
	}
	if err := c.sim.Lock(org, workspace, tfesim.Owner, rivalReason); err != nil {
		c.t.Error(err)
	}
	c.rivalVersions.Store(int64(len(c.sim.Versions(org, workspace))))
	c.rival.Store(true)
}

func (c *twistCase) rename() {
	if err := c.sim.RenameWorkspace(org, workspace, "moved-away"); err != nil {
		c.t.Error(err)
		return
	}
	c.workspaceExists(workspace)
}

// settle judges the report, lets everything take effect that still may, judges again,
// and runs the move once more without the twist.
func (c *twistCase) settle(r migrate.Result) {
	defer func() {
		if c.t.Failed() {
			c.t.Logf("the result was %s/%s, locked %v, lost %v: %s %q", r.Outcome, r.Code, r.Locked, r.LockRequestLost, r.Message, r.Notes)
			for _, q := range c.sim.Requests() {
				c.t.Logf("  %s %s → %d", q.Time.Format("04:05.000"), q.Endpoint, q.Status)
			}
		}
	}()
	for _, wrong := range c.watch.wrongs() {
		c.t.Error(wrong)
	}
	c.watch.disengage()
	switch {
	case c.renamed:
		c.judgeRenamed(r)
		return
	case c.rival.Load():
		c.judgeRival(r)
	default:
		c.judge(c.bench, r)
		time.Sleep(5 * time.Minute) // virtual: what was postponed takes effect
		c.judgeLate(r)
	}
	c.sim.ClearFaults()
	if r.LockRequestLost && !r.Locked {
		if _, err := c.engine.UnlockByID(c.t.Context(), workspace, ""); err != nil {
			c.t.Errorf("the lock of a lost request could not be freed: %v", err)
		}
	}
	c.again(c.bench, r)
}

// judgeRival judges a move whose lock another process of the same account has taken.
func (c *twistCase) judgeRival(r migrate.Result) {
	c.t.Helper()
	h, locked := c.sim.LockHolder(org, workspace)
	// An unlock that takes effect late cannot be prevented, and is reported as unproven.
	lateUnlock := strings.HasSuffix(c.request.Endpoint, "/actions/unlock") && r.Code == migrate.CodeUnproven
	if (!locked || h.Reason != rivalReason) && !lateUnlock {
		c.t.Error("the lock of another process was released")
	}
	if now := len(c.sim.Versions(org, workspace)); int64(now) != c.rivalVersions.Load() && r.Code != migrate.CodeUnproven {
		c.t.Errorf("the state was stored under another's lock, and %s/%s was reported", r.Outcome, r.Code)
	}
	held, _, _ := c.sim.Current(org, workspace)
	if success := r.Outcome == migrate.Moved || r.Outcome == migrate.AlreadyThere; success && digest(held) != digest(sweepSnapshot) {
		c.t.Error("success was reported, and the workspace holds other bytes")
	}
	if r.Locked && r.Code != migrate.CodeLockLeft && r.Code != migrate.CodeUnproven {
		c.t.Error("a lock was reported to be left that is another's")
	}
	if locked {
		if err := c.sim.Unlock(org, workspace); err != nil {
			c.t.Error(err)
		}
	}
	r.Locked = false
}

// judgeRenamed judges a move whose workspace got another name under way.
func (c *twistCase) judgeRenamed(r migrate.Result) {
	c.t.Helper()
	if held, _, ok := c.sim.Current(org, workspace); ok {
		c.t.Errorf("the workspace that took the name holds MD5 %s, want nothing", digest(held))
	}
	unlocked := false
	for i, q := range c.sim.Requests() {
		unlocked = unlocked || i+1 < c.k && strings.HasSuffix(q.Endpoint, "/actions/unlock")
	}
	if r.Outcome == migrate.Moved && !unlocked {
		c.t.Error("success was reported for a name that is another workspace's now")
	}
	if _, locked := c.sim.LockHolder(org, "moved-away"); locked && !r.Locked {
		c.t.Error("a lock was left and not reported")
	}
}

// judgeLate judges again when everything has taken effect.
func (c *twistCase) judgeLate(r migrate.Result) {
	c.t.Helper()
	held, _, _ := c.sim.Current(org, workspace)
	isNew, isOld := digest(held) == digest(sweepSnapshot), digest(held) == digest(c.scenario.held)
	switch success := r.Outcome == migrate.Moved || r.Outcome == migrate.AlreadyThere; {
	case success && !isNew:
		c.t.Error("success was reported, and later the workspace holds other bytes")
	case !success && isNew && !isOld && r.Code != migrate.CodeUnproven && r.Code != migrate.CodeLockLeft:
		c.t.Errorf("the state arrived late, and %q was reported", r.Code)
	}
	if _, locked := c.sim.LockHolder(org, workspace); locked && !r.Locked && !r.LockRequestLost {
		c.t.Error("a lock was taken late and not reported")
	}
}

// A lockWatch sits under the client. It notes when the lock was last seen as ours, by
// the time at which the request was sent whose answer showed it, and what was sent that
// relied on that.
type lockWatch struct {
	next     http.RoundTripper
	at       int // which request the process is suspended after, from 1
	suspends bool
	then     func() // what happens while it is

	mu      sync.Mutex
	engaged bool
	reason  string
	n       int
	jumped  time.Duration
	seen    lockwait.Instant
	last    []byte
	wrong   []string
}

func (w *lockWatch) clock() lockwait.Instant {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now()
}

func (w *lockWatch) now() lockwait.Instant {
	now := lockwait.SystemClock()
	now.Wall = now.Wall.Add(w.jumped)
	return now
}

func (w *lockWatch) disengage() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.engaged = false
}

func (w *lockWatch) wrongs() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong
}

func (w *lockWatch) lastDocument() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// RoundTrip implements http.RoundTripper.
func (w *lockWatch) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	sent := w.now()
	if w.engaged {
		w.n++
	}
	n := w.n
	relies := req.Method == http.MethodPut || req.Method == http.MethodPost && !strings.HasSuffix(req.URL.Path, "/actions/lock")
	if age := sent.Since(w.seen); w.engaged && relies && age > 5*time.Second {
		what := req.Method + " " + req.URL.Path
		if req.Method == http.MethodPut {
			what = "an upload"
		}
		w.wrong = append(w.wrong, fmt.Sprintf("%s was sent %s after the lock was last seen as ours", what, age))
	}
	w.mu.Unlock()
	resp, err := w.next.RoundTrip(req)
	if err == nil && strings.HasPrefix(req.URL.Path, "/api/v2/") {
		body, failed := io.ReadAll(resp.Body)
		if failed == nil {
			_ = resp.Body.Close()
			resp.Body = io.NopCloser(bytes.NewReader(body))
			w.answered(sent, body)
		} else {
			resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{failed}))
		}
	}
	w.mu.Lock()
	then := w.then
	if w.suspends && w.engaged && n == w.at {
		w.jumped += 10 * time.Minute
	} else {
		then = nil
	}
	w.mu.Unlock()
	if then != nil {
		then()
	}
	return resp, err
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// answered notes whether an answer shows the lock as ours.
func (w *lockWatch) answered(sent lockwait.Instant, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = body
	if bytes.Contains(body, []byte(`"locked":true`)) && bytes.Contains(body, []byte(w.reason)) {
		w.seen = sent
	}
}
