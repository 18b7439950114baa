package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// A request is one call of the API.
type request struct {
	doing   string // "read", "list", "lock", for error messages
	address string // the URL concerned, for error messages
	// verb, resource and namespace are what the credentials must allow.
	verb, resource, namespace string

	name   string // of the object; "" for all
	query  url.Values
	accept string // "" for JSON
	body   any    // to send as JSON; nil for none
}

// The resources that tfhaul uses.
const (
	secrets = "secrets"
	leases  = "leases"
)

// methods are the methods of the verbs (https://kubernetes.io/docs/reference/using-api/api-concepts/).
var methods = map[string]string{"get": http.MethodGet, "list": http.MethodGet, "create": http.MethodPost, "update": http.MethodPut, "delete": http.MethodDelete}

func (r *request) reads() bool { return methods[r.verb] == http.MethodGet }

// path returns the path of the request below the API's.
func (r *request) path() string {
	group := "/api/v1"
	if r.resource == leases {
		group = "/apis/coordination.k8s.io/v1"
	}
	path := group + "/namespaces/" + r.namespace + "/" + r.resource
	if r.name != "" {
		path += "/" + r.name // which needs no escaping
	}
	return path
}

// A request that the server has refused because of its load is sent again, and so is a read
// without a clear response. The first pause is firstPause; each later one is twice as long.
const (
	maxAttempts = 5
	firstPause  = 250 * time.Millisecond
	longestWait = 30 * time.Second // that a server asks for
)

// send sends a request and calls read with the content of the response if it is a success. A
// request that changes something is never repeated unless the server has refused it: the caller
// has to find out what the first one did.
func (c *cluster) send(ctx context.Context, r request, read func(io.Reader) error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := c.sendOnce(ctx, r, read)
		if statusOf(err) == http.StatusUnauthorized && attempt == 1 && c.credentials.reject(errorToken(err)) {
			continue
		}
		if err == nil || attempt == maxAttempts || ctx.Err() != nil || !isThrottled(err) && !(r.reads() && mayPass(err)) || c.wire.Down() {
			return err
		}
		if err := lockwait.Sleep(ctx, max(pause, min(retryAfter(err), longestWait))); err != nil {
			return c.explain(ctx, r, err)
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

func (c *cluster) sendOnce(ctx context.Context, r request, read func(io.Reader) error) error {
	header := http.Header{}
	if err := c.credentials.authorize(ctx, header); err != nil {
		return c.explain(ctx, r, err)
	}
	watched, progress, stop := backend.Watched(ctx, c.timeout)
	defer stop()
	h, err := c.newRequest(watched, r, progress)
	if err != nil {
		return c.explain(ctx, r, err)
	}
	maps.Copy(h.Header, header)
	if err := c.wire.Sending(ctx); err != nil {
		return err
	}
	resp, err := c.client.Do(h)
	c.wire.Observe(ctx, err)
	if err != nil {
		if watched.Err() != nil && ctx.Err() == nil {
			err = context.Cause(watched)
		}
		return c.explain(ctx, r, err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	if resp.StatusCode < 200 || resp.StatusCode >= 300 {
		a := readAnswer(resp)
		a.token, _ = strings.CutPrefix(h.Header.Get("Authorization"), "Bearer ")
		return c.explain(ctx, r, a)
	}
	if err := read(&watchedReader{resp.Body, progress}); err != nil {
		if watched.Err() != nil && ctx.Err() == nil {
			err = &lostAnswer{context.Cause(watched)}
		}
		return c.explain(ctx, r, err)
	}
	return nil
}

// A watchedReader reports progress.
type watchedReader struct {
	in       io.Reader
	progress func()
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.in.Read(p)
	w.progress()
	return n, err
}

func (c *cluster) newRequest(ctx context.Context, r request, progress func()) (*http.Request, error) {
	at := *c.base
	at.Path += r.path() // names are checked, or escaped
	at.RawQuery = r.query.Encode()
	var body io.Reader
	var size int64
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body, size = &watchedReader{bytes.NewReader(text), progress}, int64(len(text))
	}
	h, err := http.NewRequestWithContext(ctx, methods[r.verb], at.String(), body)
	if err != nil {
		return nil, err
	}
	h.Header.Set("Accept", "application/json")
	if r.accept != "" {
		h.Header.Set("Accept", r.accept)
	}
	if r.body != nil {
		h.ContentLength = size
		h.Header.Set("Content-Type", "application/json")
	}
	if c.userAgent != "" {
		h.Header.Set("User-Agent", c.userAgent)
	}
	return h, nil
}

// maxAnswer limits how many bytes are read of a response about one object. A Secret has at most 1
// MiB, which base64 makes a third longer, and the server's own limit is 3 MiB.
const maxAnswer = 4 << 20

// ask sends a request and decodes the response into out, unless that is nil.
func (c *cluster) ask(ctx context.Context, r request, out any) error {
	return c.send(ctx, r, func(in io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(in, maxAnswer+1))
		switch {
		case err != nil:
			return &lostAnswer{err}
		case len(text) > maxAnswer:
			return &unreadableAnswer{fmt.Sprintf("the response is longer than %d MiB", maxAnswer>>20)}
		case out != nil && json.Unmarshal(text, out) != nil:
			return &unreadableAnswer{"the response is not that of Kubernetes: is the server the API server of a cluster?"}
		}
		return nil
	})
}

// A lostAnswer is a response that broke off.
type lostAnswer struct{ error }

func (e *lostAnswer) Unwrap() error { return e.error }

// An unreadableAnswer is a response in an unknown form.
type unreadableAnswer struct{ why string }

func (e *unreadableAnswer) Error() string { return e.why }

// maxListed limits how many bytes of a listing are read. Tests make it smaller.
var maxListed int64 = 128 << 20

// The limits of listings: how many objects a page of metadata has, and how many are read; and how
// often a listing begins again.
const (
	pageSize    = 500
	maxObjects  = 200_000
	maxRestarts = 3
)

// onlyMetadata asks for objects without their content. A server that does not know it sends them
// with it.
const onlyMetadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

// list lists the Secrets that a selector selects, as they are at one moment: whole, in one
// response, or only their metadata, page by page. If the server forgets the moment, it starts
// again.
func (c *cluster) list(ctx context.Context, r request, selector string, whole bool) ([]*secret, error) {
	r.verb, r.resource = "list", secrets
	for restart := 0; ; restart++ {
		all, err := c.listOnce(ctx, r, selector, whole)
		if statusOf(err) != http.StatusGone || restart == maxRestarts {
			return all, err
		}
	}
}

func (c *cluster) listOnce(ctx context.Context, r request, selector string, whole bool) ([]*secret, error) {
	r.query = url.Values{"labelSelector": {selector}}
	if !whole {
		r.accept = onlyMetadata
		r.query.Set("limit", strconv.Itoa(pageSize))
	}
	var all []*secret
	seen := map[string]bool{}
	for {
		var page []*secret
		var next string
		err := c.send(ctx, r, func(in io.Reader) (err error) {
			limited := &io.LimitedReader{R: in, N: maxListed}
			page, next, err = readList(limited, whole)
			if limited.N <= 0 {
				return &unreadableAnswer{fmt.Sprintf("the response is longer than %d MiB", maxListed>>20)}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, s := range page {
			if s.Metadata.Name == "" || seen[s.Metadata.Name] || len(seen) >= maxObjects {
				// The server could send the same pages forever. An incomplete listing that is taken
				// for a complete one would lose states.
				return nil, c.explain(ctx, r, &unreadableAnswer{"the listing has objects without a name or twice, or too many of them, so it may be incomplete"})
			}
			seen[s.Metadata.Name] = true
		}
		all = append(all, page...)
		switch {
		case next == "":
			return all, nil
		case next == r.query.Get("continue") || len(page) == 0:
			return nil, c.explain(ctx, r, &unreadableAnswer{"the server reports more objects, but not where they begin"})
		}
		r.query.Set("continue", next)
	}
}

// readList reads a list object by object, so that memory holds no more than is kept.
func readList(in io.Reader, whole bool) (all []*secret, next string, err error) {
	d := json.NewDecoder(in)
	unreadable := &unreadableAnswer{"the response is not a list of Kubernetes: is the server the API server of a cluster?"}
	fail := func(err error) ([]*secret, string, error) {
		if syntax := new(json.SyntaxError); errors.As(err, &syntax) || errors.As(err, new(*json.UnmarshalTypeError)) {
			return nil, "", unreadable
		}
		return nil, "", &lostAnswer{err}
	}
	if t, err := d.Token(); err != nil {
		return fail(err)
	} else if t != json.Delim('{') {
		return nil, "", unreadable
	}
	listed := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fail(err)
		}
		switch key {
		case "metadata":
			var m struct {
				Continue string `json:"continue"`
			}
			if err := d.Decode(&m); err != nil {
				return fail(err)
			}
			next = m.Continue
		case "items":
			if listed {
				return nil, "", unreadable
			}
			listed = true
			if all, err = readItems(d, whole); err != nil {
				return fail(err)
			}
		default:
			var ignored json.RawMessage
			if err := d.Decode(&ignored); err != nil {
				return fail(err)
			}
		}
	}
	if _, err := d.Token(); err != nil {
		return fail(err)
	}
	if !listed {
		return nil, "", unreadable
	}
	return all, next, nil
}

func readItems(d *json.Decoder, whole bool) (all []*secret, err error) {
	t, err := d.Token()
	if err != nil || t == nil { // null
		return nil, err
	}
	if t != json.Delim('[') {
		return nil, &json.SyntaxError{}
	}
	for d.More() {
		s := &secret{}
		if whole {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return nil, err
			}
			err = s.decode(raw)
		} else {
			err = d.Decode(&struct {
				Metadata *metadata `json:"metadata"`
			}{&s.Metadata})
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	_, err = d.Token()
	return all, err
}
