package azurerm

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// blob is a state in a container.
type blob struct {
	container *container
	key       string
	at        selection // the version in the address; zero for the current one
	address   string
	place     backend.Place

	// What the search that found this state saw of it; zero if the state was named directly.
	listed time.Time
	stored *properties
}

func newBlob(c *container, key string) *blob {
	return &blob{container: c, key: key, at: c.url.selection(), address: c.url.name(key), place: placeInContainer(c.url, key)}
}

func (b *blob) Address() string        { return b.address }
func (b *blob) Place() backend.Place   { return b.place }
func (b *blob) Traits() backend.Traits { return traits }

// Server returns the account's blob service.
func (b *blob) Server() string { return b.container.host() }

// host returns the server as the user names it.
func (s *server) host() string {
	if s.base.Hostname() == "" {
		return s.account
	}
	return s.base.Host
}

// Aliases returns the URL without parameters.
func (b *blob) Aliases() []string {
	u := *b.container.url
	u.params = nil
	return []string{u.name(b.key)}
}

// Listed implements backend.Listed.
func (b *blob) Listed() *backend.Version {
	if b.stored == nil {
		return nil
	}
	return b.version(b.stored)
}

// request returns a request for the blob itself.
func (b *blob) request(doing string) request {
	return request{doing: doing, address: b.address, needs: mayRead}
}

func (b *blob) stat(ctx context.Context, at selection) (*properties, error) {
	return b.container.stat(ctx, b.request("access"), b.key, at, "")
}

// The two forms of a version's ID. Taking and releasing a lock changes the ETag, and makes a
// new version where the account keeps them, but does not change the content. So the ID is the
// content's MD5. A blob without one, which another program stored in blocks, is identified by
// the ETag that its content had first.
const (
	idByMD5  = "md5"
	idByETag = "etag"
)

// id returns the ID of a version of the blob.
func (b *blob) id(p *properties) string {
	var out strings.Builder
	escapeKey(&out, b.key)
	if p.md5 != "" {
		return out.String() + "?" + idByMD5 + "=" + p.md5
	}
	return out.String() + "?" + idByETag + "=" + url.QueryEscape(b.container.original(b.key, p.etag))
}

// checkID returns an error unless the ID is one of the blob's versions.
func (b *blob) checkID(id string) error {
	if key, err := keyOfID(id); err != nil || key != b.key {
		return fmt.Errorf("not a version of this blob: %q", id)
	}
	return nil
}

// keyOfID returns the key in the ID of a version.
func keyOfID(id string) (string, error) {
	path, version, _ := strings.Cut(id, "?")
	key, err := url.PathUnescape(path)
	if kind, value, _ := strings.Cut(version, "="); err != nil || value == "" || kind != idByMD5 && kind != idByETag {
		return "", fmt.Errorf("not a blob's version: %q", id)
	}
	return key, nil
}

// version returns a version of the blob.
func (b *blob) version(p *properties) *backend.Version {
	return &backend.Version{ID: b.id(p), Size: p.size, Created: p.modified, Kept: p.versioned, Detail: p.selection}
}

// Open implements backend.State. The server replaces blobs as a whole, so a read is never
// torn.
func (b *blob) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	if v == nil {
		in, p, err := b.download(ctx, b.at)
		if err != nil {
			return nil, backend.Version{}, err
		}
		return in, *b.version(p), nil
	}
	if err := b.checkID(v.ID); err != nil {
		return nil, backend.Version{}, err
	}
	in, p, err := b.openVersion(ctx, v)
	if err != nil {
		return nil, backend.Version{}, err
	}
	was := *b.version(p)
	was.MD5 = v.MD5
	return in, was, nil
}

// openVersion opens a version: where the listing found it, as the current one, or as an older
// one with the same content.
func (b *blob) openVersion(ctx context.Context, v *backend.Version) (*backend.Incoming, *properties, error) {
	at, _ := v.Detail.(selection) // the current version otherwise
	if at == (selection{}) {
		at = b.at
	}
	in, now, err := b.download(ctx, at)
	switch {
	case err == nil && b.id(now) == v.ID:
		return in, now, nil
	case err == nil:
		_ = in.Close() // not read
	case backend.CodeOf(err) != backend.NoState:
		return nil, nil, err
	}
	all, unlisted := b.versions(ctx)
	for _, p := range all {
		if b.id(p) != v.ID || p.selection == (selection{}) {
			continue
		}
		if in, p, err := b.download(ctx, p.selection); err == nil && b.id(p) == v.ID {
			return in, p, nil
		} else if err == nil {
			_ = in.Close() // not read
		}
	}
	switch {
	case now != nil:
		return nil, nil, b.rewritten(now)
	case unlisted != nil && backend.CodeOf(unlisted) != backend.NoState:
		return nil, nil, unlisted
	}
	return nil, nil, b.changed(ctx)
}

// changed returns the error for a version that is gone.
func (b *blob) changed(ctx context.Context) error {
	switch now, err := b.stat(ctx, selection{}); {
	case err != nil:
		return err
	case now != nil:
		return b.rewritten(now)
	}
	return &backend.ChangedError{Address: b.address, Gone: true}
}

func (b *blob) rewritten(now *properties) error {
	return &backend.ChangedError{Address: b.address, How: fmt.Sprintf("it was written %s, with %d bytes", now.modified.UTC().Format(time.RFC3339), now.size)}
}

// Check implements backend.State. It asks for the current version, or the one in the address.
func (b *blob) Check(ctx context.Context, v backend.Version) error {
	if err := b.checkID(v.ID); err != nil {
		return err
	}
	now, err := b.stat(ctx, b.at)
	switch {
	case err != nil:
		return err
	case now == nil:
		return &backend.ChangedError{Address: b.address, Gone: true}
	case b.id(now) == v.ID:
		return nil
	case now.md5 != "" || v.MD5 == "":
		return b.rewritten(now)
	}
	// Only its metadata may have changed, as by a lock.
	if sum, err := b.digest(ctx); err != nil || sum == v.MD5 {
		return err
	}
	return b.rewritten(now)
}

// digest reads the blob and returns its MD5 in hex.
func (b *blob) digest(ctx context.Context) (string, error) {
	in, _, err := b.download(ctx, b.at)
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }() // only read
	sum := md5.New()
	if _, err := io.Copy(sum, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Versions implements backend.Historic. It begins with the version that Open reads without a
// version.
func (b *blob) Versions(ctx context.Context) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		all, err := b.versions(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, p := range all {
			if !yield(b.version(p), nil) {
				return
			}
		}
	}
}

// versions lists the versions and snapshots of the blob, newest first, from the one in the
// address. Several that follow each other with the same content are one, as old as the oldest:
// locks and snapshots make them. An empty one is what a lock creates where there is no state.
func (b *blob) versions(ctx context.Context) ([]*properties, error) {
	r := request{doing: "list the versions of", address: b.address, needs: mayList}
	var all []*properties
	err := b.container.list(ctx, r, b.key, "metadata,snapshots,versions", func(name string, e *entry) bool {
		if name == b.key {
			all = append(all, e.properties())
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(x, y *properties) int { return strings.Compare(y.when(), x.when()) })
	if first := slices.IndexFunc(all, func(p *properties) bool { return p.selection == b.at }); b.at != (selection{}) && first >= 0 {
		all = all[first:]
	}
	var out []*properties
	for i, p := range all {
		switch {
		case p.size == 0 && i > 0:
		case len(out) > 0 && b.id(out[len(out)-1]) == b.id(p):
			out[len(out)-1].modified = p.modified
		default:
			out = append(out, p)
		}
	}
	return out, nil
}

// when returns what versions are sorted by: Azure's times have one length. The current version
// is the newest.
func (p *properties) when() string {
	if p.selection == (selection{}) {
		return "~"
	}
	return p.version + p.snapshot
}

// download reads a version, and returns what the headers say about it.
func (b *blob) download(ctx context.Context, at selection) (*backend.Incoming, *properties, error) {
	// The body is read after download returns, so its context ends with the body or with ctx.
	ctx, cancel := context.WithCancelCause(ctx)
	r := b.request("read")
	r.method, r.key, r.query = http.MethodGet, b.key, at.query()
	resp, err := b.container.send(ctx, r)
	if err != nil {
		cancel(nil)
		return nil, nil, err
	}
	p, err := readProperties(resp.Header)
	if err == nil && p.encoding != "" && p.encoding != "identity" {
		err = &unreadableAnswer{fmt.Sprintf("it is stored with the Content-Encoding %q: store it without, or does a proxy change responses?", p.encoding)}
	}
	if err == nil && resp.ContentLength != p.size {
		err = &unreadableAnswer{"the server does not report its length, so a truncated download would go unnoticed"}
	}
	if err != nil {
		err = b.container.explain(ctx, r, err)
		cancel(nil)
		_ = resp.Body.Close() // not read
		return nil, nil, err
	}
	p.selection = at
	sum := md5.New()
	return backend.NewIncoming(ctx, cancel, resp.Body, backend.IncomingOptions{
		Address: b.address, Size: p.size, Stall: b.container.timeout, Describe: plainwords.Describe, Sums: sum,
		Compare: func() error {
			if p.md5 == "" || hex.EncodeToString(sum.Sum(nil)) == p.md5 {
				return nil
			}
			return &backend.Error{Address: b.address, Code: backend.Failed, Message: fmt.Sprintf("cannot read %q: the download does not match the MD5 of the stored blob: try again. If that happens again, check whether a proxy changes responses", b.address)}
		},
	}), p, nil
}
