package source

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
	"os"
	"strings"
	"time"

	"tfhaul/atlas"
)

// findAtlas finds the one state that an atlas:// URL names: atlas://USER/NAME, with ?endpoint= for
// a server other than ATLAS_ADDRESS. The token is ATLAS_TOKEN.
func findAtlas(ctx context.Context, ref string, o FindOptions) (*Listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u, err := parseAtlas(ref)
	if err != nil {
		return nil, err
	}
	client, err := atlas.New(atlas.Options{Address: u.endpoint, Token: os.Getenv("ATLAS_TOKEN"), TLS: o.TLS, Timeout: o.timeout()})
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", u.name(), err)
	}
	return &Listing{Objects: []Object{&atlasState{client: client, at: u, limit: o.streamLimit()}}}, nil
}

// An atlasURL is what an atlas:// URL says.
type atlasURL struct {
	user, config string
	endpoint     string // "" for none given, and then ATLAS_ADDRESS
	given        bool   // the endpoint stands in the URL
}

// name is the URL as it names the state alone.
func (u atlasURL) name() string {
	name := "atlas://" + url.PathEscape(u.user) + "/" + url.PathEscape(u.config)
	if u.given {
		name += "?" + url.Values{"endpoint": {u.endpoint}}.Encode()
	}
	return name
}

func parseAtlas(ref string) (atlasURL, error) {
	u, err := url.Parse(ref)
	if err != nil || u.User != nil || u.Fragment != "" {
		return atlasURL{}, errors.New("the atlas:// source is no URL: write atlas://USER/NAME")
	}
	at := atlasURL{user: u.Host, config: strings.Trim(u.Path, "/"), endpoint: os.Getenv("ATLAS_ADDRESS")}
	if at.user == "" || at.config == "" || strings.Contains(at.config, "/") {
		return atlasURL{}, fmt.Errorf("%q names no state: write atlas://USER/NAME", "atlas://"+u.Host+u.Path)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return atlasURL{}, errors.New("the parameters of the atlas:// source cannot be read")
	}
	for name, values := range query {
		if name != "endpoint" || len(values) != 1 {
			return atlasURL{}, fmt.Errorf("atlas:// takes the parameter endpoint, once, and not %q", name)
		}
		if e, err := url.Parse(values[0]); err != nil || e.Host == "" || e.User != nil || e.RawQuery != "" || e.Fragment != "" {
			return atlasURL{}, errors.New("the endpoint of an atlas:// source is to be https://HOST and nothing more: the token comes from ATLAS_TOKEN")
		}
		at.endpoint, at.given = values[0], true
	}
	return at, nil
}

// atlasState is a state on a server of Atlas's first API. That API has no versions and no
// conditional reads: a pin is the digest of what was read.
type atlasState struct {
	client *atlas.Client
	at     atlasURL
	limit  int64
}

func (a *atlasState) Name() string { return a.at.name() }

// Place has the name of the configuration for a directory, so that the default naming rule calls
// the workspace by it.
func (a *atlasState) Place() Place {
	return Place{Dir: a.at.config, Base: "terraform", Key: a.at.user + "/" + a.at.config, Workspace: DefaultWorkspace}
}

// Open reads the state as it is now. With a pin, the whole of it is read and compared before
// anything is given: it is held in memory up to the limit of streams.
func (a *atlasState) Open(ctx context.Context, pin *Pin) (io.ReadCloser, Pin, error) {
	s, err := a.client.State(ctx, a.at.user, a.at.config)
	if errors.Is(err, atlas.ErrNoState) && pin != nil {
		return nil, Pin{}, &ChangedError{Name: a.Name(), Gone: true}
	}
	if err != nil {
		return nil, Pin{}, err
	}
	now := Pin{Size: max(s.Size, 0), Opened: time.Now(), MD5: s.MD5}
	if pin == nil {
		return &checkedDownload{State: s, sum: md5.New()}, now, nil
	}
	defer func() { _ = s.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(s, a.limit+1))
	switch {
	case err != nil:
		return nil, Pin{}, fmt.Errorf("cannot read %s: %w", a.Name(), err)
	case int64(len(b)) > a.limit:
		return nil, Pin{}, fmt.Errorf("%s is larger than %d bytes, which is as much as is held of a state that cannot be pinned", a.Name(), a.limit)
	}
	sum := md5.Sum(b)
	now.Size, now.MD5 = int64(len(b)), hex.EncodeToString(sum[:])
	if err := a.same(*pin, now); err != nil {
		return nil, Pin{}, err
	}
	return io.NopCloser(bytes.NewReader(b)), now, nil
}

// same compares digests, and sizes where there are none.
func (a *atlasState) same(pin, now Pin) error {
	switch {
	case pin.MD5 != "" && pin.MD5 != now.MD5:
		return &ChangedError{Name: a.Name(), How: "the MD5 differs"}
	case pin.MD5 != "":
		return nil // the size was not known when it was opened, if it differs
	case pin.Size != now.Size:
		return &ChangedError{Name: a.Name(), How: fmt.Sprintf("size %d, was %d", now.Size, pin.Size)}
	}
	return nil
}

// Check reads the state again: there is no other way to know.
func (a *atlasState) Check(ctx context.Context, pin Pin) error {
	s, err := a.client.State(ctx, a.at.user, a.at.config)
	if errors.Is(err, atlas.ErrNoState) {
		return &ChangedError{Name: a.Name(), Gone: true}
	}
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it was only read
	sum := md5.New()
	n, err := io.Copy(sum, s)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", a.Name(), err)
	}
	return a.same(pin, Pin{Size: n, MD5: hex.EncodeToString(sum.Sum(nil))})
}

// Lock is nobody's: the API has none.
func (a *atlasState) Lock(ctx context.Context) (*Lock, error) { return nil, ctx.Err() }

// A checkedDownload compares what is read with what the server says of it.
type checkedDownload struct {
	*atlas.State
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
		return n, errors.New("what arrived is not what the server announced: something on the way has changed it, or it broke off")
	}
	return n, io.EOF
}
