package azurerm

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/backend"
	"tfhaul/fixtures/blobstorage"
	"tfhaul/lockwait"
)

func always(context.Context) error { return nil }

const reason = "tfhaul moves this state (haul h-7)"

func newWriter(t *testing.T, target backend.Target, name string, o backend.WriterOptions) backend.Writer {
	t.Helper()
	s, err := target.Look(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	o.Reason = reason
	return target.Writer(s, o)
}

func toWrite(lease *lockwait.Lease, text string, was *backend.Version) backend.Write {
	sum := md5.Sum([]byte(text))
	return backend.Write{Lease: lease, Sending: always, Serial: 1, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)), Was: was,
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(text))), nil }}
}

func acquire(t *testing.T, w backend.Writer) *lockwait.Lease {
	t.Helper()
	lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// Terraform finds the lock, its description, and other metadata.
func TestWhatIsStored(t *testing.T) {
	s := &blobstorage.Server{}
	target := openTarget(t, acme+"live/"+start(t, s, false))
	put(s, "live/net.tfstate", "old")
	var order []string
	s.Intercept = func(w http.ResponseWriter, r *http.Request, op string, answer func() *httptest.ResponseRecorder) {
		if strings.HasPrefix(op, "PUT") {
			order = append(order, op)
		}
		blobstorage.Give(w, answer())
	}
	w := newWriter(t, target, "net.tfstate", backend.WriterOptions{})
	was, err := target.Current(t.Context(), w.(*writer).target.standing(w.(*writer).state, nil))
	if err != nil {
		t.Fatal(err)
	}
	lease := acquire(t, w)
	locked := s.Get("acme", "live/net.tfstate")
	text, err := base64.StdEncoding.DecodeString(locked.Metadata[lockMetadata])
	if err != nil || !strings.Contains(string(text), `"Path":"acme/live/net.tfstate"`) || !strings.Contains(string(text), `"ID":"`+locked.Lease+`"`) || locked.Lease == "" {
		t.Fatalf("the lock is %q, %+v", text, locked)
	}
	if st := w.Seen(); st == nil || st.Current.ID != was.ID {
		t.Errorf("under the lock, the version is %+v, want %s", st, was.ID)
	}
	if _, err := w.Write(t.Context(), toWrite(lease, "{}", was)); err != nil {
		t.Fatal(err)
	}
	if state := s.Get("acme", "live/net.tfstate"); string(state.Text) != "{}" || state.ContentType != "application/json" || state.Metadata["owner"] != "ann" || state.Lease != locked.Lease {
		t.Errorf("the state is %+v", state)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if state := s.Get("acme", "live/net.tfstate"); state.Lease != "" || len(state.Metadata) != 1 || state.Metadata["owner"] != "ann" {
		t.Errorf("after unlocking, the state is %+v", state)
	}
	// Killed anywhere in between, tfhaul leaves no lease without a description.
	if want := "PUT metadata, PUT lease acquire, PUT, PUT lease release, PUT metadata"; strings.Join(order, ", ") != want {
		t.Errorf("the order is %s\nwant         %s", strings.Join(order, ", "), want)
	}
}

// A lock creates an empty blob, as Terraform does. It goes with the lock.
func TestTheEmptyBlobOfALock(t *testing.T) {
	s := &blobstorage.Server{}
	target := openTarget(t, acme+start(t, s, false))
	w := newWriter(t, target, "a.tfstate", backend.WriterOptions{})
	lease := acquire(t, w)
	if b := s.Get("acme", "a.tfstate"); b == nil || len(b.Text) != 0 || b.Lease == "" || w.Seen().Current.ID != "" {
		t.Fatalf("%+v, %+v", b, w.Seen())
	}
	if err := lease.Release(t.Context()); err != nil || s.Get("acme", "a.tfstate") != nil {
		t.Errorf("%v; the blob is %+v", err, s.Get("acme", "a.tfstate"))
	}
	put(s, "b.tfstate", "") // Terraform's
	if err := acquire(t, newWriter(t, target, "b.tfstate", backend.WriterOptions{})).Release(t.Context()); err != nil || s.Get("acme", "b.tfstate") == nil {
		t.Errorf("an empty blob of another program: %v, %+v", err, s.Get("acme", "b.tfstate"))
	}
}

// A blob that another program stored in blocks has no MD5. Its version stays the same while it
// is locked.
func TestABlobWithoutAnMD5(t *testing.T) {
	s := &blobstorage.Server{}
	endpoint := start(t, s, false)
	put(s, "a.tfstate", "old")
	s.Change("acme", "a.tfstate", func(b *blobstorage.Blob) { b.NoMD5 = true })
	o := find(t, acme+"a.tfstate"+endpoint)
	text, v, err := read(t, o)
	sum := md5.Sum([]byte(text))
	if v.MD5 = hex.EncodeToString(sum[:]); err != nil || text != "old" {
		t.Fatalf("%q, %v", text, err)
	}
	held, err := o.TakeLock(t.Context(), backend.LockRequest{Info: "why"})
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]*blob{"this process": o, "another process": find(t, acme+"a.tfstate"+endpoint)} {
		if err := other.Check(t.Context(), v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := held.Release(t.Context()); err != nil {
		t.Error(err)
	}
	target := openTarget(t, acme+endpoint)
	was, err := target.Current(t.Context(), &backend.Standing{ID: "a.tfstate"})
	if err != nil {
		t.Fatal(err)
	}
	w := newWriter(t, target, "a.tfstate", backend.WriterOptions{})
	lease := acquire(t, w)
	if w.Seen().Current.ID != was.ID {
		t.Errorf("under the lock the version is %s, want %s", w.Seen().Current.ID, was.ID)
	}
	if _, err := w.Write(t.Context(), toWrite(lease, "new", was)); err != nil {
		t.Error(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := o.Check(t.Context(), v); !errors.As(err, new(*backend.ChangedError)) {
		t.Errorf("after the write: %v", err)
	}
}

// A fault is what happens to one request.
type fault struct {
	name string
	// answer returns the response, or nil for none.
	answer func(own func() *httptest.ResponseRecorder) *httptest.ResponseRecorder
}

var faults = []fault{
	{"no response, and no effect", func(func() *httptest.ResponseRecorder) *httptest.ResponseRecorder { return nil }},
	{"no response after it took effect", func(own func() *httptest.ResponseRecorder) *httptest.ResponseRecorder { own(); return nil }},
	{"an error after it took effect", func(own func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		own()
		return refusal(500, "InternalError")
	}},
	{"the server is busy", func(func() *httptest.ResponseRecorder) *httptest.ResponseRecorder { return refusal(503, "ServerBusy") }},
	{"refused", func(func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		return refusal(403, "AuthorizationPermissionMismatch")
	}},
	{"a page of a proxy", func(func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		w.WriteHeader(502)
		_, _ = io.WriteString(w, "<html>hunter2</html>")
		return w
	}},
}

func refusal(status int, code string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	blobstorage.Refuse(w, status, code, "refused by the test")
	return w
}

// A wire reaches a server without a network, and makes one request fail.
type wire struct {
	server *blobstorage.Server
	fails  int // the number of the request; 0 for none
	fault  fault
	sent   int
	failed string // what failed
}

func (f *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // read
	}
	own := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		in := r.Clone(r.Context())
		in.Body = io.NopCloser(bytes.NewReader(body))
		f.server.ServeHTTP(w, in)
		return w
	}
	f.sent++
	if f.sent != f.fails {
		return f.result(r, own()), nil
	}
	f.failed = r.Method + " " + r.URL.RawQuery
	if out := f.fault.answer(own); out != nil {
		return f.result(r, out), nil
	}
	return nil, io.ErrUnexpectedEOF
}

func (f *wire) result(r *http.Request, out *httptest.ResponseRecorder) *http.Response {
	resp := out.Result()
	resp.Request = r
	if n := resp.Header.Get("Content-Length"); n != "" {
		_, _ = fmt.Sscan(n, &resp.ContentLength) // a server of the tests
	}
	return resp
}

// Every fault at every request of a move into a blob: what is reported is true, and a later
// process of the haul finishes the move, and leaves no lock and no description.
func TestALostResponseToEachRequest(t *testing.T) {
	for name, before := range map[string]string{"a new blob": "", "an existing blob": "old"} {
		t.Run(name, func(t *testing.T) {
			cases := 0
			for _, f := range faults {
				for k, more := 1, true; more; k++ {
					synctest.Test(t, func(t *testing.T) { more = sweep(t, f, k, before) })
					cases++
				}
			}
			if cases < 6*len(faults) {
				t.Errorf("only %d cases", cases)
			}
		})
	}
}

func connect(t *testing.T, transport http.RoundTripper) *target {
	t.Helper()
	c := &connections{connection: backend.Connection{Environ: environ()}.WithDefaults(), target: true}
	in, err := c.container(acme)
	if err != nil {
		t.Fatal(err)
	}
	in.client.Transport = transport
	return &target{container: in}
}

// sweep reports whether the move sent the request that was to fail.
func sweep(t *testing.T, f fault, k int, before string) (more bool) {
	s := &blobstorage.Server{}
	s.AddContainer("acme", false)
	if before != "" {
		put(s, "a.tfstate", before)
	}
	line := &wire{server: s, fails: k, fault: f}
	failed := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s at request %d (%s): %s", f.name, k, line.failed, fmt.Sprintf(format, args...))
	}
	lost := 0
	move := func(o backend.WriterOptions) (wrote bool, err error) {
		target := connect(t, line)
		standing, err := target.Look(t.Context(), "a.tfstate")
		if err != nil {
			return false, err
		}
		was, err := target.Current(t.Context(), standing)
		if err != nil {
			return false, err
		}
		o.Reason, o.OnLost = reason, func() { lost++ }
		w := target.Writer(standing, o)
		lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
		if err != nil {
			return false, err
		}
		if was == nil || was.ID != "a.tfstate?md5="+hex.EncodeToString(md5Of([]byte("new"))) {
			_, err = w.Write(t.Context(), toWrite(lease, "new", was))
			wrote = err == nil
		}
		return wrote, errors.Join(err, lease.Release(t.Context()))
	}
	wrote, err := move(backend.WriterOptions{})
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		failed("the error shows the response: %v", err)
	}
	now := s.Get("acme", "a.tfstate")
	if wrote && (now == nil || string(now.Text) != "new") {
		failed("written, it says, and the blob is %+v", now)
	}
	if now != nil && string(now.Text) != "new" && string(now.Text) != before {
		failed("the blob holds %q", now.Text)
	}
	if now != nil && now.Lease != "" && now.Metadata[lockMetadata] == "" {
		failed("it left a lease without a description")
	}
	if err == nil && now.Lease != "" {
		failed("no error, and it left a lock")
	}
	if line.failed == "" {
		return false
	}
	// The next process knows that a lock may have been left.
	line.fails = 0
	if _, err := move(backend.WriterOptions{Lost: max(lost, 1)}); err != nil {
		failed("the next process: %v (after %v)", err, err)
	}
	if now := s.Get("acme", "a.tfstate"); now == nil || string(now.Text) != "new" || now.Lease != "" || now.Metadata[lockMetadata] != "" {
		failed("in the end, the blob is %+v", now)
	}
	return true
}

// The same for the lock of a source.
func TestALostResponseWhileASourceIsLocked(t *testing.T) {
	for _, f := range faults {
		for k, more := 1, true; more; k++ {
			synctest.Test(t, func(t *testing.T) {
				s := &blobstorage.Server{}
				s.AddContainer("acme", true)
				put(s, "a.tfstate", "old")
				line := &wire{server: s, fails: k, fault: f}
				o := newBlob(connect(t, line).container, "a.tfstate")
				held, err := o.TakeLock(t.Context(), backend.LockRequest{Info: "why"})
				left := errors.As(err, new(*backend.LockLeftError))
				if err == nil {
					err = held.Release(t.Context())
					left = errors.As(err, new(*backend.LockLeftError))
				}
				now := s.Get("acme", "a.tfstate")
				if now.Lease != "" && !left {
					t.Errorf("%s at request %d (%s): it left a lock: %v", f.name, k, line.failed, err)
				}
				if now.Lease != "" && now.Metadata[lockMetadata] == "" {
					t.Errorf("%s at request %d (%s): it left a lease without a description", f.name, k, line.failed)
				}
				if more = line.failed != ""; !more && err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A lock that another user broke and took again is neither ours nor released.
func TestALockOfAnotherUserStays(t *testing.T) {
	s := &blobstorage.Server{}
	endpoint := start(t, s, false)
	put(s, "a.tfstate", "{}")
	o := find(t, acme+"a.tfstate"+endpoint)
	held, err := o.TakeLock(t.Context(), backend.LockRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(held.Leave(), "terraform force-unlock "+held.Lock().ID) {
		t.Errorf("Leave returns %s", held.Leave())
	}
	lockLikeTerraform(s, "a.tfstate", terraformLease, `{"ID":"`+terraformLease+`","Who":"ann@build-7"}`)
	if err := held.Release(t.Context()); !backend.IsLockLost(err) || !strings.Contains(err.Error(), "ann@build-7") {
		t.Errorf("release: %v", err)
	}
	if err := o.FreeLock(t.Context(), held.Lock().ID); !backend.IsLockLost(err) {
		t.Errorf("freeing it: %v", err)
	}
	if b := s.Get("acme", "a.tfstate"); b.Lease != terraformLease || b.Metadata[lockMetadata] == "" {
		t.Errorf("the blob is %+v", b)
	}
}

// A target whose lease is broken writes nothing.
func TestABrokenLease(t *testing.T) {
	for name, lease := range map[string]string{"broken": "", "taken by another program": terraformLease} {
		t.Run(name, func(t *testing.T) {
			s := &blobstorage.Server{}
			target := openTarget(t, acme+start(t, s, false))
			put(s, "a.tfstate", "old")
			w := newWriter(t, target, "a.tfstate", backend.WriterOptions{})
			was, err := target.Current(t.Context(), w.(*writer).target.standing(w.(*writer).state, nil))
			if err != nil {
				t.Fatal(err)
			}
			held := acquire(t, w)
			s.Change("acme", "a.tfstate", func(b *blobstorage.Blob) { b.Lease = lease })
			if _, err := w.Write(t.Context(), toWrite(held, "new", was)); backend.CodeOf(err) != backend.NotLocked {
				t.Errorf("error %v", err)
			}
			if err := held.Release(t.Context()); err == nil {
				t.Error("it was released")
			}
			if b := s.Get("acme", "a.tfstate"); string(b.Text) != "old" || b.Lease != lease {
				t.Errorf("the blob is %+v", b)
			}
		})
	}
}

// The versions and snapshots of a blob are a source's history, without those that locks make,
// and without those of others.
func TestVersionsOfASource(t *testing.T) {
	t.Setenv(snapshotVariable, "")
	s := &blobstorage.Server{PageSize: 1}
	endpoint := start(t, s, true)
	put(s, "a.tfstate", "")
	for _, text := range []string{"1", "2"} {
		put(s, "a.tfstate", text)
		o := find(t, acme+"a.tfstate"+endpoint)
		held, err := o.TakeLock(t.Context(), backend.LockRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if err := held.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	target := openTarget(t, acme+endpoint, snapshotVariable+"=true")
	w := newWriter(t, target, "a.tfstate", backend.WriterOptions{})
	was, err := target.Current(t.Context(), &backend.Standing{ID: "a.tfstate"})
	if err != nil || !was.Kept {
		t.Fatalf("%+v, %v", was, err)
	}
	lease := acquire(t, w)
	if _, err := w.Write(t.Context(), toWrite(lease, "3", was)); err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(s, "a.tfstateenv:b", "4")
	snapshots := 0
	for _, b := range s.All("acme", "a.tfstate") {
		if b.Snapshot != "" && string(b.Text) == "2" {
			snapshots++
		}
		if b.Snapshot+b.Version == "" || len(b.Text) == 0 {
			continue
		}
		parameter := "versionid=" + b.Version
		if b.Snapshot != "" {
			parameter = "snapshot=" + b.Snapshot
		}
		if text, _, err := read(t, find(t, acme+"a.tfstate"+endpoint+"&"+parameter)); err != nil || text != string(b.Text) {
			t.Errorf("%s: %q, %v", parameter, text, err)
		}
	}
	if snapshots != 1 {
		t.Errorf("there are %d snapshots of what was replaced", snapshots)
	}
	o, got := find(t, acme+"a.tfstate"+endpoint), ""
	for v, err := range o.Versions(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, again := range []*backend.Version{v, {ID: v.ID}} {
			in, _, err := o.Open(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(in)
			if err != nil {
				t.Error(err)
			}
			_ = in.Close() // only read
			got += string(text)
		}
	}
	if got != "332211" {
		t.Errorf("the versions are %s", got)
	}
	remover := newWriter(t, target, "a.tfstate", backend.WriterOptions{}).(backend.Remover)
	if err := remover.CheckRemoval(t.Context()); backend.CodeOf(err) != backend.NotRemovable {
		t.Errorf("a blob with snapshots may be removed: %v", err)
	}
}
