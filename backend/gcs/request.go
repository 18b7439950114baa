package gcs

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A request is one call of the JSON API.
type request struct {
	doing   string // "read", "list", "lock", for error messages
	address string // the URL concerned, for error messages
	action  string // the required permission: "storage.objects.get"

	method string
	upload bool   // to the address for uploads
	path   string // below that of the API, escaped
	query  url.Values
	key    *customerKey // whose headers to send
	// body returns the content to send, from its beginning; nil for none.
	body        func() io.ReadCloser
	size        int64
	contentType string
}

// objectPath returns the path of an object, or of all of them without a key.
func (b *bucket) objectPath(key string) string {
	path := "/b/" + b.url.bucket + "/o"
	if key == "" {
		return path
	}
	return path + "/" + url.PathEscape(key)
}

// A request that the server has refused because of its load is sent again, and so is a read
// without a clear response. The first pause is firstPause; each later one is twice as long.
const (
	maxAttempts = 5
	firstPause  = 250 * time.Millisecond
)

// send sends a request and returns the response if it is a success. A request that changes
// something is never repeated unless the server has refused it: the caller has to find out
// what the first one did.
func (s *server) send(ctx context.Context, r request) (*http.Response, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		resp, err := s.sendOnce(ctx, r)
		if err == nil || attempt == maxAttempts || ctx.Err() != nil || !isThrottled(err) && !(r.method == http.MethodGet && mayPass(err)) || s.wire.Down() {
			return resp, err
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return nil, s.explain(ctx, r, err)
		}
		pause *= 2
	}
}

// mayPass reports whether a read may succeed if it is repeated.
func mayPass(err error) bool {
	status := statusOf(err)
	return status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented ||
		status == 0 && backend.CodeOf(err) == backend.Unreachable && !backend.Untrusted(err)
}

func (s *server) sendOnce(ctx context.Context, r request) (*http.Response, error) {
	token, err := s.credentials.token(ctx)
	if err != nil {
		return nil, s.explain(ctx, r, err)
	}
	h, err := s.newRequest(ctx, r, token)
	if err != nil {
		return nil, s.explain(ctx, r, err)
	}
	if err := s.wire.Sending(ctx); err != nil {
		return nil, err
	}
	resp, err := s.client.Do(h)
	s.wire.Observe(ctx, err)
	if err != nil {
		return nil, s.explain(ctx, r, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // only read
	return nil, s.explain(ctx, r, readAnswer(resp))
}

func (s *server) newRequest(ctx context.Context, r request, token string) (*http.Request, error) {
	at := *s.base
	escaped := at.EscapedPath() + r.path
	if r.upload { // at the root of the server, as in Google's client
		escaped = "/upload/storage/v1" + r.path
	}
	var err error
	if at.Path, err = url.PathUnescape(escaped); err != nil {
		return nil, err
	}
	at.RawPath, at.RawQuery = escaped, r.query.Encode()
	h, err := http.NewRequestWithContext(ctx, r.method, at.String(), nil)
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		h.Body, h.ContentLength = r.body(), r.size
		h.Header.Set("Content-Type", r.contentType)
	}
	if token != "" {
		h.Header.Set("Authorization", "Bearer "+token)
	}
	if s.userAgent != "" {
		h.Header.Set("User-Agent", s.userAgent)
	}
	if r.key != nil {
		h.Header.Set("X-Goog-Encryption-Algorithm", "AES256")
		h.Header.Set("X-Goog-Encryption-Key", r.key.key)
		h.Header.Set("X-Goog-Encryption-Key-Sha256", r.key.sha256)
	}
	if r.query.Get("alt") == "media" {
		// A compressed object is sent as it is stored, with the hashes that it was stored with.
		h.Header.Set("Accept-Encoding", "gzip")
	}
	return h, nil
}

// maxAnswer limits how many bytes are read of a response other than an object. A page of a
// listing has at most 1,000 names of 1,024 bytes.
const maxAnswer = 16 << 20

// ask sends a request and decodes the response into out, unless that is nil.
func (s *server) ask(ctx context.Context, r request, out any) error {
	resp, err := s.send(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if out == nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(plain(resp), maxAnswer+1))
	switch {
	case err != nil && ctx.Err() == nil:
		err = &lostAnswer{err}
	case err == nil && len(text) > maxAnswer:
		err = &unreadableAnswer{fmt.Sprintf("the response is longer than %d MiB", maxAnswer>>20)}
	case err == nil && json.Unmarshal(text, out) != nil:
		err = &unreadableAnswer{"the response is not that of Cloud Storage: is the endpoint its JSON API?"}
	}
	if err != nil {
		return s.explain(ctx, r, err)
	}
	return nil
}

// plain returns the content of a response that is not an object, decompressed.
func plain(resp *http.Response) io.Reader {
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return resp.Body
	}
	unpacked, err := gzip.NewReader(resp.Body)
	if err != nil {
		return strings.NewReader("")
	}
	return unpacked
}

// A lostAnswer is a response that broke off.
type lostAnswer struct{ error }

func (e *lostAnswer) Unwrap() error { return e.error }

// An unreadableAnswer is a response in an unknown form.
type unreadableAnswer struct{ why string }

func (e *unreadableAnswer) Error() string { return e.why }

// metadata is what the server knows about one version of an object.
type metadata struct {
	Name            string    `json:"name"`
	Generation      int64     `json:"generation,string"`
	Size            int64     `json:"size,string"`
	MD5             string    `json:"md5Hash"`
	CRC32C          string    `json:"crc32c"`
	Updated         time.Time `json:"updated"`
	ContentEncoding string    `json:"contentEncoding"`
	KMSKey          string    `json:"kmsKeyName"`
}

const metadataFields = "name,generation,size,md5Hash,crc32c,updated,contentEncoding,kmsKeyName"

// stat returns the metadata of a version, or of the current one if generation is 0, and nil
// if it does not exist.
func (b *bucket) stat(ctx context.Context, r request, key string, generation int64) (*metadata, error) {
	r.method, r.path, r.query = http.MethodGet, b.objectPath(key), url.Values{"fields": {metadataFields}}
	if generation != 0 {
		r.query.Set("generation", strconv.FormatInt(generation, 10))
	}
	var m metadata
	err := b.ask(ctx, r, &m)
	switch {
	case backend.CodeOf(err) == backend.NoState:
		return nil, nil
	case err != nil:
		return nil, err
	case m.Generation <= 0 || generation != 0 && m.Generation != generation || m.Name != key:
		return nil, b.explain(ctx, r, &unreadableAnswer{"the response is about another object or version"})
	}
	return &m, nil
}

// remove deletes the object at key if it has this generation, so that a bucket with versions
// keeps it as an old one.
func (b *bucket) remove(ctx context.Context, r request, key string, generation int64) error {
	r.method, r.path = http.MethodDelete, b.objectPath(key)
	r.query = url.Values{"ifGenerationMatch": {strconv.FormatInt(generation, 10)}}
	return b.ask(ctx, r, nil)
}

// contentType is what Terraform's gcs backend stores, which Google's client finds by
// looking at the first bytes.
const contentType = "text/plain; charset=utf-8"

// An upload is an object to store.
type upload struct {
	key    string
	was    int64 // the generation to be replaced; 0 if there must be no object
	size   int64
	md5    []byte
	kmsKey string
	sse    *customerKey
	open   func() io.ReadCloser
}

// create stores an object in one request. The server compares the MD5, and stores nothing
// that is incomplete.
func (b *bucket) create(ctx context.Context, r request, u upload) (*metadata, error) {
	boundary := rand.Text() // unknown to the author of the content
	described, err := json.Marshal(map[string]any{"name": u.key, "contentType": contentType, "md5Hash": u.md5})
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%s\r\n--%[1]s\r\nContent-Type: %s\r\n\r\n", boundary, described, contentType)
	tail := "\r\n--" + boundary + "--\r\n"
	r.method, r.upload, r.path, r.key = http.MethodPost, true, b.objectPath(""), u.sse
	r.contentType, r.size = "multipart/related; boundary="+boundary, int64(len(head))+u.size+int64(len(tail))
	r.query = url.Values{"uploadType": {"multipart"}, "name": {u.key}, "ifGenerationMatch": {strconv.FormatInt(u.was, 10)}, "fields": {metadataFields}}
	if u.kmsKey != "" {
		r.query.Set("kmsKeyName", u.kmsKey)
	}
	r.body = func() io.ReadCloser {
		content := u.open()
		return &framed{io.MultiReader(strings.NewReader(head), content, strings.NewReader(tail)), content}
	}
	var m metadata
	if err := b.ask(ctx, r, &m); err != nil {
		return nil, err
	}
	if m.Generation <= 0 || m.Generation == u.was || m.Name != u.key || m.Size != u.size {
		return nil, b.explain(ctx, r, &lostAnswer{errors.New("the response describes no new version of the object")})
	}
	return &m, nil
}

// framed is content between the other parts of a request.
type framed struct {
	io.Reader
	content io.Closer
}

func (f *framed) Close() error { return f.content.Close() }

// bytesOf returns text as the content of an upload.
func bytesOf(text []byte) func() io.ReadCloser {
	return func() io.ReadCloser { return io.NopCloser(bytes.NewReader(text)) }
}
