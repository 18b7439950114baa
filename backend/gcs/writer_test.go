package gcs

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/fixtures/cloudstorage"
	"tfhaul/lockwait"
)

func always(context.Context) error { return nil }

func newWriter(t *testing.T, target backend.Target, name string, o backend.WriterOptions) backend.Writer {
	t.Helper()
	s, err := target.Look(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	o.Reason = "tfhaul moves this state (haul h-7)"
	return target.Writer(s, o)
}

func toWrite(lease *lockwait.Lease, text string, was *backend.Version) backend.Write {
	sum := md5.Sum([]byte(text))
	return backend.Write{Lease: lease, Sending: always, Serial: 1, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)), Was: was,
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(text))), nil }}
}

// moveInto writes a state under its lock.
func moveInto(t *testing.T, target backend.Target, name, text string) {
	t.Helper()
	w := newWriter(t, target, name, backend.WriterOptions{})
	was, err := target.Current(t.Context(), &backend.Standing{ID: target.(*gcsTarget).url.key + name})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(t.Context(), toWrite(lease, text, was)); err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type gcsTarget = target

// once makes the first request of this kind fail.
func once(op string, fail func(w http.ResponseWriter, answer func() *httptest.ResponseRecorder)) func(http.ResponseWriter, *http.Request, string, func() *httptest.ResponseRecorder) {
	failed := false
	return func(w http.ResponseWriter, r *http.Request, at string, answer func() *httptest.ResponseRecorder) {
		if at != op || failed {
			cloudstorage.Give(w, answer())
			return
		}
		failed = true
		fail(w, answer)
	}
}

// lose lets a request take effect and closes the connection.
func lose(_ http.ResponseWriter, answer func() *httptest.ResponseRecorder) {
	answer()
	panic(http.ErrAbortHandler)
}

// Terraform recognizes a lock by its generation, and stores what it writes as text.
func TestWhatIsStored(t *testing.T) {
	s := &cloudstorage.Server{}
	endpoint := start(t, s, false)
	target := openTarget(t, "gs://acme/live/"+endpoint)
	w := newWriter(t, target, "net/prod.tfstate", backend.WriterOptions{})
	lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lock := s.Get("acme", "live/net/prod.tflock")
	if lock == nil || lock.ContentType != "text/plain; charset=utf-8" || !strings.Contains(string(lock.Text), `"Path":"gs://acme/live/net/prod.tflock"`) {
		t.Fatalf("the lock is %+v", lock)
	}
	if s, err := target.Look(t.Context(), "net/prod.tfstate"); err != nil || !s.Locked || s.Holder.ID != strconv.FormatInt(lock.Generation, 10) {
		t.Errorf("%+v, %v", s, err)
	}
	v, err := w.Write(t.Context(), toWrite(lease, "{}", nil))
	if err != nil || v.Kept {
		t.Fatalf("%+v, %v", v, err)
	}
	if state := s.Get("acme", "live/net/prod.tfstate"); string(state.Text) != "{}" || state.ContentType != "text/plain; charset=utf-8" {
		t.Errorf("the state is %+v", state)
	}
	if err := lease.Release(t.Context()); err != nil || s.Get("acme", "live/net/prod.tflock") != nil {
		t.Errorf("release: %v", err)
	}
}

// A state may contain what separates the parts of a request.
func TestAStateLikeARequest(t *testing.T) {
	s := &cloudstorage.Server{}
	target := openTarget(t, "gs://acme/"+start(t, s, false))
	text := "\r\n--" + strings.Repeat("A", 26) + "--\r\nContent-Type: application/json\r\n\r\n"
	moveInto(t, target, "default.tfstate", text)
	if got := s.Get("acme", "default.tfstate"); string(got.Text) != text {
		t.Errorf("the object holds %q", got.Text)
	}
}

func TestAWriteWithALostResponse(t *testing.T) {
	s := &cloudstorage.Server{}
	endpoint := start(t, s, false)
	target := openTarget(t, "gs://acme/"+endpoint)
	w := newWriter(t, target, "default.tfstate", backend.WriterOptions{})
	lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Intercept = once("POST", lose)
	if _, err := w.Write(t.Context(), toWrite(lease, "{}", nil)); backend.CodeOf(err) != backend.Ambiguous {
		t.Errorf("error %v", err)
	}
	// Sent again, the server refuses it, because it has it.
	v, err := w.Write(t.Context(), toWrite(lease, "{}", nil))
	if err != nil || v.ID != versionID("default.tfstate", s.Get("acme", "default.tfstate").Generation) {
		t.Errorf("%+v, %v", v, err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// An overloaded server has stored nothing, so the state is sent again, from its beginning.
func TestAnOverloadedServerGetsAStateAgain(t *testing.T) {
	s := &cloudstorage.Server{}
	target := openTarget(t, "gs://acme/"+start(t, s, false))
	s.Intercept = once("POST", func(w http.ResponseWriter, _ func() *httptest.ResponseRecorder) {
		cloudstorage.Refuse(w, 429, "rateLimitExceeded", "The object acme/default.tfstate exceeded the rate limit for object mutation operations.")
	})
	moveInto(t, target, "default.tfstate", "{}")
	if got := s.Get("acme", "default.tfstate"); got == nil || string(got.Text) != "{}" {
		t.Errorf("the object is %+v", got)
	}
}

func TestALockWithALostResponseIsOurs(t *testing.T) {
	s := &cloudstorage.Server{}
	endpoint := start(t, s, false)
	put(s, "default.tfstate", "{}")
	t.Run("of a target", func(t *testing.T) {
		lost := 0
		w := newWriter(t, openTarget(t, "gs://acme/"+endpoint), "default.tfstate", backend.WriterOptions{OnLost: func() { lost++ }})
		s.Intercept = once("POST lock", lose)
		lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
		if err != nil || lost != 1 {
			t.Fatalf("%v, %d requests lost", err, lost)
		}
		s.Intercept = once("DELETE lock", lose)
		if err := lease.Release(t.Context()); err != nil || s.Get("acme", "default.tflock") != nil {
			t.Errorf("release: %v", err)
		}
	})
	t.Run("of a source", func(t *testing.T) {
		o := find(t, "gs://acme/default.tfstate"+endpoint)
		s.Intercept = once("POST lock", lose)
		lease, err := o.TakeLock(t.Context(), backend.LockRequest{Info: "why"})
		if err != nil {
			t.Fatal(err)
		}
		if held := s.Get("acme", "default.tflock"); lease.Lock().ID != strconv.FormatInt(held.Generation, 10) {
			t.Errorf("the lock has the ID %s", lease.Lock().ID)
		}
		if _, err := o.TakeLock(t.Context(), backend.LockRequest{}); !errors.As(err, new(*backend.LockedError)) {
			t.Errorf("taking it twice: %v", err)
		}
		s.Intercept = once("DELETE lock", lose)
		if err := lease.Release(t.Context()); err != nil || s.Get("acme", "default.tflock") != nil {
			t.Errorf("release: %v", err)
		}
		if err := lease.Release(t.Context()); !backend.IsLockLost(err) {
			t.Errorf("releasing it twice: %v", err)
		}
	})
	t.Run("of a source, and it cannot be read", func(t *testing.T) {
		o := find(t, "gs://acme/default.tfstate"+endpoint)
		wrote := false
		s.Intercept = func(w http.ResponseWriter, _ *http.Request, op string, answer func() *httptest.ResponseRecorder) {
			switch {
			case op == "POST lock":
				wrote = true
				lose(w, answer)
			case wrote:
				cloudstorage.Refuse(w, 403, "forbidden", "no")
			}
		}
		_, err := o.TakeLock(t.Context(), backend.LockRequest{})
		if left, ok := errors.AsType[*backend.LockLeftError](err); !ok || left.Lift != "gcloud storage rm gs://acme/default.tflock" {
			t.Errorf("error %v", err)
		}
		s.Intercept = nil
		s.Remove("acme", "default.tflock")
	})
}

// A lock that another user removed and took again is neither ours nor removed.
func TestALockOfAnotherUserStays(t *testing.T) {
	s := &cloudstorage.Server{}
	endpoint := start(t, s, false)
	put(s, "default.tfstate", "{}")
	o := find(t, "gs://acme/default.tfstate"+endpoint)
	lease, err := o.TakeLock(t.Context(), backend.LockRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(lease.Leave(), "terraform force-unlock "+lease.Lock().ID) {
		t.Errorf("Leave returns %s", lease.Leave())
	}
	text := string(s.Get("acme", "default.tflock").Text)
	s.Remove("acme", "default.tflock")
	put(s, "default.tflock", text) // the same text, and another generation
	if err := lease.Release(t.Context()); !backend.IsLockLost(err) {
		t.Errorf("release: %v", err)
	}
	if err := o.FreeLock(t.Context(), lease.Lock().ID); !backend.IsLockLost(err) {
		t.Errorf("freeing it: %v", err)
	}
	if s.Get("acme", "default.tflock") == nil {
		t.Error("it was removed")
	}
}

// A missing bucket is reported before anything is sent, and missing permissions by name.
func TestUnusableBuckets(t *testing.T) {
	s := &cloudstorage.Server{}
	endpoint := start(t, s, true)
	if _, err := openTarget(t, "gs://missing/"+endpoint).Look(t.Context(), "default.tfstate"); backend.CodeOf(err) != backend.NoContainer {
		t.Errorf("a missing bucket: %v", err)
	}
	if _, err := (backend.Kinds{kind()}).Find(t.Context(), "gs://missing/"+endpoint, backend.Filter{}); backend.CodeOf(err) != backend.NoContainer {
		t.Errorf("searching a missing bucket: %v", err)
	}
	put(s, "default.tfstate", "{}")
	s.Intercept = func(w http.ResponseWriter, r *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
		if strings.HasSuffix(r.URL.Path, "/b/acme") {
			cloudstorage.Refuse(w, 403, "forbidden", "ann@acme.test does not have storage.buckets.get access to the Google Cloud Storage bucket.")
			return
		}
		cloudstorage.Give(w, answer())
	}
	target := openTarget(t, "gs://acme/"+endpoint)
	v, err := target.Current(t.Context(), &backend.Standing{ID: "default.tfstate"})
	if err != nil || v.Kept {
		t.Errorf("a bucket whose settings cannot be read: %+v, %v", v, err)
	}
}

// The versions of an object are a source's history, without those of others.
func TestVersionsOfASource(t *testing.T) {
	s := &cloudstorage.Server{PageSize: 1}
	endpoint := start(t, s, true)
	for _, text := range []string{"1", "2", "3"} {
		put(s, "default.tfstate", text)
	}
	put(s, "default.tfstate.old.tfstate", "4")
	o := find(t, "gs://acme/default.tfstate"+endpoint)
	got := ""
	for v, err := range o.Versions(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		in, _, err := o.Open(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Error(err)
		}
		_ = in.Close() // only read
		got += string(text)
		_, generation, err := parseVersionID(v.ID)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := read(t, find(t, "gs://acme/default.tfstate"+endpoint+"&generation="+strconv.FormatInt(generation, 10))); err != nil || again != string(text) {
			t.Errorf("generation %d: %q, %v", generation, again, err)
		}
	}
	if got != "321" {
		t.Errorf("the versions are %s", got)
	}
}
