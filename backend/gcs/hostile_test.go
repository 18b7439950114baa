package gcs

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend"
	"tfhaul/fixtures/cloudstorage"
)

// find returns the only state that an address names.
func find(t *testing.T, address string, more ...string) *object {
	t.Helper()
	listing, err := backend.Kinds{kind(more...)}.Find(t.Context(), address, backend.Filter{})
	if err != nil || len(listing.States) != 1 {
		t.Fatalf("%s: %+v, %v", address, listing, err)
	}
	return listing.States[0].(*object)
}

// read reads the current version.
func read(t *testing.T, o *object) (string, backend.Version, error) {
	t.Helper()
	in, v, err := o.Open(t.Context(), nil)
	if err != nil {
		return "", v, err
	}
	defer func() { _ = in.Close() }() // only read
	text, err := io.ReadAll(in)
	return string(text), v, err
}

// atHandler returns the state a.tfstate on a server with this handler.
func atHandler(t *testing.T, h http.HandlerFunc, more ...string) *object {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return find(t, "gs://acme/a.tfstate?endpoint="+server.URL, more...)
}

func TestRefusalsAreExplained(t *testing.T) {
	for _, tt := range []struct {
		status                int
		reason, message, want string
		code                  backend.Code
	}{
		{401, "authError", "Invalid Credentials", "set it to the output of: gcloud auth print-access-token", backend.ExpiredCredentials},
		{403, "forbidden", "ann@acme.test does not have storage.objects.get access to the Google Cloud Storage object.", "the credentials need storage.objects.get (or it does not exist", backend.AccessDenied},
		{403, "forbidden", "Permission denied on Cloud KMS key.", "Cloud KMS CryptoKey Encrypter/Decrypter", backend.KeyDenied},
		{403, "retentionPolicyNotMet", "Object is subject to the bucket's retention policy.", "a retention policy or a hold", backend.AccessDenied},
		{404, "notFound", "The specified bucket does not exist.", "the bucket does not exist", backend.NoContainer},
		{404, "notFound", "No such object: acme/a.tfstate", "the object does not exist", backend.NoState},
		{400, "resourceIsEncryptedWithCustomerEncryptionKey", "The target object is encrypted by a customer-supplied encryption key.", "set GOOGLE_ENCRYPTION_KEY", backend.KeyDenied},
		{418, "teapot", "short and stout ya29.hunter2", `the server answered 418 ("short and stout [hidden]")`, backend.Failed},
	} {
		t.Run(tt.reason+" "+string(tt.code), func(t *testing.T) {
			o := atHandler(t, func(w http.ResponseWriter, _ *http.Request) { cloudstorage.Refuse(w, tt.status, tt.reason, tt.message) })
			if _, _, err := o.Open(t.Context(), nil); err == nil || !strings.Contains(err.Error(), tt.want) || backend.CodeOf(err) != tt.code || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v (%s)\nwant  %s", err, backend.CodeOf(err), tt.want)
			}
		})
	}
}

// A read is repeated while the server is overloaded or fails, a refusal is not.
func TestReadsAreRepeated(t *testing.T) {
	for status, want := range map[int]int64{429: maxAttempts, 503: maxAttempts, 408: maxAttempts, 403: 1, 404: 1} {
		var asked atomic.Int64
		synctestServer(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			cloudstorage.Refuse(w, status, "reason", "refused by the test")
		}, func(t *testing.T, o *object) {
			if _, _, err := o.Open(t.Context(), nil); statusOf(err) != status {
				t.Errorf("%d: %v", status, err)
			}
		})
		if asked.Load() != want {
			t.Errorf("%d: %d attempts, want %d", status, asked.Load(), want)
		}
	}
}

// synctestServer runs a test in a bubble, where pauses take no time, with a server that is
// reached without a network.
func synctestServer(t *testing.T, h http.HandlerFunc, run func(*testing.T, *object)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &connections{connection: backend.Connection{Environ: environ()}.WithDefaults(), target: true}
		b, err := c.bucket("gs://acme/")
		if err != nil {
			t.Fatal(err)
		}
		b.client.Transport = handlerTransport{h}
		run(t, newObject(b, "a.tfstate"))
	})
}

type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // read
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestARedirectToAnotherHostIsNotFollowed(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 307, 308} {
		o := atHandler(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+r.URL.Path, status) })
		if _, _, err := o.Open(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "redirects to another address, which tfhaul does not follow") || followed {
			t.Errorf("%d: %v, followed: %t", status, err, followed)
		}
	}
}

// tfhaul notices content that a server or a proxy spoils.
func TestSpoiledContentIsNoticed(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(h http.Header, text []byte) []byte
		want  string
	}{
		"cut":          {func(_ http.Header, text []byte) []byte { return text[:5] }, "broke off after 5 of 9 bytes: the connection was closed"},
		"another byte": {func(_ http.Header, text []byte) []byte { return bytes.ToUpper(text) }, "does not match the MD5"},
		"only CRC32C": {func(h http.Header, text []byte) []byte {
			h["X-Goog-Hash"] = h["X-Goog-Hash"][:1]
			return bytes.ToUpper(text)
		}, "does not match the CRC32C"},
		"no hash":          {func(h http.Header, text []byte) []byte { h.Del("X-Goog-Hash"); return text }, "neither its MD5 nor its CRC32C"},
		"no generation":    {func(h http.Header, text []byte) []byte { h.Del("X-Goog-Generation"); return text }, "does not report its version"},
		"no length":        {func(h http.Header, text []byte) []byte { h.Del("Content-Length"); return text }, "does not report its length"},
		"another encoding": {func(h http.Header, text []byte) []byte { h.Set("Content-Encoding", "gzip"); return text }, "does a proxy change responses?"},
		"unknown encoding": {func(h http.Header, text []byte) []byte {
			h.Set("X-Goog-Stored-Content-Encoding", "br")
			h.Set("Content-Encoding", "br")
			return text
		}, "which Terraform cannot read"},
		"not gzip": {func(h http.Header, text []byte) []byte {
			h.Set("X-Goog-Stored-Content-Encoding", "gzip")
			h.Set("Content-Encoding", "gzip")
			return text
		}, "is not compressed correctly"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &cloudstorage.Server{}
			s.Intercept = func(w http.ResponseWriter, r *http.Request, op string, answer func() *httptest.ResponseRecorder) {
				out := answer()
				text := tt.spoil(out.Header(), out.Body.Bytes())
				for name, values := range out.Header() {
					w.Header()[name] = values
				}
				w.WriteHeader(out.Code)
				_, _ = w.Write(text)
				w.(http.Flusher).Flush()
				if len(text) < out.Body.Len() {
					panic(http.ErrAbortHandler)
				}
			}
			endpoint := start(t, s, false)
			put(s, "a.tfstate", "as it was")
			if _, _, err := read(t, find(t, "gs://acme/a.tfstate"+endpoint)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestABodyThatStallsIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		in, err := newBody(ctx, cancel, io.NopCloser(stalled{ctx}), "gs://acme/a", &metadata{Size: 10}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		_, err = io.ReadAll(in)
		if !errors.As(err, new(*backend.StallError)) || !strings.Contains(err.Error(), "broke off after 0 of 10 bytes: nothing arrived for 1m0s") {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(started); waited != time.Minute {
			t.Errorf("waited %s, want a minute", waited)
		}
	})
}

// stalled is a body that sends nothing until its request is canceled.
type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// An object that is stored compressed reads as Terraform reads it.
func TestACompressedObject(t *testing.T) {
	var packed bytes.Buffer
	to := gzip.NewWriter(&packed)
	_, _ = to.Write(bytes.Repeat([]byte("state "), 10_000))
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	s := &cloudstorage.Server{}
	endpoint := start(t, s, false)
	s.Put("acme", cloudstorage.Object{Name: "a.tfstate", Text: packed.Bytes(), ContentEncoding: "gzip"})
	text, v, err := read(t, find(t, "gs://acme/a.tfstate"+endpoint))
	if err != nil || text != strings.Repeat("state ", 10_000) || v.Size != 0 {
		t.Errorf("%d bytes, %+v, %v", len(text), v, err)
	}
	damaged := bytes.Clone(packed.Bytes())
	damaged[len(damaged)-5] ^= 1
	s.Put("acme", cloudstorage.Object{Name: "a.tfstate", Text: damaged, ContentEncoding: "gzip"})
	if _, _, err := read(t, find(t, "gs://acme/a.tfstate"+endpoint)); err == nil || !strings.Contains(err.Error(), "cannot decompress") {
		t.Errorf("error %v", err)
	}
}

// Google's front end compresses documents, but no objects, for clients that accept it.
func TestCompressedDocuments(t *testing.T) {
	s := &cloudstorage.Server{}
	s.Intercept = func(w http.ResponseWriter, r *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
		out := answer()
		if out.Header().Get("X-Goog-Generation") != "" || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.Method != http.MethodPost {
			cloudstorage.Give(w, out)
			return
		}
		w.Header().Set("Content-Type", out.Header().Get("Content-Type"))
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(out.Code)
		to := gzip.NewWriter(w)
		_, _ = to.Write(out.Body.Bytes())
		_ = to.Close() // the client may have disconnected
	}
	endpoint := start(t, s, false)
	moveInto(t, openTarget(t, "gs://acme/"+endpoint), "default.tfstate", "{}")
	if text, _, err := read(t, find(t, "gs://acme/default.tfstate"+endpoint)); err != nil || text != "{}" {
		t.Errorf("%q, %v", text, err)
	}
	if _, _, err := read(t, find(t, "gs://missing/default.tfstate"+endpoint)); backend.CodeOf(err) != backend.NoContainer {
		t.Errorf("a refusal: %v", err)
	}
}

func TestUnreliableListingIsAnError(t *testing.T) {
	const item = `{"name":"a/default.tfstate","generation":"7","size":"2"}`
	for name, tt := range map[string]struct{ page, want string }{
		"the same page forever":       {`{"items":[` + item + `],"nextPageToken":"x"}`, "not in order"},
		"empty pages forever":         {`{"nextPageToken":"x"}`, "not where they begin"},
		"names in any order":          {`{"items":[` + item + `,{"name":"a/a.tfstate","generation":"7","size":"2"}]}`, "not in order"},
		"a page of a proxy":           {`<html>hunter2</html>`, "is the endpoint its JSON API?"},
		"sizes that are not a number": {`{"items":[{"name":"a/a.tfstate","generation":"x","size":"2"}]}`, "is the endpoint its JSON API?"},
		"a listing of null":           {`{"items":[null]}`, "not in order"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.page) }))
			defer server.Close()
			_, err := backend.Kinds{kind()}.Find(t.Context(), "gs://acme/?endpoint="+server.URL, backend.Filter{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// A server that sends a page of 5 GB, or any number of pages, does not fill the memory.
func TestEndlessResponsesAreNotHeld(t *testing.T) {
	const pages, page = 8, 8 << 20
	for name, answer := range map[string]func(w http.ResponseWriter, n int64){
		"a page": func(w http.ResponseWriter, _ int64) {
			_, _ = io.WriteString(w, `{"items":[`)
			piece := []byte(strings.Repeat(" ", 1<<20))
			for range 5 << 10 {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		},
		"pages": func(w http.ResponseWriter, n int64) {
			fmt.Fprintf(w, `{"items":[{"name":"a/%09d","generation":"1","size":"1"}]`, n)
			_, _ = io.WriteString(w, strings.Repeat(" ", page))
			if n < pages {
				fmt.Fprintf(w, `,"nextPageToken":"%d"`, n)
			}
			_, _ = io.WriteString(w, "}")
		},
		"a refusal": func(w http.ResponseWriter, _ int64) {
			w.WriteHeader(http.StatusForbidden)
			piece := bytes.Repeat([]byte("x"), 1<<20)
			for range 5 << 10 {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, asked.Add(1)) }))
			defer server.Close()
			_, err := backend.Kinds{kind()}.Find(t.Context(), "gs://acme/a/?endpoint="+server.URL, backend.Filter{})
			if err == nil || len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes: %v", len(err.Error()), err)
			}
			runtime.GC()
			var after runtime.MemStats
			runtime.ReadMemStats(&after)
			if after.HeapAlloc > 32<<20 {
				t.Errorf("%d MiB are held", after.HeapAlloc>>20)
			}
		})
	}
}

func TestNamesOfAllKinds(t *testing.T) {
	s := &cloudstorage.Server{PageSize: 1}
	endpoint := start(t, s, false)
	names := []string{"a\nb/x y.tfstate", "a/100%25%.tfstate", "a/?x=1#y.tfstate", "a/../../etc/x.tfstate", "a//x.tfstate", "a/\u202e.tfstate", "a/\x00.tfstate", "a/+&=;.tfstate"}
	for _, name := range names {
		put(s, name, name)
	}
	listing, err := backend.Kinds{kind()}.Find(t.Context(), "gs://acme/"+endpoint, backend.Filter{})
	if err != nil || len(listing.States) != len(names) {
		t.Fatalf("%+v, %v", listing, err)
	}
	for _, found := range listing.States {
		if strings.ContainsAny(found.Address(), "\n\x00\u202e ") {
			t.Errorf("the address %q has control characters", found.Address())
		}
		if text, _, err := read(t, find(t, found.Address())); err != nil || text != found.Place().Key {
			t.Errorf("%s reads as %q, %v", found.Address(), text, err)
		}
	}
}

func TestALockThatIsNotJSON(t *testing.T) {
	s := &cloudstorage.Server{}
	endpoint := start(t, s, false)
	put(s, "a.tfstate", "{}")
	generation := put(s, "a.tflock", "<html>")
	lock, err := find(t, "gs://acme/a.tfstate"+endpoint).Holder(t.Context())
	if err != nil || lock == nil || lock.ID != fmt.Sprint(generation) || !strings.Contains(lock.Info, "not in the JSON format") {
		t.Errorf("%+v, %v", lock, err)
	}
	if lock != nil && lock.Lift() != fmt.Sprintf("terraform force-unlock %d in its configuration", generation) {
		t.Errorf("the command to remove the lock is %q", lock.Lift())
	}
	s.Put("acme", cloudstorage.Object{Name: "a.tflock", Text: bytes.Repeat([]byte("x"), 1<<20)})
	if lock, err := find(t, "gs://acme/a.tfstate"+endpoint).Holder(t.Context()); err != nil || lock == nil {
		t.Errorf("a lock of 1 MiB: %+v, %v", lock, err)
	}
}

// If a version is replaced between two requests, either it is read as it was, or the read
// fails. The new version is never read in its place.
func TestAVersionThatIsReplacedMeanwhile(t *testing.T) {
	for name, versioned := range map[string]bool{"unversioned": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			s := &cloudstorage.Server{}
			endpoint := start(t, s, versioned)
			put(s, "default.tfstate", "old")
			target := openTarget(t, "gs://acme/"+endpoint)
			standing, err := target.Look(t.Context(), "default.tfstate")
			if err != nil {
				t.Fatal(err)
			}
			v, err := target.Current(t.Context(), standing)
			if err != nil || v.Kept != versioned {
				t.Fatalf("%+v, %v", v, err)
			}
			put(s, "default.tfstate", "new")
			in, err := target.Read(t.Context(), v)
			if !versioned {
				if _, changed := errors.AsType[*backend.ChangedError](err); !changed {
					t.Errorf("error %v", err)
				}
				return
			}
			text, err := io.ReadAll(in)
			if err != nil || string(text) != "old" {
				t.Errorf("the state reads as %q, %v", text, err)
			}
			_ = in.Close() // only read
		})
	}
}

// tfhaul notices a server that sends a different version than requested.
func TestAnotherVersionThanRequested(t *testing.T) {
	s := &cloudstorage.Server{}
	endpoint := start(t, s, false)
	first := put(s, "a.tfstate", "old")
	put(s, "a.tfstate", "new")
	s.Intercept = func(w http.ResponseWriter, r *http.Request, op string, answer func() *httptest.ResponseRecorder) {
		q := r.URL.Query()
		q.Del("generation")
		r.URL.RawQuery = q.Encode()
		cloudstorage.Give(w, answer())
	}
	o := find(t, "gs://acme/a.tfstate"+endpoint)
	_, _, err := o.Open(t.Context(), &backend.Version{ID: versionID("a.tfstate", first)})
	if err == nil || !strings.Contains(err.Error(), "a different version than requested") {
		t.Errorf("error %v", err)
	}
}

// A customer's key is sent for the state, and not for the lock. Objects without it are read,
// too.
func TestTheCustomersKey(t *testing.T) {
	const encoded = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
	key := keyVariable + "=" + encoded
	s := &cloudstorage.Server{}
	endpoint := start(t, s, false)
	target := openTarget(t, "gs://acme/"+endpoint, key)
	moveInto(t, target, "default.tfstate", "{}")
	if s.Get("acme", "default.tfstate").KeySHA256 == "" {
		t.Error("the state is not encrypted with the key")
	}
	put(s, "plain.tfstate", "plain")
	put(s, "default.tflock", `{"ID":"x"}`)
	for name, want := range map[string]string{"default.tfstate": "{}", "plain.tfstate": "plain"} {
		o := find(t, "gs://acme/"+name+endpoint, key)
		if text, _, err := read(t, o); err != nil || text != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if lock, err := find(t, "gs://acme/default.tfstate"+endpoint, key).Holder(t.Context()); err != nil || lock == nil {
		t.Errorf("the lock: %+v, %v", lock, err)
	}
	for name, variable := range map[string]string{"without the key": "X=", "with another key": keyVariable + "=" + strings.Replace(encoded, "a2tr", "eHh4", 1)} {
		if _, _, err := read(t, find(t, "gs://acme/default.tfstate"+endpoint, variable)); backend.CodeOf(err) != backend.KeyDenied || strings.Contains(err.Error(), encoded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, more := range map[string][]string{
		"two encryptions": {key, kmsVariable + "=projects/p"}, "a short key": {keyVariable + "=aHVudGVyMg=="}, "not base64": {keyVariable + "=hunter2!"},
	} {
		if _, err := kind(more...).Target.Open(t.Context(), "gs://acme/"); err == nil || strings.Contains(err.Error(), "unter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := kind(key).Target.Open(t.Context(), "gs://acme/?kms-key-id=projects/p"); err == nil || !strings.Contains(err.Error(), "two different encryptions") {
		t.Errorf("a key and a parameter: %v", err)
	}
}

// An object that is replaced keeps its KMS key, unless the user names another one.
func TestKMSKeys(t *testing.T) {
	const old, other = "projects/p/locations/eu/keyRings/r/cryptoKeys/old", "projects/p/locations/eu/keyRings/r/cryptoKeys/other"
	s := &cloudstorage.Server{}
	endpoint := start(t, s, false)
	s.Put("acme", cloudstorage.Object{Name: "default.tfstate", Text: []byte("1"), KMSKey: old + "/cryptoKeyVersions/3"})
	for _, tt := range []struct{ address, variable, want string }{
		{"gs://acme/" + endpoint, "X=", old},
		{"gs://acme/" + endpoint, kmsVariable + "=" + other, other},
		{"gs://acme/" + endpoint + "&kms-key-id=" + old, kmsVariable + "=" + other, old},
	} {
		moveInto(t, openTarget(t, tt.address, tt.variable), "default.tfstate", "{}")
		if got := s.Get("acme", "default.tfstate").KMSKey; got != tt.want+"/cryptoKeyVersions/1" {
			t.Errorf("with %s, it has the key %q, want %q", tt.variable, got, tt.want)
		}
	}
}
