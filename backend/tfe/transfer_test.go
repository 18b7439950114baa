package tfe

import (
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tfhaul/backend"
)

const created = `{"data":{"id":"sv-1","type":"state-versions","attributes":{"serial":1,"status":"pending"}}}`

// randomBytes returns the same bytes for the same size.
func randomBytes(n int) string {
	b := make([]byte, n)
	for i, r := 0, rand.New(rand.NewPCG(1, uint64(n))); i < n; i++ {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func TestInlineStatesArriveByteForByte(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 4, 5, 511, 512, 513, encodeAtOnce - 1, encodeAtOnce, encodeAtOnce + 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 3<<20 + 1}
	for _, size := range sizes {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			state := randomBytes(size)
			body := bodyOf(state)
			var doc struct {
				Data struct {
					Type       string
					Attributes struct {
						State        string
						Serial       int64
						MD5, Lineage string
						Force        bool
					}
					Relationships struct {
						Run struct{ Data struct{ Type, ID string } }
					}
				}
			}
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				raw, err := io.ReadAll(r.Body)
				if err != nil || int64(len(raw)) != r.ContentLength {
					t.Errorf("%d bytes arrived, %d were announced: %v", len(raw), r.ContentLength, err)
				}
				if err := json.Unmarshal(raw, &doc); err != nil {
					t.Error(err)
				}
				if r.Header.Get("Authorization") != "Bearer "+secretToken || r.Header.Get("Content-Type") != jsonAPI || r.URL.Path != "/api/v2/workspaces/ws-1/state-versions" {
					t.Errorf("%s with %v", r.URL.Path, r.Header)
				}
				answer(201, jsonAPI, created)(w, r)
			}))
			sv, err := c.CreateInline(t.Context(), acme, Attributes{Serial: 41, Lineage: `a"b<c>`, MD5: body.MD5, Force: true, Run: "run-1"}, body)
			if err != nil || sv.ID != "sv-1" || !sv.Pending {
				t.Fatalf("%+v, %v", sv, err)
			}
			a := doc.Data.Attributes
			decoded, err := base64.StdEncoding.DecodeString(a.State)
			if err != nil || string(decoded) != state {
				t.Errorf("%d other bytes arrived: %v", len(decoded), err)
			}
			if doc.Data.Type != "state-versions" || a.Serial != 41 || a.Lineage != `a"b<c>` || a.MD5 != body.MD5 || !a.Force || doc.Data.Relationships.Run.Data.ID != "run-1" || doc.Data.Relationships.Run.Data.Type != "runs" {
				t.Errorf("the attributes arrived as %+v", a)
			}
		})
	}
}

func TestAttributesThatAreNotSetAreNotSent(t *testing.T) {
	got, err := Attributes{Serial: 0, MD5: "abc"}.document()
	if want := `{"data":{"attributes":{"md5":"abc","serial":0},"type":"state-versions"}}`; err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestSignedStatesArriveByteForByte(t *testing.T) {
	for _, size := range []int{1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 3<<20 + 1} {
		state := randomBytes(size)
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				answer(201, jsonAPI, strings.Replace(created, `"serial"`, `"hosted-state-upload-url":"/upload/1?sig=x","serial"`, 1))(w, r)
				return
			}
			raw, err := io.ReadAll(r.Body)
			if err != nil || r.ContentLength != int64(size) || string(raw) != state {
				t.Errorf("%d other bytes arrived, %d announced: %v", len(raw), r.ContentLength, err)
			}
			if len(r.Header["Authorization"]) != 0 || r.URL.Query().Get("sig") != "x" || r.Method != http.MethodPut {
				t.Errorf("%s %v", r.Method, r.Header)
			}
		}))
		sv, err := c.Announce(t.Context(), acme, Attributes{Serial: 1, MD5: "x"})
		if err != nil || !sv.Announced {
			t.Fatalf("%+v, %v", sv, err)
		}
		if err := c.Upload(t.Context(), sv, bodyOf(state)); err != nil {
			t.Error(err)
		}
	}
}

func TestAnnouncements(t *testing.T) {
	document := func(attributes string) string {
		return `{"data":{"id":"sv-1","type":"state-versions","attributes":{` + attributes + `}}}`
	}
	for name, c := range map[string]struct {
		attributes string
		awaits     bool
		code       Code
	}{
		"a URL":                               {`"status":"pending","hosted-state-upload-url":"https://x/y"`, true, ""},
		"the bytes are already known":         {`"status":"finalized","hosted-state-upload-url":null,"hosted-state-download-url":"https://x/y"`, false, ""},
		"known, on a server without statuses": {`"hosted-state-download-url":"https://x/y"`, false, ""},
		"no URL although it is pending":       {`"status":"pending"`, false, NoSignedUpload},
		"a server without signed uploads":     {`"serial":1`, false, NoSignedUpload},
	} {
		sv, err := serve(t, answer(201, jsonAPI, document(c.attributes))).Announce(t.Context(), acme, Attributes{Serial: 1})
		if backend.CodeOf(err) != c.code || (err == nil) != (sv != nil) || sv != nil && sv.Announced != c.awaits {
			t.Errorf("%s: %+v, %v", name, sv, err)
		}
	}
}

// A lyingSource is a Body whose source does not have the announced bytes.
func lyingSource(announced, real string) Body {
	b := bodyOf(announced)
	b.Open = bodyOf(real).Open
	return b
}

var errDisk = errors.New("the disk is broken")

// A brokenReader fails after some bytes.
type brokenReader struct{ rest string }

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		return 0, errDisk
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *brokenReader) Close() error { return nil }

func TestASourceThatChangesNeverArrivesWhole(t *testing.T) {
	for _, size := range []int{1, 300 << 10} {
		state := randomBytes(size)
		other := []byte(state)
		other[len(other)-1] ^= 1
		first := []byte(state)
		first[0] ^= 1
		failing := bodyOf(state)
		failing.Open = func(context.Context) (io.ReadCloser, error) { return &brokenReader{state[:size-1]}, nil }
		failsAtEnd := bodyOf(state)
		failsAtEnd.Open = func(context.Context) (io.ReadCloser, error) { return &brokenReader{state}, nil }
		absent := bodyOf(state)
		absent.Open = func(context.Context) (io.ReadCloser, error) { return nil, errDisk }
		for name, c := range map[string]struct {
			body    Body
			changed bool
		}{
			"shorter":                      {lyingSource(state, state[:size-1]), true},
			"empty":                        {lyingSource(state, ""), true},
			"longer by a byte":             {lyingSource(state, state+"x"), true},
			"longer by much":               {lyingSource(state, state+state+state), true},
			"other bytes at the end":       {lyingSource(state, string(other)), true},
			"other bytes at the beginning": {lyingSource(state, string(first)), true},
			"unreadable in the middle":     {failing, false},
			"unreadable at the end":        {failsAtEnd, false},
			"missing":                      {absent, false},
		} {
			for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
				for _, way := range []string{"inline", "signed"} {
					t.Run(fmt.Sprintf("%d/%s/%s/%s", size, name, protocol, way), func(t *testing.T) {
						var whole atomic.Int32
						server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							if r.Method == http.MethodGet { // fills the connection pool
								answer(200, jsonAPI, `{"data":{"id":"user-1","type":"users"}}`)(w, r)
								return
							}
							if r.Proto != protocol {
								t.Errorf("over %s", r.Proto)
							}
							if _, err := io.Copy(io.Discard, r.Body); err == nil {
								whole.Add(1)
							}
						}))
						server.EnableHTTP2 = protocol == "HTTP/2.0"
						server.StartTLS()
						client := clientOf(t, server)
						if _, err := client.Identity(t.Context()); err != nil {
							t.Fatal(err)
						}
						var err error
						if way == "inline" {
							_, err = client.CreateInline(t.Context(), acme, Attributes{Serial: 1, MD5: c.body.MD5}, c.body)
						} else {
							err = client.Upload(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: "/blob"}, c.body)
						}
						server.Close() // waits for running requests
						if n := whole.Load(); n != 0 {
							t.Errorf("the server received a complete body %d times", n)
						}
						source, ok := errors.AsType[*backend.SourceError](err)
						if !ok || source.Changed != c.changed || !c.changed && !errors.Is(err, errDisk) || backend.CodeOf(err) != backend.Unreachable {
							t.Errorf("got %v", err)
						}
						if want := "the source changed while it was being sent; nothing was stored"; c.changed && !strings.HasSuffix(err.Error(), ": "+want) {
							t.Errorf("the text is %q", err)
						}
					})
				}
			}
		}
	}
}

func TestASourceIsClosedHoweverItEnds(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"success":           answer(201, jsonAPI, created),
		"a refusal":         answer(422, jsonAPI, object("422", "", "no")),
		"an early response": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(413) },
		"a redirect":        func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusTemporaryRedirect) },
		"a lost response": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		},
		"a rate limit": func() http.HandlerFunc {
			n := 0
			return func(w http.ResponseWriter, r *http.Request) {
				if n++; n < 3 {
					w.Header().Set("X-RateLimit-Reset", "1")
					w.WriteHeader(429)
					return
				}
				answer(201, jsonAPI, created)(w, r)
			}
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, end := serveInMemory(t, h)
				body := bodyOf(randomBytes(1 << 20))
				var open atomic.Int32
				inner := body.Open
				body.Open = func(ctx context.Context) (io.ReadCloser, error) {
					r, err := inner(ctx)
					open.Add(1)
					return &onceClosed{ReadCloser: r, closed: func() { open.Add(-1) }}, err
				}
				_, _ = c.CreateInline(t.Context(), acme, Attributes{Serial: 1, MD5: body.MD5}, body)
				_ = c.Upload(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: "/blob"}, body)
				end() // synctest.Test fails if a goroutine is left
				if n := open.Load(); n != 0 {
					t.Errorf("%d sources are still open", n)
				}
			})
		})
	}
}

type onceClosed struct {
	io.ReadCloser
	once   sync.Once
	closed func()
}

func (c *onceClosed) Close() error { c.once.Do(c.closed); return c.ReadCloser.Close() }

func TestABodyThatWasClosedIsNotOpened(t *testing.T) {
	opened := false
	body := bodyOf("x")
	body.Open = func(context.Context) (io.ReadCloser, error) {
		opened = true
		return io.NopCloser(strings.NewReader("x")), nil
	}
	r := body.reader(t.Context())
	if err := r.Close(); err != nil || opened {
		t.Fatalf("%v, opened %t", err, opened)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("read after Close")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// pattern repeats the same bytes, up to a size.
type pattern struct {
	left int64
	unit string
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.unit)
	n = int(min(int64(n), p.left))
	p.left -= int64(n)
	return n, nil
}

func (p *pattern) Close() error { return nil }

func TestMemoryStaysFlat(t *testing.T) {
	size := int64(300 << 20)
	if raceDetector {
		size = 60 << 20 // it slows down every copy
	}
	unit := randomBytes(32 << 10)
	sum := md5.New()
	if _, err := io.Copy(sum, &pattern{size, unit}); err != nil {
		t.Fatal(err)
	}
	body := Body{
		Open: func(context.Context) (io.ReadCloser, error) { return &pattern{size, unit}, nil },
		Size: size, MD5: hex.EncodeToString(sum.Sum(nil)),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
			_, _ = io.CopyBuffer(struct{ io.Writer }{w}, &pattern{size, unit}, make([]byte, 32<<10))
			return
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 32<<10))
		if err != nil || n != r.ContentLength || n < size {
			t.Errorf("%d of %d bytes arrived: %v", n, r.ContentLength, err)
		}
		answer(201, jsonAPI, created)(w, r)
	}))
	defer server.Close()
	c := clientOf(t, server)
	for name, send := range map[string]func() error{
		"inline": func() error {
			_, err := c.CreateInline(t.Context(), acme, Attributes{Serial: 1, MD5: body.MD5}, body)
			return err
		},
		"signed": func() error {
			return c.Upload(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, upload: "/blob"}, body)
		},
		"download": func() error {
			r, err := c.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: "/blob"})
			if err != nil {
				return err
			}
			got := md5.New()
			if _, err := io.CopyBuffer(struct{ io.Writer }{got}, struct{ io.Reader }{r}, make([]byte, 32<<10)); err != nil {
				return err
			}
			if hex.EncodeToString(got.Sum(nil)) != body.MD5 {
				return errors.New("other bytes arrived")
			}
			return r.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := send(); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if total := after.TotalAlloc - before.TotalAlloc; total > 4<<20 {
				t.Errorf("%d KiB were allocated in total for a state of %d MiB", total>>10, size>>20)
			}
		})
	}
}

func TestDownloads(t *testing.T) {
	state := randomBytes(200 << 10)
	cases := []struct {
		name string
		h    http.HandlerFunc
		code Code // "" means that it arrives unchanged
		text string
	}{
		{name: "whole", h: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, state) }},
		{name: "shorter than its length", code: backend.Ambiguous, text: "it broke off in the middle", h: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(state)))
			_, _ = io.WriteString(w, state[:len(state)/2])
		}},
		{name: "cut short without a length", code: backend.Ambiguous, text: "it broke off in the middle", h: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, state[:len(state)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		{name: "compressed without a request for it", code: Rejected, text: `encoded as "gzip"`, h: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, state)
			_ = z.Close()
		}},
		{name: "as a browser would receive it", h: func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Accept-Encoding"); got != "identity" {
				t.Errorf("asks for %q", got)
			}
			w.Header().Set("Content-Encoding", "identity")
			_, _ = io.WriteString(w, state)
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			client := serve(t, c.h)
			r, err := client.Open(t.Context(), &StateVersion{Version: backend.Version{ID: "sv-1"}, download: "/api/v2/state-versions/sv-1/download"})
			var got []byte
			if err == nil {
				got, err = io.ReadAll(r)
				_ = r.Close()
			}
			if backend.CodeOf(err) != c.code || (err == nil) != (c.code == "") || err != nil && (!strings.HasPrefix(err.Error(), "download state version sv-1: ") || !strings.Contains(err.Error(), c.text)) {
				t.Fatalf("got %v", err)
			}
			if err == nil && string(got) != state {
				t.Error("other bytes arrived")
			}
		})
	}
}

func TestLastBytesAreWithheldUntilChecked(t *testing.T) {
	// However the bytes are split by the source and the reader, only the announced bytes
	// are ever complete, and they always are.
	state := randomBytes(1000)
	r := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		real := state
		switch r.IntN(3) {
		case 0:
			real = state[:r.IntN(len(state))]
		case 1:
			real = state + randomBytes(1+r.IntN(50))
		}
		body := bodyOf(state)
		body.Open = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(&inPieces{real, r}), nil
		}
		checked := body.reader(t.Context())
		got, err := readInPieces(checked, r)
		switch _, changed := errors.AsType[*backend.SourceError](err); {
		case real == state && (err != nil || got != state):
			t.Fatalf("the announced bytes: %d arrived, %v", len(got), err)
		case real != state && (!changed || len(got) >= len(state)):
			t.Fatalf("%d bytes announced, %d in the source: %d arrived, %v", len(state), len(real), len(got), err)
		}
		_ = checked.Close()
	}
}

// inPieces returns its text in pieces of any size.
type inPieces struct {
	rest string
	r    *rand.Rand
}

func (s *inPieces) Read(p []byte) (int, error) {
	if s.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, s.rest[:min(len(s.rest), s.r.IntN(200))])
	s.rest = s.rest[n:]
	if s.rest == "" && s.r.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func readInPieces(from io.Reader, r *rand.Rand) (string, error) {
	var got strings.Builder
	for {
		p := make([]byte, r.IntN(300))
		n, err := from.Read(p)
		got.Write(p[:n])
		if err == io.EOF {
			return got.String(), nil
		}
		if err != nil {
			return got.String(), err
		}
	}
}

// Pooled buffers are reused by bodies that complete, are interrupted, or run concurrently.
func TestBodiesDoNotMix(t *testing.T) {
	var running sync.WaitGroup
	for i := range 12 {
		running.Go(func() {
			text := strings.Repeat(string(rune('a'+i%26)), 1+i*9973)
			for range 4 {
				broken := inline{head: "{", tail: "}", body: bodyOf(strings.ToUpper(text))}.reader(t.Context())
				_, _ = io.CopyN(io.Discard, broken, int64(len(text)/2))
				_ = broken.Close()
				r := inline{head: "{", tail: "}", body: bodyOf(text)}.reader(t.Context())
				got, err := io.ReadAll(r)
				if want := "{" + base64.StdEncoding.EncodeToString([]byte(text)) + "}"; err != nil || string(got) != want {
					t.Errorf("%d bytes were read incorrectly: %v", len(text), err)
				}
				if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("after the end: %d, %v", n, err)
				}
				_ = r.Close()
			}
		})
	}
	running.Wait()
}

// Each Read of a body becomes a frame, a record and a system call, so there are as few as
// the buffer allows, and io.EOF is returned with the last bytes.
func TestABodyIsGivenInWholeReads(t *testing.T) {
	body := bodyOf(randomBytes(200 << 10))
	for name, c := range map[string]struct {
		size int64
		body io.ReadCloser
	}{
		"signed": {body.Size, body.reader(t.Context())},
		"inline": {inline{"{", "}", body}.size(), inline{"{", "}", body}.reader(t.Context())},
	} {
		buffer := make([]byte, c.size+1)
		if n, err := c.body.Read(buffer); int64(n) != c.size || err != io.EOF {
			t.Errorf("%s: the first read of %d returned %d, %v", name, c.size, n, err)
		}
	}
}
