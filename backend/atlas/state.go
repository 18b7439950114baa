package atlas

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"strings"

	"tfhaul/backend"
)

// Kind returns the kind of backend that reads from the original Atlas API. An address is
// atlas://USER/NAME, with ?endpoint= for a server other than ATLAS_ADDRESS. The token comes
// from ATLAS_TOKEN.
func Kind(c backend.Connection) backend.Kind {
	c = c.WithDefaults()
	env := backend.Getenv(c.Environ)
	return backend.Kind{Name: "Atlas", Scheme: "atlas", Environment: "ATLAS_ADDRESS, ATLAS_TOKEN", Example: "atlas://USER/NAME", ReadOnly: "its API only reads states", Open: func(_ context.Context, address string) (backend.Backend, error) {
		u, err := parse(address, env)
		if err != nil {
			return nil, err
		}
		client, err := New(Options{Address: u.endpoint, Token: env("ATLAS_TOKEN"), TLS: c.TLS, Timeout: c.Timeout})
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", u.name(), err)
		}
		return &state{client: client, at: u, limit: c.StreamLimit}, nil
	}}
}

// A location is a parsed atlas:// URL.
type location struct {
	user, config string
	endpoint     string // "" means ATLAS_ADDRESS
	given        bool   // the URL has an endpoint parameter
}

// name returns the URL of this state.
func (u location) name() string {
	name := "atlas://" + url.PathEscape(u.user) + "/" + url.PathEscape(u.config)
	if u.given {
		name += "?" + url.Values{"endpoint": {u.endpoint}}.Encode()
	}
	return name
}

func parse(ref string, env func(string) string) (location, error) {
	u, err := url.Parse(ref)
	if err != nil || u.User != nil || u.Fragment != "" {
		return location{}, errors.New("the atlas:// source is not a URL: write atlas://USER/NAME")
	}
	at := location{user: u.Host, config: strings.Trim(u.Path, "/"), endpoint: env("ATLAS_ADDRESS")}
	if at.user == "" || at.config == "" || strings.Contains(at.config, "/") {
		return location{}, fmt.Errorf("%q does not name a state: write atlas://USER/NAME", "atlas://"+u.Host+u.Path)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return location{}, errors.New("the parameters of the atlas:// source are malformed")
	}
	for name, values := range query {
		if name != "endpoint" || len(values) != 1 {
			return location{}, fmt.Errorf("atlas:// takes one parameter, endpoint, not %q", name)
		}
		if e, err := url.Parse(values[0]); err != nil || e.Host == "" || e.User != nil || e.RawQuery != "" || e.Fragment != "" {
			return location{}, errors.New("the endpoint of an atlas:// source must be https://HOST and nothing else: the token comes from ATLAS_TOKEN")
		}
		at.endpoint, at.given = values[0], true
	}
	return at, nil
}

// state is a state on a server with the original Atlas API. The API has neither versions
// nor conditional reads, so a version is identified by the digest of what was read.
type state struct {
	client *Client
	at     location
	limit  int64
}

// States lists this one state.
func (a *state) States(context.Context, backend.Filter) (*backend.Listing, error) {
	return &backend.Listing{States: []backend.State{a}}, nil
}

func (a *state) Address() string        { return a.at.name() }
func (a *state) Server() string         { return a.at.endpoint }
func (a *state) Traits() backend.Traits { return backend.Traits{} }

// Place uses the name as the directory, so that the default naming rule gives the workspace
// that name.
func (a *state) Place() backend.Place {
	return backend.Place{Dir: a.at.config, Base: "terraform", Key: a.at.user + "/" + a.at.config, Workspace: backend.DefaultWorkspace}
}

// Open reads the current state. With a version, it first reads the whole state into memory,
// up to the limit of streams, and compares it.
func (a *state) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	s, err := a.client.State(ctx, a.at.user, a.at.config)
	if errors.Is(err, ErrNoState) && v != nil {
		return nil, backend.Version{}, &backend.ChangedError{Address: a.Address(), Gone: true}
	}
	if err != nil {
		return nil, backend.Version{}, err
	}
	now := backend.Version{ID: s.MD5, Size: max(s.Size, 0), MD5: s.MD5}
	if v == nil {
		return &checkedDownload{State: s, sum: md5.New()}, now, nil
	}
	defer func() { _ = s.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(s, a.limit+1))
	switch {
	case err != nil:
		return nil, backend.Version{}, fmt.Errorf("cannot read %s: %w", a.Address(), err)
	case int64(len(b)) > a.limit:
		return nil, backend.Version{}, fmt.Errorf("%s is larger than %d bytes, the limit for a state that must be held in memory to be compared", a.Address(), a.limit)
	}
	sum := md5.Sum(b)
	now.Size, now.MD5 = int64(len(b)), hex.EncodeToString(sum[:])
	if err := a.same(*v, now); err != nil {
		return nil, backend.Version{}, err
	}
	return io.NopCloser(bytes.NewReader(b)), now, nil
}

// same compares digests, or sizes without digests.
func (a *state) same(was, now backend.Version) error {
	switch {
	case was.MD5 != "" && was.MD5 != now.MD5:
		return &backend.ChangedError{Address: a.Address(), How: "the MD5 differs"}
	case was.MD5 != "":
		return nil // the size was unknown when it was opened
	case was.Size != now.Size:
		return &backend.ChangedError{Address: a.Address(), How: fmt.Sprintf("size %d, was %d", now.Size, was.Size)}
	}
	return nil
}

// Check reads the state again, because the API offers no other way.
func (a *state) Check(ctx context.Context, v backend.Version) error {
	s, err := a.client.State(ctx, a.at.user, a.at.config)
	if errors.Is(err, ErrNoState) {
		return &backend.ChangedError{Address: a.Address(), Gone: true}
	}
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // only read
	sum := md5.New()
	n, err := io.Copy(sum, s)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", a.Address(), err)
	}
	return a.same(v, backend.Version{Size: n, MD5: hex.EncodeToString(sum.Sum(nil))})
}

// Holder returns nil: the API has no locks.
func (a *state) Holder(ctx context.Context) (*backend.Lock, error) { return nil, ctx.Err() }

// A checkedDownload compares what is read with the size and digest from the server.
type checkedDownload struct {
	*State
	sum  hash.Hash
	size int64
}

func (d *checkedDownload) Read(p []byte) (int, error) {
	n, err := d.State.Read(p)
	d.sum.Write(p[:n])
	d.size += int64(n)
	if err != io.EOF {
		return n, err
	}
	if d.Size >= 0 && d.size != d.Size || d.MD5 != "" && hex.EncodeToString(d.sum.Sum(nil)) != d.MD5 {
		return n, errors.New("the download does not match what the server announced: it was changed on the way or is incomplete")
	}
	return n, io.EOF
}
