package http

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// A state is one state on a server, and how requests for it look.
type state struct {
	server  *server
	address string
	name    string
	place   backend.Place

	url                      *url.URL
	update                   string
	lock, unlock             *url.URL // nil without a lock
	lockMethod, unlockMethod string
	project                  *project // in GitLab; nil elsewhere

	mu   sync.Mutex
	held *latch // the lock of this process as a source; nil for none
}

func (s *state) Address() string      { return s.address }
func (s *state) Place() backend.Place { return s.place }

// Traits implements backend.State.
func (s *state) Traits() backend.Traits {
	switch {
	case s.project != nil:
		return gitLabTraits
	case s.lock == nil:
		t := traits
		t.Locks = backend.LocksNone
		return t
	}
	return traits
}

// Server returns the server's URL.
func (s *state) Server() string { return s.server.origin.String() }

// asSource returns the state as a source. Only one with a lock address can be locked, and only
// GitLab keeps older versions.
func (s *state) asSource() backend.State {
	switch {
	case s.project != nil:
		return &versioned{lockable{s}}
	case s.lock != nil:
		return lockable{s}
	}
	return s
}

// request returns a request for the state itself.
func (s *state) request(doing string) request {
	return request{doing: doing, address: s.address, method: http.MethodGet, url: s.url}
}

// errNothing is returned if nothing is stored.
func (s *state) errNothing() error {
	return &backend.Error{Address: s.address, Code: backend.NoState, Message: fmt.Sprintf("cannot read %q: there is no state at this address: check it", s.address)}
}

// The parts of the IDs of versions. GitLab's versions have serials; elsewhere, a version is its
// content, because the protocol has nothing else to tell two apart.
const (
	serialPart  = "serial"
	contentPart = "md5"
)

// versionID returns the ID of a version.
func (s *state) versionID(part, value string) string {
	var b strings.Builder
	backend.EscapeURL(&b, s.name, "-_.~")
	return b.String() + "?" + part + "=" + value
}

// parseVersionID parses the ID of a version. The serial is -1 if the content identifies it.
func parseVersionID(id string) (name string, serial int64, sum string, err error) {
	escaped, rest, _ := strings.Cut(id, "?")
	part, value, _ := strings.Cut(rest, "=")
	name, err = url.PathUnescape(escaped)
	switch {
	case err == nil && part == contentPart:
		return name, -1, value, nil
	case err == nil && part == serialPart:
		serial, err = strconv.ParseInt(value, 10, 64)
	default:
		err = errors.New("unknown part")
	}
	if err != nil || serial < 0 {
		return "", 0, "", fmt.Errorf("not the ID of a version: %q", id)
	}
	return name, serial, "", nil
}

// A reading is a state that is being received.
type reading struct {
	*backend.Incoming
	head   []byte // was read ahead
	size   int64  // in bytes; -1 if unknown
	serial int64  // -1 if unknown
	digest string // announced, in hex; "" if it is not
}

func (r *reading) Read(p []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	return r.Incoming.Read(p)
}

// version returns the version that is being received.
func (r *reading) version(s *state) backend.Version {
	v := backend.Version{ID: s.name, Size: max(r.size, 0)}
	switch {
	case s.project != nil && r.serial >= 0:
		v.ID, v.Serial = s.versionID(serialPart, strconv.FormatInt(r.serial, 10)), r.serial
	case r.digest != "":
		v.ID = s.versionID(contentPart, r.digest)
	}
	return v
}

// open sends a request for a state and returns its content, or nil if there is none. want is
// the digest in hex that it must have; "" for any.
func (s *state) open(ctx context.Context, r request, want string) (*reading, error) {
	// The body is read after open returns, so its context ends with the body or with ctx.
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := s.server.send(ctx, r)
	if backend.CodeOf(err) == backend.NoState {
		cancel(nil)
		return nil, nil
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if resp.StatusCode == http.StatusNoContent || resp.ContentLength == 0 {
		cancel(nil)
		return nil, resp.Body.Close()
	}
	unreadable := func(why string) error {
		err := s.server.explain(ctx, r, &unreadableAnswer{why})
		cancel(nil)
		_ = resp.Body.Close() // not read
		return err
	}
	in := &reading{size: resp.ContentLength, serial: -1}
	sums := &digests{state: s, md5: md5.New(), want: want}
	if announced := resp.Header.Get("Content-MD5"); announced != "" {
		sum, err := base64.StdEncoding.DecodeString(announced)
		if err != nil || len(sum) != md5.Size {
			return nil, unreadable("the Content-MD5 of the response is not a digest")
		}
		sums.announced = hex.EncodeToString(sum)
		in.digest = sums.announced
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, unreadable(fmt.Sprintf("the response has the Content-Encoding %q, although none was requested", encoding))
	}
	in.Incoming = backend.NewIncoming(ctx, cancel, resp.Body, backend.IncomingOptions{
		Address: s.address, Size: resp.ContentLength, Stall: s.server.timeout, Describe: plainwords.Describe, Sums: sums.md5, Compare: sums.compare,
	})
	if s.project != nil {
		err = in.readSerial()
	} else {
		err = in.peek(1) // an empty body without a length means that there isn't a state
	}
	if errors.Is(err, io.EOF) && len(in.head) == 0 {
		return nil, in.Close()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		_ = in.Close() // not read
		return nil, err
	}
	return in, nil
}

// maxHead is how much of a state is searched for its serial. Terraform writes it at the
// beginning.
const maxHead = 1 << 20

// peek reads ahead until there are n bytes.
func (r *reading) peek(n int) error {
	for len(r.head) < n {
		piece := make([]byte, max(n-len(r.head), 512))
		got, err := r.Incoming.Read(piece)
		r.head = append(r.head, piece[:got]...)
		if err != nil {
			return err
		}
	}
	return nil
}

// readSerial reads ahead until the serial is known.
func (r *reading) readSerial() error {
	for n := 512; n <= maxHead; n *= 2 {
		err := r.peek(n)
		if r.serial = serialIn(r.head); r.serial >= 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serialIn returns the serial at the top level of the beginning of a JSON document, or -1.
func serialIn(head []byte) int64 {
	d := json.NewDecoder(bytes.NewReader(head))
	depth, key := 0, false
	for {
		token, err := d.Token()
		if err != nil {
			return -1
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				depth++
			} else {
				depth--
			}
			key = depth == 1
			continue
		case string:
			if depth == 1 && key && t == "serial" {
				var serial int64
				if d.Decode(&serial) != nil || !bytes.ContainsAny(head[d.InputOffset():], ",}") {
					return -1 // cut off
				}
				return serial
			}
		}
		if depth == 1 {
			key = !key
		}
	}
}

// digests compare the content of a response with what is known of it.
type digests struct {
	state           *state
	md5             hash.Hash
	announced, want string // in hex; "" for none
}

func (d *digests) compare() error {
	got := hex.EncodeToString(d.md5.Sum(nil))
	switch {
	case d.announced != "" && got != d.announced:
		return &backend.Error{Address: d.state.address, Code: backend.Failed, Message: fmt.Sprintf("cannot read %q: the download does not match its Content-MD5: try again. If that happens again, check whether a proxy changes responses", d.state.address)}
	case d.want != "" && got != d.want:
		return &backend.ChangedError{Address: d.state.address, How: "other content than before"}
	}
	return nil
}

// Open implements backend.State. If only the content identifies a version, reading it fails at
// the end if it is another one.
func (s *state) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	r, want := s.request("read"), ""
	if v != nil {
		_, serial, sum, err := parseVersionID(v.ID)
		if err == nil && serial >= 0 {
			r.url = s.project.version(s, serial)
		}
		if want = v.MD5; want == "" && err == nil {
			want = sum
		}
	}
	in, err := s.open(ctx, r, want)
	switch {
	case err != nil:
		return nil, backend.Version{}, err
	case in == nil && v == nil:
		return nil, backend.Version{}, s.errNothing()
	case in == nil:
		return nil, backend.Version{}, s.changed(ctx)
	case v != nil && (in.digest != "" && want != "" && in.digest != want || v.Size > 0 && in.size >= 0 && in.size != v.Size):
		_ = in.Close() // not read
		return nil, backend.Version{}, &backend.ChangedError{Address: s.address, How: "other content than before"}
	}
	now := in.version(s)
	if v != nil {
		now.ID, now.MD5 = v.ID, v.MD5
	}
	return in, now, nil
}

// changed returns the error for a version that is gone.
func (s *state) changed(ctx context.Context) error {
	in, err := s.open(ctx, s.request("read"), "")
	switch {
	case err != nil:
		return err
	case in == nil:
		return &backend.ChangedError{Address: s.address, Gone: true}
	}
	_ = in.Close() // not read
	return &backend.ChangedError{Address: s.address, How: in.how()}
}

func (r *reading) how() string {
	if r.serial >= 0 {
		return fmt.Sprintf("it has serial %d now", r.serial)
	}
	return "other content than before"
}

// Check implements backend.State. In GitLab, the beginning shows which version is current;
// elsewhere, all of it is read and compared.
func (s *state) Check(ctx context.Context, v backend.Version) error {
	in, err := s.open(ctx, s.request("read"), "")
	switch {
	case err != nil:
		return err
	case in == nil:
		return &backend.ChangedError{Address: s.address, Gone: true}
	}
	defer func() { _ = in.Close() }() // only read
	if _, serial, _, err := parseVersionID(v.ID); err == nil && serial >= 0 && in.serial >= 0 {
		if in.serial != serial {
			return &backend.ChangedError{Address: s.address, How: in.how()}
		}
		if v.Size > 0 && in.size >= 0 && v.Size != in.size {
			return &backend.ChangedError{Address: s.address, How: fmt.Sprintf("size %d, was %d", in.size, v.Size)}
		}
		return nil
	}
	sum := md5.New()
	if _, err := io.Copy(sum, in); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != v.MD5 {
		return &backend.ChangedError{Address: s.address, How: "other content than before"}
	}
	return nil
}

// Holder implements backend.State. The http backend does not show locks: only a request for the
// lock would, which stops others for a moment. GitLab shows them.
func (s *state) Holder(ctx context.Context) (*backend.Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil {
		lock, _, err := held.holder(ctx)
		return lock, err
	}
	if s.project == nil {
		return nil, nil
	}
	return s.visibleLock(ctx)
}
