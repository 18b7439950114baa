package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// A prefix is a backend for the keys below a prefix, or for one key.
type prefix struct {
	server *server
	at     *location
}

// state is a state in the store.
type state struct {
	server  *server
	at      *location // of its key
	address string
	place   backend.Place

	// What the search that found this state saw of its lock; zero if the state was named
	// directly.
	listed     time.Time
	lockListed bool
}

// newState returns the state at key. l is what was searched, or the state itself.
func newState(s *server, l *location, key string) *state {
	at := l.at(key)
	return &state{server: s, at: at, address: at.String(), place: placeOf(l, key)}
}

func (s *state) Address() string        { return s.address }
func (s *state) Place() backend.Place   { return s.place }
func (s *state) Traits() backend.Traits { return traits }

// Server returns the server.
func (s *state) Server() string { return s.server.base }

// Aliases returns the URL without parameters.
func (s *state) Aliases() []string {
	at := s.at.at(s.at.key)
	at.params = url.Values{}
	return []string{at.String()}
}

// request returns a request for the state itself.
func (s *state) request(doing string) request {
	return request{doing: doing, address: s.address, needs: "key:read"}
}

// Open implements backend.State. The chunks of a large state are keys of their own, which are
// removed when the state is replaced.
func (s *state) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	var was uint64
	if v != nil {
		key, index, err := parseVersionID(v.ID)
		if err != nil || key != s.at.key {
			return nil, backend.Version{}, fmt.Errorf("not a version of this key: %q", v.ID)
		}
		was = index
	}
	b, err := s.open(ctx, was)
	if err != nil {
		return nil, backend.Version{}, err
	}
	now := *b.value.version()
	if v != nil {
		now.MD5 = v.MD5
	}
	return b, now, nil
}

// maxRereads is how often a state is read again that is replaced while it is being read.
const maxRereads = 5

// open starts to read the key if its ModifyIndex is still was, or whatever it is if was is 0.
func (s *state) open(ctx context.Context, was uint64) (*body, error) {
	for read := 1; ; read++ {
		value, err := s.value(ctx, s.request("read"))
		switch {
		case err != nil:
			return nil, err
		case value == nil && was != 0:
			return nil, &backend.ChangedError{Address: s.address, Gone: true}
		case value == nil:
			return nil, s.missing()
		case was != 0 && value.index != was:
			return nil, s.rewritten(value.index)
		}
		missing, err := s.missingChunk(ctx, value)
		switch {
		case err != nil:
			return nil, err
		case missing == "":
			return newBody(ctx, s, value)
		}
		// Replaced between the two requests, or incomplete.
		if err := s.incomplete(ctx, value, missing); was != 0 || read == maxRereads || !isChanged(err) {
			return nil, err
		}
	}
}

func isChanged(err error) bool {
	_, changed := errors.AsType[*backend.ChangedError](err)
	return changed
}

// missing returns the error for a key that does not exist.
func (s *state) missing() error {
	const why = `the key does not exist (to search a prefix, end it in "/")`
	return &backend.Error{Address: s.address, Code: backend.NoState, Answer: why, Message: fmt.Sprintf("cannot read %q: %s", s.address, why)}
}

func (s *state) rewritten(index uint64) error {
	return &backend.ChangedError{Address: s.address, How: fmt.Sprintf("its ModifyIndex is %d now", index)}
}

// incomplete returns why a chunk is missing: the state was replaced, or it is damaged.
func (s *state) incomplete(ctx context.Context, v *value, chunk string) error {
	if err := s.check(ctx, v.index); err != nil {
		return err
	}
	return s.damaged(fmt.Sprintf("its part %q does not exist, so Terraform cannot read it either: restore it from a snapshot of Consul", chunk))
}

// damaged returns the error for a state that Terraform could not read.
func (s *state) damaged(why string) error {
	return &backend.Error{Address: s.address, Code: backend.Failed, Answer: why, Message: fmt.Sprintf("cannot read %q: %s", s.address, why)}
}

// Check implements backend.State.
func (s *state) Check(ctx context.Context, v backend.Version) error {
	_, was, err := parseVersionID(v.ID)
	if err != nil {
		return err
	}
	return s.check(ctx, was)
}

func (s *state) check(ctx context.Context, was uint64) error {
	now, err := s.server.get(ctx, s.request("access"), s.at.key)
	switch {
	case err != nil:
		return err
	case now == nil:
		return &backend.ChangedError{Address: s.address, Gone: true}
	case now.ModifyIndex != was:
		return s.rewritten(now.ModifyIndex)
	}
	return nil
}

// A value is what a key holds: a state, or the list of its chunks.
type value struct {
	key   string
	index uint64 // ModifyIndex
	text  []byte // the state as it is stored; nil if it is in chunks
	// hash is the MD5 of the state, in lower-case hex, before it was compressed; "" without
	// chunks.
	hash   string
	chunks []string // keys, in their order
}

// value reads the key, and returns nil if it does not exist.
func (s *state) value(ctx context.Context, r request) (*value, error) {
	e, err := s.server.get(ctx, r, s.at.key)
	if err != nil || e == nil {
		return nil, err
	}
	v := &value{key: e.Key, index: e.ModifyIndex, text: e.Value}
	var list map[string]json.RawMessage
	if json.Unmarshal(e.Value, &list) != nil || list[hashField] == nil {
		return v, nil
	}
	v.text = nil
	if json.Unmarshal(list[hashField], &v.hash) != nil || json.Unmarshal(list[chunksField], &v.chunks) != nil || !md5Text.MatchString(v.hash) || len(v.chunks) == 0 {
		return nil, s.damaged("its list of parts is not like Terraform's")
	}
	if len(v.chunks) > maxChunks {
		return nil, s.damaged(fmt.Sprintf("its list has %s parts, which is more than any state has", plainwords.Grouped(len(v.chunks))))
	}
	for i, chunk := range v.chunks {
		if chunk != chunkName(v.key, v.hash, i) {
			return nil, s.damaged(fmt.Sprintf("its list of parts names %q instead of %q: was it copied from another key? tfhaul reads only parts of this state", chunk, chunkName(v.key, v.hash, i)))
		}
	}
	return v, nil
}

// maxChunks limits the parts of a state: 8 GiB with Terraform's size of parts.
const maxChunks = 16_384

// The fields of the list of chunks.
const (
	hashField   = "current-hash"
	chunksField = "chunks"
)

var md5Text = regexp.MustCompile(`^[0-9a-f]{32}$`)

// chunkTree returns the prefix of the chunks of a state with this hash.
func chunkTree(key, hash string) string { return below(key) + "/tfstate." + hash + "/" }

// chunkName returns the key of a chunk.
func chunkName(key, hash string, i int) string { return chunkTree(key, hash) + strconv.Itoa(i) }

// missingChunk returns a chunk that does not exist; "" if all exist.
func (s *state) missingChunk(ctx context.Context, v *value) (string, error) {
	if len(v.chunks) == 0 {
		return "", nil
	}
	stored, _, err := s.server.keys(ctx, s.request("read"), chunkTree(v.key, v.hash))
	if err != nil {
		return "", err
	}
	exists := map[string]bool{}
	for _, key := range stored {
		exists[key] = true
	}
	for _, chunk := range v.chunks {
		if !exists[chunk] {
			return chunk, nil
		}
	}
	return "", nil
}

// version returns the version that the value is. A compressed or divided state has no known
// size.
func (v *value) version() *backend.Version {
	version := &backend.Version{ID: versionID(v.key, v.index)}
	if v.text != nil && !isGzip(v.text) {
		version.Size = int64(len(v.text))
	}
	return version
}

// versionID returns the ID of a version of a key.
func versionID(key string, index uint64) string {
	return url.PathEscape(key) + "?index=" + strconv.FormatUint(index, 10)
}

// parseVersionID parses the ID of a version.
func parseVersionID(id string) (key string, index uint64, err error) {
	path, number, _ := strings.Cut(id, "?index=")
	key, err = url.PathUnescape(path)
	index, bad := strconv.ParseUint(number, 10, 64)
	if err != nil || bad != nil || index == 0 {
		return "", 0, fmt.Errorf("not a version of a key in Consul: %q", id)
	}
	return key, index, nil
}
