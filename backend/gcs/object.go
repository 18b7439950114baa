package gcs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tfhaul/backend"
)

// object is a state in a bucket.
type object struct {
	bucket     *bucket
	key        string
	generation int64 // the one in the address; 0 for the current one
	address    string
	place      backend.Place

	// What the search that found this state saw of it and its lock; zero if the state was
	// named directly.
	listed     time.Time
	lockListed bool
	stored     *metadata
}

func newObject(b *bucket, key string) *object {
	return &object{bucket: b, key: key, generation: b.url.generation, address: b.url.name(key), place: placeInBucket(b.url, key)}
}

func (o *object) Address() string        { return o.address }
func (o *object) Place() backend.Place   { return o.place }
func (o *object) Traits() backend.Traits { return traits }

// Server returns the endpoint, or Google's server.
func (o *object) Server() string { return o.bucket.host() }

// host returns the server as the user names it.
func (s *server) host() string { return cmp.Or(s.endpoint, "gs:") }

// Aliases returns the URL without parameters.
func (o *object) Aliases() []string { return []string{"gs://" + o.bucket.url.bucket + "/" + o.key} }

// Listed implements backend.Listed.
func (o *object) Listed() *backend.Version {
	if o.stored == nil {
		return nil
	}
	return o.stored.version(o.key)
}

// request returns a request for the object itself.
func (o *object) request(doing string) request {
	return request{doing: doing, address: o.address, action: "storage.objects.get"}
}

// Open implements backend.State. The server replaces objects as a whole, so a read is never
// torn.
func (o *object) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	generation := o.generation
	if v != nil {
		key, was, err := parseVersionID(v.ID)
		if err != nil || key != o.key {
			return nil, backend.Version{}, fmt.Errorf("not a version of this object: %q", v.ID)
		}
		generation = was
	}
	in, now, err := o.open(ctx, generation)
	if err != nil {
		if v != nil && backend.CodeOf(err) == backend.NoState {
			err = o.changed(ctx, generation)
		}
		return nil, backend.Version{}, err
	}
	current := *now.version(o.key)
	if v != nil {
		current.MD5 = v.MD5
	}
	return in, current, nil
}

// Check implements backend.State. It asks for the current version, or the one in the address.
func (o *object) Check(ctx context.Context, v backend.Version) error {
	_, was, err := parseVersionID(v.ID)
	if err != nil {
		return err
	}
	now, err := o.bucket.stat(ctx, o.request("access"), o.key, o.generation)
	switch {
	case err != nil:
		return err
	case now == nil:
		return &backend.ChangedError{Address: o.address, Gone: true}
	case now.Generation != was:
		return o.rewritten(now)
	}
	return nil
}

// changed returns the error for a version that is gone.
func (o *object) changed(ctx context.Context, generation int64) error {
	switch now, err := o.bucket.stat(ctx, o.request("access"), o.key, 0); {
	case err != nil:
		return err
	case now != nil:
		return o.rewritten(now)
	}
	return &backend.ChangedError{Address: o.address, Gone: true}
}

func (o *object) rewritten(now *metadata) error {
	return &backend.ChangedError{Address: o.address, How: fmt.Sprintf("version %d was written %s", now.Generation, now.Updated.UTC().Format(time.RFC3339))}
}

// Versions implements backend.Historic.
func (o *object) Versions(ctx context.Context) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		all, err := o.bucket.versions(ctx, o)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, m := range all {
			if !yield(m.version(o.key), nil) {
				return
			}
		}
	}
}

// version returns the version of the object at key. A compressed one has no known size.
func (m *metadata) version(key string) *backend.Version {
	v := &backend.Version{ID: versionID(key, m.Generation), Size: m.Size, Created: m.Updated}
	if m.ContentEncoding != "" {
		v.Size = 0
	}
	return v
}

// versionID returns the ID of a version of the object at key.
func versionID(key string, generation int64) string {
	var b strings.Builder
	escapeKey(&b, key)
	return b.String() + "?" + paramGeneration + "=" + strconv.FormatInt(generation, 10)
}

// parseVersionID parses the ID of a version.
func parseVersionID(id string) (key string, generation int64, err error) {
	path, number, _ := strings.Cut(id, "?"+paramGeneration+"=")
	key, err = url.PathUnescape(path)
	generation, bad := strconv.ParseInt(number, 10, 64)
	if err != nil || bad != nil || generation <= 0 {
		return "", 0, fmt.Errorf("not an object's version: %q", id)
	}
	return key, generation, nil
}

// open reads a version, or the current one if generation is 0, and returns what was stored.
func (o *object) open(ctx context.Context, generation int64) (*body, *metadata, error) {
	return o.bucket.download(ctx, o.request("read"), o.key, generation)
}

// download reads a version of the object at key, with the customer's key if there is one. A
// bucket may hold objects with and without that key, and the server refuses it for the
// latter.
func (b *bucket) download(ctx context.Context, r request, key string, generation int64) (*body, *metadata, error) {
	// The body is read after download returns, so its context ends with the body or with ctx.
	ctx, cancel := context.WithCancelCause(ctx)
	r.method, r.path, r.query, r.key = http.MethodGet, b.objectPath(key), url.Values{"alt": {"media"}}, b.key
	if generation != 0 {
		r.query.Set("generation", strconv.FormatInt(generation, 10))
	}
	resp, err := b.send(ctx, r)
	if statusOf(err) == http.StatusBadRequest && r.key != nil {
		r.key = nil
		if plain, without := b.send(ctx, r); without == nil {
			resp, err = plain, nil
		}
	}
	if err != nil {
		cancel(nil)
		return nil, nil, err
	}
	in, m, err := b.received(ctx, cancel, r, resp)
	if err == nil && generation != 0 && m.Generation != generation {
		err = b.explain(ctx, r, &unreadableAnswer{"the server sent a different version than requested"})
	}
	if err != nil {
		cancel(nil)
		_ = resp.Body.Close() // not read
		return nil, nil, err
	}
	return in, m, nil
}

// received returns the content of an object and what the headers say about it
// (https://cloud.google.com/storage/docs/xml-api/reference-headers).
func (b *bucket) received(ctx context.Context, cancel context.CancelCauseFunc, r request, resp *http.Response) (*body, *metadata, error) {
	h := resp.Header
	m := &metadata{ContentEncoding: identity(h.Get("X-Goog-Stored-Content-Encoding"))}
	for hash := range strings.SplitSeq(strings.Join(h.Values("X-Goog-Hash"), ","), ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(hash), "="); name {
		case "md5":
			m.MD5 = value
		case "crc32c":
			m.CRC32C = value
		}
	}
	m.Updated, _ = http.ParseTime(h.Get("Last-Modified")) // zero if absent
	var err error
	sent := identity(h.Get("Content-Encoding"))
	if m.Generation, err = strconv.ParseInt(h.Get("X-Goog-Generation"), 10, 64); err != nil || m.Generation <= 0 {
		return nil, nil, b.explain(ctx, r, &unreadableAnswer{"the server does not report its version: is the endpoint the JSON API of Cloud Storage?"})
	}
	m.Size = resp.ContentLength
	switch {
	case sent != m.ContentEncoding:
		err = &unreadableAnswer{fmt.Sprintf("it is stored with the Content-Encoding %q and arrives with %q, so it cannot be compared with its hash: does a proxy change responses?", m.ContentEncoding, sent)}
	case sent != "" && sent != "gzip":
		err = &unreadableAnswer{fmt.Sprintf("it is stored with the Content-Encoding %q, which Terraform cannot read: store it without", sent)}
	case m.Size < 0:
		err = &unreadableAnswer{"the server does not report its length, so a truncated download would go unnoticed"}
	case m.CRC32C == "" && m.MD5 == "":
		err = &unreadableAnswer{"the server reports neither its MD5 nor its CRC32C, so damaged content would go unnoticed"}
	}
	if err != nil {
		return nil, nil, b.explain(ctx, r, err)
	}
	in, err := newBody(ctx, cancel, resp.Body, r.address, m, b.timeout)
	if err != nil {
		return nil, nil, b.explain(ctx, r, &unreadableAnswer{err.Error()})
	}
	return in, m, nil
}

// identity returns an encoding, or "" for none.
func identity(encoding string) string {
	if encoding == "identity" {
		return ""
	}
	return encoding
}

// versions lists all versions of an object, newest first. Their size is that of the answer,
// not of the states.
func (b *bucket) versions(ctx context.Context, o *object) ([]*metadata, error) {
	r := request{doing: "list the versions of", address: o.address, action: "storage.objects.list"}
	var all []*metadata
	err := b.list(ctx, r, url.Values{"prefix": {o.key}, "versions": {"true"}}, func(items []*metadata) bool {
		for _, m := range items {
			if m.Name == o.key {
				all = append(all, m)
			}
		}
		// Later names come after the last version of this one.
		return len(items) > 0 && items[len(items)-1].Name == o.key
	})
	slices.SortFunc(all, func(a, b *metadata) int { return cmp.Compare(b.Generation, a.Generation) })
	return all, err
}

// list requests one page of a listing after another, until page returns false.
func (b *bucket) list(ctx context.Context, r request, query url.Values, page func([]*metadata) bool) error {
	r.method, r.path, r.query = http.MethodGet, b.objectPath(""), query
	r.query.Set("fields", "nextPageToken,items("+metadataFields+")")
	name, seen := "", map[int64]bool{}
	for {
		var answer struct {
			Items         []*metadata `json:"items"`
			NextPageToken string      `json:"nextPageToken"`
		}
		if err := b.ask(ctx, r, &answer); err != nil {
			if statusOf(err) == http.StatusNotFound { // only a bucket can be missing here
				err = &backend.Error{Address: r.address, Code: backend.NoContainer, Message: fmt.Sprintf("cannot %s %q: the bucket does not exist: check its name", r.doing, r.address), Err: err}
			}
			return err
		}
		for _, m := range answer.Items {
			if m == nil || m.Name < name || m.Name == name && seen[m.Generation] {
				// The server could send the same pages forever. An incomplete listing that is
				// taken for a complete one would lose states.
				return b.explain(ctx, r, &unreadableAnswer{"the listing is not in order, so it may be incomplete"})
			}
			if m.Name != name {
				name = m.Name
				clear(seen)
			}
			seen[m.Generation] = true
		}
		if !page(answer.Items) || answer.NextPageToken == "" {
			return nil
		}
		if answer.NextPageToken == r.query.Get("pageToken") {
			return b.explain(ctx, r, &unreadableAnswer{"the server reports more objects, but not where they begin"})
		}
		r.query.Set("pageToken", answer.NextPageToken)
	}
}

// newCustomerKey returns the headers for a key.
func newCustomerKey(key []byte) *customerKey {
	sum := sha256.Sum256(key)
	return &customerKey{base64.StdEncoding.EncodeToString(key), base64.StdEncoding.EncodeToString(sum[:])}
}
