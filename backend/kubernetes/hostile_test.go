package kubernetes

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tfhaul/backend"
	fake "tfhaul/fixtures/kubernetes"
	"tfhaul/lockwait"
)

func TestRefusalsAreExplained(t *testing.T) {
	for _, tt := range []struct {
		status              int
		reason, message, of string
		want                string
		code                backend.Code
	}{
		{401, "Unauthorized", "Unauthorized", "", `the server rejects the credentials of the user "ann" of the kubeconfig`, backend.BadCredentials},
		{403, "Forbidden", `secrets is forbidden: User "ann" cannot list resource "secrets" in API group "" in the namespace "infra"`, secrets, `the credentials need the verb list on secrets in the namespace infra. To check: kubectl --kubeconfig "$KUBE_CONFIG_PATH" auth can-i list secrets --namespace infra`, backend.AccessDenied},
		{404, "NotFound", "the server could not find the requested resource", "", "is it the API server", backend.Failed},
		{418, "Teapot", "short and stout eyJhbGciOi.hunter2", "", `the server answered 418 ("short and stout [hidden]")`, backend.Failed},
		{501, "", "", "", "without a readable reason", backend.Failed},
	} {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			c := start(t)
			c.Intercept = func(w http.ResponseWriter, _ *http.Request, _ string, _ func() *httptest.ResponseRecorder) {
				if tt.reason == "" {
					w.WriteHeader(tt.status)
					return
				}
				fake.Refuse(w, tt.status, tt.reason, tt.message, tt.of)
			}
			_, err := (backend.Kinds{c.kind()}).Find(t.Context(), "kubernetes://infra", backend.Filter{})
			if tt.reason == "Teapot" && err != nil && strings.Contains(err.Error(), "hunter2") || err == nil || backend.CodeOf(err) != tt.code || tt.status != 404 && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v (%s)\nwant  %s", err, backend.CodeOf(err), tt.want)
			}
		})
	}
}

// What the credentials may not do is named with its verb and resource, for every request of a move.
func TestMissingRights(t *testing.T) {
	for op, want := range map[string]string{
		"list secrets":   "auth can-i list secrets --namespace infra",
		"get leases":     "auth can-i get leases.coordination.k8s.io --namespace infra",
		"create leases":  "auth can-i create leases.coordination.k8s.io --namespace infra",
		"create secrets": "auth can-i create secrets --namespace infra",
	} {
		c := start(t)
		c.Forbids = func(verb, resource string) bool { return verb+" "+resource == op }
		err := func() error {
			target := c.target(t, "kubernetes://infra")
			s, err := target.Look(t.Context(), "net/default")
			if err != nil {
				return err
			}
			w := target.Writer(s, backend.WriterOptions{Reason: "r"})
			lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
			if err != nil {
				return err
			}
			_, err = w.Write(t.Context(), toWrite(lease, []byte("{}"), nil))
			return err
		}()
		if backend.CodeOf(err) != backend.AccessDenied || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", op, err)
		}
	}
	c := start(t)
	if err := moveInto(t, c.target(t, "kubernetes://infra"), "net/default", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	other := c.target(t, "kubernetes://elsewhere")
	w := newWriter(t, other, "net/default", backend.WriterOptions{})
	if _, err := lockwait.Acquire(t.Context(), w, lockwait.Options{}); backend.CodeOf(err) != backend.NoContainer || !strings.Contains(err.Error(), `kubectl --kubeconfig "$KUBE_CONFIG_PATH" create namespace elsewhere`) {
		t.Error(err)
	}
}

// A server cannot make tfhaul read endlessly, or take a part of a listing for the whole.
func TestHostileListings(t *testing.T) {
	item := func(name string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q,"uid":"u","resourceVersion":"1","labels":{"tfstate":"true","tfstateSecretSuffix":"net","tfstateWorkspace":"default"}},"data":{"tfstate":"eA=="}}`, name)
	}
	for name, tt := range map[string]struct {
		serve func(w io.Writer, r *http.Request)
		want  string
	}{
		"the same page forever": {func(w io.Writer, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"metadata":{"continue":"x"},"items":[%s]}`, item("a"))
		}, "may be incomplete"},
		"empty pages": {func(w io.Writer, _ *http.Request) {
			_, _ = io.WriteString(w, `{"metadata":{"continue":"x"},"items":[]}`)
		}, "not where they begin"},
		"endless items": {func(w io.Writer, _ *http.Request) {
			_, _ = io.WriteString(w, `{"items":[`)
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(w, `%s,`, item(fmt.Sprint(i)+strings.Repeat("x", 1<<16))); err != nil {
					return
				}
			}
		}, "longer than 1 MiB"},
		"no list":        {func(w io.Writer, _ *http.Request) { _, _ = io.WriteString(w, `{"kind":"Secret"}`) }, "not a list of Kubernetes"},
		"no JSON":        {func(w io.Writer, _ *http.Request) { _, _ = io.WriteString(w, `<html>`) }, "not a list of Kubernetes"},
		"two lists":      {func(w io.Writer, _ *http.Request) { _, _ = io.WriteString(w, `{"items":[],"items":[]}`) }, "not a list of Kubernetes"},
		"items of text":  {func(w io.Writer, _ *http.Request) { _, _ = io.WriteString(w, `{"items":"none"}`) }, "not a list of Kubernetes"},
		"without a name": {func(w io.Writer, _ *http.Request) { _, _ = io.WriteString(w, `{"items":[{"metadata":{}}]}`) }, "may be incomplete"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			c.Intercept = func(w http.ResponseWriter, r *http.Request, _ string, _ func() *httptest.ResponseRecorder) {
				tt.serve(w, r)
			}
			_, err := (backend.Kinds{c.kind()}).Find(t.Context(), "kubernetes://infra", backend.Filter{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

// Secrets that are no whole state, or contradict each other, are never read as a state.
func TestSpoiledStates(t *testing.T) {
	if testing.Short() {
		t.Skip("compresses many states")
	}
	whole := large(3)
	chunks := cut(zip(t, whole))
	changed := large(3)
	changed[0] ^= 1
	other := cut(zip(t, changed))
	bomb := func() []byte {
		var out bytes.Buffer
		z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Write(make([]byte, maxState+1)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	flipped := bytes.Clone(chunks[1])
	flipped[1000] ^= 1
	for name, tt := range map[string]struct {
		parts map[int][]byte
		want  string
	}{
		"a part is missing":        {map[int][]byte{0: chunks[0], 2: chunks[2]}, "do not belong together or are incomplete"},
		"the last part is missing": {map[int][]byte{0: chunks[0], 1: chunks[1]}, "do not belong together or are incomplete"},
		"a part is empty":          {map[int][]byte{0: chunks[0], 1: nil, 2: chunks[2]}, "do not belong together or are incomplete"},
		"a part of another":        {map[int][]byte{0: chunks[0], 1: chunks[1], 2: other[2]}, "do not belong together or are incomplete"},
		"a first part of another":  {map[int][]byte{0: other[0], 1: chunks[1], 2: chunks[2]}, "do not belong together or are incomplete"},
		"a flipped bit":            {map[int][]byte{0: chunks[0], 1: flipped, 2: chunks[2]}, "do not belong together or are incomplete"},
		"not compressed":           {map[int][]byte{0: []byte("{}")}, "not compressed with gzip"},
		"bytes behind the end":     {map[int][]byte{0: append(zip(t, []byte("{}")), 'x')}, "more bytes after its end"},
		"no first part":            {map[int][]byte{1: chunks[1]}, "has no state of the workspace default"},
		"a first part without one": {map[int][]byte{0: nil, 1: chunks[1]}, "has no state of the workspace default"},
		"too many parts":           {map[int][]byte{0: chunks[0], 64: chunks[1]}, "tfhaul reads at most 64"},
		"a bomb":                   {map[int][]byte{0: bomb()}, "larger than 8,388,608 bytes after it is decompressed"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			for number, data := range tt.parts {
				c.putPart("net", "default", number, data)
			}
			text, _, err := read(t, c.find(t, "kubernetes://infra/net/default"), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("read %d bytes, %v; want %s", len(text), err, tt.want)
			}
			if strings.Contains(tt.want, "belong") && !strings.Contains(err.Error(), "delete secret --namespace infra --selector tfstate=true,tfstateSecretSuffix=net,tfstateWorkspace=default") {
				t.Errorf("the error names no way out: %v", err)
			}
		})
	}
	t.Run("parts of a larger state are left", func(t *testing.T) {
		c := start(t)
		c.put(t, "net", "default", large(3))
		c.putPart("net", "default", 0, zip(t, []byte("{}"))) // Terraform, before it deletes the others
		text, _, err := read(t, c.find(t, "kubernetes://infra/net/default"), nil)
		if err != nil || string(text) != "{}" {
			t.Errorf("%q, %v", text, err)
		}
	})
	t.Run("another name with its labels", func(t *testing.T) {
		c := start(t)
		c.put(t, "net", "default", []byte("{}"))
		c.Put("infra", fake.Secrets, fake.Object{Name: "copy", Labels: (&location{suffix: "net", workspace: "default"}).allLabels(), Data: map[string][]byte{"tfstate": zip(t, []byte("[]"))}})
		if _, _, err := read(t, c.find(t, "kubernetes://infra/net/default"), nil); err == nil || !strings.Contains(err.Error(), `the Secret "copy" has its labels, but not a name`) {
			t.Error(err)
		}
	})
	t.Run("the server sends others", func(t *testing.T) {
		c := start(t)
		c.put(t, "net", "prod", []byte("{}"))
		c.Intercept = func(w http.ResponseWriter, r *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
			q := r.URL.Query()
			q.Del("labelSelector")
			r.URL.RawQuery = q.Encode()
			fake.Give(w, answer())
		}
		if _, _, err := read(t, c.find(t, "kubernetes://infra/net/default"), nil); err == nil || !strings.Contains(err.Error(), "was not asked for") {
			t.Error(err)
		}
	})
}

// While Terraform writes a state in parts, the state is read again until they belong together.
func TestAStateIsReadAgainWhileItIsWritten(t *testing.T) {
	c := start(t)
	before, after := large(2), large(2)
	after[0] ^= 1
	c.put(t, "net", "default", before)
	chunks := cut(zip(t, after))
	c.putPart("net", "default", 0, chunks[0])
	lists := 0
	c.Intercept = func(w http.ResponseWriter, _ *http.Request, op string, answer func() *httptest.ResponseRecorder) {
		out := answer()
		if lists++; lists == 1 {
			c.putPart("net", "default", 1, chunks[1])
		}
		fake.Give(w, out)
	}
	text, _, err := read(t, c.find(t, "kubernetes://infra/net/default"), nil)
	if err != nil || !bytes.Equal(text, after) || lists != 2 {
		t.Errorf("read %d bytes in %d listings, %v", len(text), lists, err)
	}
}

// If the server forgets where a listing was, it begins again.
func TestAListingBeginsAgain(t *testing.T) {
	c := start(t)
	c.PageSize = 2
	for i := range 5 {
		c.put(t, fmt.Sprintf("net-%c", 'a'+i), "default", []byte("{}"))
	}
	expired := false
	c.Intercept = func(w http.ResponseWriter, r *http.Request, _ string, answer func() *httptest.ResponseRecorder) {
		if r.URL.Query().Get("continue") != "" && !expired {
			expired = true
			c.Expire()
		}
		fake.Give(w, answer())
	}
	if l := c.search(t, "kubernetes://infra", backend.Filter{}); len(l.States) != 5 || !expired {
		t.Errorf("found %d states", len(l.States))
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	c := start(t)
	c.Intercept = func(w http.ResponseWriter, r *http.Request, _ string, _ func() *httptest.ResponseRecorder) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}
	if _, err := (backend.Kinds{c.kind()}).Find(t.Context(), "kubernetes://infra", backend.Filter{}); err == nil || !strings.Contains(err.Error(), "which tfhaul does not follow") || followed {
		t.Errorf("%v, followed: %t", err, followed)
	}
}

// A read is repeated while the server is overloaded or fails, a refusal is not.
func TestReadsAreRepeated(t *testing.T) {
	for status, want := range map[int]int64{429: maxAttempts, 503: maxAttempts, 408: maxAttempts, 403: 1, 422: 1} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int64
			s, err := findSettings("", backend.Connection{Environ: []string{hostVariable + "=https://k8s.test"}, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			cl := &cluster{base: s.server, credentials: s.credentials, kubectl: s.kubectl, timeout: time.Minute, client: http.Client{Transport: handler(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				fake.Refuse(w, status, "Reason", "refused by the test", secrets)
			})}}
			_, err = cl.list(t.Context(), request{doing: "list", address: "a", namespace: "infra"}, "tfstate=true", false)
			if statusOf(err) != status || asked.Load() != want {
				t.Errorf("%d: %d attempts, want %d: %v", status, asked.Load(), want, err)
			}
		})
	}
}

type handler func(http.ResponseWriter, *http.Request)

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h(w, r)
	return w.Result(), nil
}

func TestAStalledResponseIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := findSettings("", backend.Connection{Environ: []string{hostVariable + "=https://k8s.test"}, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		cl := &cluster{base: s.server, credentials: s.credentials, timeout: time.Minute, client: http.Client{Transport: stalling{}}}
		start := time.Now()
		_, err = cl.list(t.Context(), request{doing: "list", address: "a", namespace: "infra"}, "tfstate=true", false)
		if err == nil || !strings.Contains(err.Error(), "nothing arrived for 1m0s") || time.Since(start) > 10*time.Minute {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

type stalling struct{}

func (stalling) RoundTrip(r *http.Request) (*http.Response, error) {
	in, out := io.Pipe()
	go func() {
		_, _ = io.WriteString(out, `{"items":[`) // the reader may be gone
		<-r.Context().Done()
		_ = out.CloseWithError(r.Context().Err()) // never fails
	}()
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: in, Request: r}, nil
}

// No secret is in an error, whatever the server repeats.
func TestNothingOfAStateIsShown(t *testing.T) {
	c := start(t)
	c.put(t, "net", "default", []byte("hunter2"))
	c.Intercept = func(w http.ResponseWriter, _ *http.Request, op string, answer func() *httptest.ResponseRecorder) {
		out := answer()
		w.WriteHeader(501)
		_, _ = w.Write(out.Body.Bytes()) // the client may have disconnected
	}
	_, _, err := read(t, c.find(t, "kubernetes://infra/net/default"), nil)
	text, _ := json.Marshal(fmt.Sprintf("%+v", err)) // can always be encoded
	if err == nil || strings.Contains(string(text), "hunter2") || strings.Contains(string(text), token) || strings.Contains(string(text), "H4sI") {
		t.Errorf("%s", text)
	}
}
