package azurerm

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// apiVersion is the version of the REST API: blob versions, and states of up to 5,000 MiB in
// one request, need 2019-12-12; names that XML cannot have need 2021-02-12.
const apiVersion = "2021-12-02"

// A request is one call of the REST API.
type request struct {
	doing   string // "read", "list", "lock", for error messages
	address string // the URL concerned, for error messages
	needs   permission

	method string
	key    string // of the blob; "" for the container
	query  url.Values
	header map[string]string
	// body returns the content to send, from its beginning; nil for none.
	body func() io.ReadCloser
	size int64
}

// with adds headers, without those that are empty.
func (r request) with(header map[string]string) request {
	all := maps.Clone(r.header)
	if all == nil {
		all = map[string]string{}
	}
	for name, value := range header {
		if value != "" {
			all[name] = value
		}
	}
	r.header = all
	return r
}

// The headers of requests and responses.
const (
	headerLease   = "X-Ms-Lease-Id"
	headerMatch   = "If-Match"
	headerNone    = "If-None-Match"
	headerVersion = "X-Ms-Version-Id"
	metaPrefix    = "X-Ms-Meta-"
)

// A request that the server has refused because of its load is sent again, and so is a read
// without a clear response. The first pause is firstPause; each later one is twice as long.
const (
	maxAttempts = 5
	firstPause  = 250 * time.Millisecond
)

// send sends a request and returns the response if it is a success. A request that changes
// something is never repeated unless the server has refused it: the caller has to find out
// what the first one did.
func (c *container) send(ctx context.Context, r request) (*http.Response, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		resp, err := c.sendOnce(ctx, r)
		if err == nil || attempt == maxAttempts || ctx.Err() != nil || !isThrottled(err) && !(r.reads() && mayPass(err)) || c.wire.Down() {
			return resp, err
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return nil, c.explain(ctx, r, err)
		}
		pause *= 2
	}
}

func (r request) reads() bool { return r.method == http.MethodGet || r.method == http.MethodHead }

// mayPass reports whether a read may succeed if it is repeated.
func mayPass(err error) bool {
	status := statusOf(err)
	return status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented ||
		status == 0 && backend.CodeOf(err) == backend.Unreachable && !backend.Untrusted(err)
}

func (c *container) sendOnce(ctx context.Context, r request) (*http.Response, error) {
	h, err := c.newRequest(ctx, r)
	if err == nil {
		err = c.credentials.authorize(ctx, h)
	}
	if err != nil {
		return nil, c.explain(ctx, r, err)
	}
	if err := c.wire.Sending(ctx); err != nil {
		return nil, err
	}
	if r.body != nil {
		h.Body, h.ContentLength = r.body(), r.size
	}
	resp, err := c.client.Do(h)
	c.wire.Observe(ctx, err)
	if err != nil {
		return nil, c.explain(ctx, r, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // only read
	return nil, c.explain(ctx, r, readAnswer(resp))
}

func (c *container) newRequest(ctx context.Context, r request) (*http.Request, error) {
	at := *c.base
	escaped := at.EscapedPath() + "/" + c.url.container
	if r.key != "" {
		escaped += "/" + strings.ReplaceAll(url.PathEscape(r.key), "%2F", "/")
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
	for name, value := range r.header {
		h.Header.Set(name, value)
	}
	if r.body != nil {
		h.ContentLength = r.size // is signed
	}
	h.Header.Set("X-Ms-Version", apiVersion)
	h.Header.Set("X-Ms-Date", time.Now().UTC().Format(http.TimeFormat))
	if c.userAgent != "" {
		h.Header.Set("User-Agent", c.userAgent)
	}
	return h, nil
}

// do sends a request whose response has no content, and returns its headers.
func (c *container) do(ctx context.Context, r request) (http.Header, error) {
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close() // empty
	return resp.Header, nil
}

// A selection is a version of a blob; the current one if it is zero.
type selection struct{ version, snapshot string }

func (s selection) query() url.Values {
	q := url.Values{}
	if s.version != "" {
		q.Set("versionid", s.version)
	}
	if s.snapshot != "" {
		q.Set("snapshot", s.snapshot)
	}
	return q
}

// properties are what the server knows about one version of a blob.
type properties struct {
	selection        // of the version if it is not the current one
	versioned bool   // the server keeps the version when it is replaced
	etag      string // with its quotation marks
	md5       string // in lower-case hex; "" if the server does not know it
	size      int64
	modified  time.Time
	leased    bool
	encoding  string
	metadata  map[string]string // by lower-case name
}

// readProperties returns what the headers of a response say.
func readProperties(h http.Header) (*properties, error) {
	p := &properties{
		etag: quotedTag(h.Get("ETag")), md5: hexOf(h.Get("Content-MD5")), encoding: h.Get("Content-Encoding"), versioned: h.Get(headerVersion) != "",
		leased: strings.EqualFold(h.Get("X-Ms-Lease-Status"), "locked"), metadata: map[string]string{},
	}
	var err error
	if p.size, err = strconv.ParseInt(h.Get("Content-Length"), 10, 64); err != nil || p.size < 0 {
		return nil, &unreadableAnswer{"the server does not report its length, so a truncated download would go unnoticed"}
	}
	if p.etag == "" {
		return nil, &unreadableAnswer{"the server does not report its ETag: is the endpoint the blob service of a storage account?"}
	}
	p.modified, _ = http.ParseTime(h.Get("Last-Modified")) // zero if absent
	for name, values := range h {
		if short, ok := strings.CutPrefix(name, metaPrefix); ok {
			p.metadata[strings.ToLower(short)] = values[0]
		}
	}
	return p, nil
}

// quotedTag returns an ETag with its quotation marks, which listings leave out.
func quotedTag(etag string) string {
	if etag = strings.Trim(etag, `"`); etag == "" {
		return ""
	}
	return `"` + etag + `"`
}

// hexOf returns an MD5 in hex; "" if the text is not one in base64.
func hexOf(text string) string {
	sum, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sum) != 16 {
		return ""
	}
	return hex.EncodeToString(sum)
}

// metadataHeaders returns the headers that set metadata.
func metadataHeaders(metadata map[string]string) map[string]string {
	h := map[string]string{}
	for name, value := range metadata {
		h[metaPrefix+name] = value
	}
	return h
}

// stat returns the properties of a version, or nil if it does not exist. With the ID of a
// lease, it fails unless the blob has that lease.
func (c *container) stat(ctx context.Context, r request, key string, at selection, lease string) (*properties, error) {
	r.method, r.key, r.query = http.MethodHead, key, at.query()
	h, err := c.do(ctx, r.with(map[string]string{headerLease: lease}))
	switch {
	case backend.CodeOf(err) == backend.NoState:
		return nil, nil
	case err != nil:
		return nil, err
	}
	p, err := readProperties(h)
	if err != nil {
		return nil, c.explain(ctx, r, err)
	}
	p.selection = at
	return p, nil
}

// contentType is what Terraform's azurerm backend stores.
const contentType = "application/json"

// An upload is a blob to store.
type upload struct {
	key      string
	was      string // the ETag of what is replaced; "" if there must be no blob
	lease    string
	metadata map[string]string
	size     int64
	md5      []byte
	open     func() io.ReadCloser // nil if there are no bytes
}

// put stores a blob in one request. The server compares the MD5, and stores nothing that is
// incomplete.
func (c *container) put(ctx context.Context, r request, u upload) (*properties, error) {
	sum := base64.StdEncoding.EncodeToString(u.md5)
	r.method, r.key, r.size, r.body = http.MethodPut, u.key, u.size, u.open
	r = r.with(metadataHeaders(u.metadata)).with(map[string]string{
		"X-Ms-Blob-Type": "BlockBlob", "Content-Type": contentType, "Content-MD5": sum, "X-Ms-Blob-Content-MD5": sum,
		headerLease: u.lease, headerMatch: u.was,
	})
	if u.was == "" {
		r.header[headerNone] = "*"
	}
	h, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	etag := quotedTag(h.Get("ETag"))
	if etag == "" || etag == u.was {
		return nil, c.explain(ctx, r, &lostAnswer{errors.New("the response describes no new version of the blob")})
	}
	modified, _ := http.ParseTime(h.Get("Last-Modified")) // zero if absent
	return &properties{etag: etag, md5: hex.EncodeToString(u.md5), size: u.size, modified: modified, versioned: h.Get(headerVersion) != "", metadata: u.metadata}, nil
}

// setMetadata replaces the metadata of the blob that has this ETag, and returns the new one.
func (c *container) setMetadata(ctx context.Context, r request, key, etag string, metadata map[string]string) (string, error) {
	r.method, r.key, r.query = http.MethodPut, key, url.Values{"comp": {"metadata"}}
	h, err := c.do(ctx, r.with(metadataHeaders(metadata)).with(map[string]string{headerMatch: etag}))
	if err != nil {
		return "", err
	}
	now := quotedTag(h.Get("ETag"))
	if now == "" {
		return "", c.explain(ctx, r, &lostAnswer{errors.New("the response has no ETag")})
	}
	c.aliased(key, etag, now)
	return now, nil
}

// acquireLease takes a lease that never expires, if the blob has this ETag.
func (c *container) acquireLease(ctx context.Context, r request, key, etag, id string) error {
	r.method, r.key, r.query = http.MethodPut, key, url.Values{"comp": {"lease"}}
	_, err := c.do(ctx, r.with(map[string]string{"X-Ms-Lease-Action": "acquire", "X-Ms-Lease-Duration": "-1", "X-Ms-Proposed-Lease-Id": id, headerMatch: etag}))
	return err
}

// releaseLease ends the lease with this ID.
func (c *container) releaseLease(ctx context.Context, r request, key, id string) error {
	r.method, r.key, r.query = http.MethodPut, key, url.Values{"comp": {"lease"}}
	_, err := c.do(ctx, r.with(map[string]string{"X-Ms-Lease-Action": "release", headerLease: id}))
	return err
}

// takeSnapshot keeps a copy of the blob that has this ETag.
func (c *container) takeSnapshot(ctx context.Context, r request, key, etag, lease string) error {
	r.method, r.key, r.query = http.MethodPut, key, url.Values{"comp": {"snapshot"}}
	_, err := c.do(ctx, r.with(map[string]string{headerLease: lease, headerMatch: etag}))
	return err
}

// remove deletes the blob that has this ETag; any if it is "".
func (c *container) remove(ctx context.Context, r request, key, etag, lease string) error {
	r.method, r.key = http.MethodDelete, key
	_, err := c.do(ctx, r.with(map[string]string{headerLease: lease, headerMatch: etag}))
	return err
}

// maxAnswer limits how many bytes are read of a response other than a blob. A page of a
// listing has at most 1,000 names of 1,024 characters with at most 8 KiB of metadata.
const maxAnswer = 16 << 20

// An entry is a version of a blob in a listing
// (https://learn.microsoft.com/rest/api/storageservices/list-blobs).
type entry struct {
	Name struct {
		Encoded bool   `xml:"Encoded,attr"`
		Text    string `xml:",chardata"`
	} `xml:"Name"`
	Snapshot   string `xml:"Snapshot"`
	VersionID  string `xml:"VersionId"`
	Current    bool   `xml:"IsCurrentVersion"`
	Properties struct {
		Modified    string `xml:"Last-Modified"`
		ETag        string `xml:"Etag"`
		Size        int64  `xml:"Content-Length"`
		MD5         string `xml:"Content-MD5"`
		Encoding    string `xml:"Content-Encoding"`
		LeaseStatus string `xml:"LeaseStatus"`
		Type        string `xml:"ResourceType"`
	} `xml:"Properties"`
	Metadata struct {
		Items []struct {
			XMLName xml.Name
			Text    string `xml:",chardata"`
		} `xml:",any"`
	} `xml:"Metadata"`
}

// name returns the name of the blob.
func (e *entry) name() (string, error) {
	if e.Name.Encoded {
		return url.PathUnescape(e.Name.Text)
	}
	return e.Name.Text, nil
}

// isDirectory reports whether the entry is a directory of an account with a hierarchical
// namespace.
func (e *entry) isDirectory() bool {
	if e.Properties.Type == "directory" {
		return true
	}
	for _, item := range e.Metadata.Items {
		if strings.EqualFold(item.XMLName.Local, "hdi_isfolder") {
			return item.Text == "true"
		}
	}
	return false
}

func (e *entry) properties() *properties {
	p := &properties{
		etag: quotedTag(e.Properties.ETag), md5: hexOf(e.Properties.MD5), size: e.Properties.Size, encoding: e.Properties.Encoding,
		leased: strings.EqualFold(e.Properties.LeaseStatus, "locked"), versioned: e.VersionID != "", metadata: map[string]string{},
	}
	p.modified, _ = http.ParseTime(e.Properties.Modified) // zero if absent
	if p.snapshot = e.Snapshot; e.Snapshot == "" && !e.Current {
		p.version = e.VersionID
	}
	for _, item := range e.Metadata.Items {
		p.metadata[strings.ToLower(item.XMLName.Local)] = item.Text
	}
	return p
}

// maxEmptyPages limits how many pages without a blob a listing may have in a row.
const maxEmptyPages = 1000

// list requests one page of a listing after another, until page returns false.
func (c *container) list(ctx context.Context, r request, prefix, include string, page func(name string, e *entry) bool) error {
	r.method, r.query = http.MethodGet, url.Values{"restype": {"container"}, "comp": {"list"}, "maxresults": {"1000"}}
	if prefix != "" {
		r.query.Set("prefix", prefix)
	}
	if include != "" {
		r.query.Set("include", include)
	}
	seen, empty := map[string]bool{}, 0
	for {
		var answer struct {
			XMLName xml.Name `xml:"EnumerationResults"`
			Blobs   struct {
				Items []*entry `xml:"Blob"`
			} `xml:"Blobs"`
			NextMarker string `xml:"NextMarker"`
		}
		if err := c.ask(ctx, r, &answer); err != nil {
			return err
		}
		for _, e := range answer.Blobs.Items {
			name, err := e.name()
			id := name + "\x00" + e.VersionID + "\x00" + e.Snapshot
			if err != nil || name == "" || seen[id] || !strings.HasPrefix(name, prefix) {
				// The server could send the same pages forever. An incomplete listing that is
				// taken for a complete one would lose states.
				return c.explain(ctx, r, &unreadableAnswer{"the listing repeats blobs, or has others than requested, so it may be incomplete"})
			}
			seen[id] = true
			if !page(name, e) {
				return nil
			}
		}
		if empty++; len(answer.Blobs.Items) > 0 {
			empty = 0
		}
		switch {
		case answer.NextMarker == "":
			return nil
		case answer.NextMarker == r.query.Get("marker"), empty > maxEmptyPages:
			return c.explain(ctx, r, &unreadableAnswer{"the server reports more blobs, but not where they begin"})
		}
		r.query.Set("marker", answer.NextMarker)
	}
}

// ask sends a request and decodes the response, which is XML, into out.
func (c *container) ask(ctx context.Context, r request, out any) error {
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && ctx.Err() == nil:
		err = &lostAnswer{err}
	case err == nil && len(text) > maxAnswer:
		err = &unreadableAnswer{fmt.Sprintf("the response is longer than %d MiB", maxAnswer>>20)}
	case err == nil && xml.Unmarshal(text, out) != nil:
		err = &unreadableAnswer{"the response is not that of Azure Blob Storage: is the endpoint the blob service of a storage account?"}
	}
	if err != nil {
		return c.explain(ctx, r, err)
	}
	return nil
}

// A lostAnswer is a response that broke off.
type lostAnswer struct{ error }

func (e *lostAnswer) Unwrap() error { return e.error }

// An unreadableAnswer is a response in an unknown form.
type unreadableAnswer struct{ why string }

func (e *unreadableAnswer) Error() string { return e.why }

// aliased records that two ETags of a blob are of the same content: setting metadata changes
// the ETag, and not the content.
func (s *server) aliased(key, was, now string) {
	s.aliases.Store(key+"\x00"+now, s.original(key, was))
}

// original returns the ETag that the content of a blob first had, as far as it is known.
func (s *server) original(key, etag string) string {
	if was, ok := s.aliases.Load(key + "\x00" + etag); ok {
		return was.(string)
	}
	return etag
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
