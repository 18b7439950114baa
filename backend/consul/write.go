package consul

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// chunkSize is how many bytes Terraform stores in a chunk, the most that Consul stores under a
// key by default.
const chunkSize = 524_288

// maxRequest is the longest transaction that Consul accepts by default
// (https://developer.hashicorp.com/consul/docs/agent/config/config-files#txn_max_req_len), and
// overhead what it has in addition to the keys and the state.
const (
	maxRequest = 524_288
	overhead   = 512
)

// Write implements backend.Writer. A state that fits into a key is stored in one transaction.
// Otherwise, its chunks are stored first, and the transaction stores their list. The
// transaction takes effect only while the session has the lock, and if the key is still the one
// that was read, or still does not exist.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !w.held || w.session == nil:
		return nil, w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	was, err := w.replaced(ctx, &p)
	if err != nil {
		return w.afterRefusal(ctx, &p, err)
	}
	if was != nil && was.hash == p.MD5 { // the chunks of the same bytes have the same keys
		if v, err := w.holds(ctx, &p); v != nil && err == nil {
			return v, nil
		}
	}
	landed, cancel := backend.Landing(ctx)
	defer cancel()
	landed = backend.WithSending(landed, p.Sending)
	u := &upload{writer: w, ctx: landed, session: w.session, hash: p.MD5}
	if was != nil {
		u.was = was.index
	}
	stored, err := u.store(ctx, &p, w.compresses(was))
	if err != nil {
		u.removeChunks()
		return w.afterRefusal(landed, &p, err)
	}
	w.removeFormer(landed, was, &value{key: stored.Key, index: stored.ModifyIndex, hash: u.hash})
	v := &backend.Version{ID: versionID(stored.Key, stored.ModifyIndex), Serial: p.Serial}
	if len(u.chunks) == 0 && !u.gzip {
		v.Size = p.Size
	}
	return v, nil
}

func (w *writer) failed(code backend.Code, why string, err error) error {
	return &backend.Error{Address: w.state.address, Code: code, Answer: why, Err: err, Message: fmt.Sprintf("cannot write %q: %s", w.state.address, why)}
}

// A former is what is replaced.
type former struct {
	*value
	gzip bool
}

// replaced reads what the write replaces, and returns nil if the key does not exist. It returns
// a *rollback if the key is not the one that was read.
func (w *writer) replaced(ctx context.Context, p *backend.Write) (*former, error) {
	now, err := w.state.value(ctx, w.state.request("access"))
	if err != nil {
		return nil, err
	}
	var was uint64
	if p.Was != nil {
		if _, was, err = parseVersionID(p.Was.ID); err != nil {
			return nil, err
		}
	}
	if now == nil && was == 0 {
		return nil, nil
	}
	if now == nil || now.index != was {
		return nil, &rollback{map[int]string{1: ""}}
	}
	first := now.text
	if len(now.chunks) > 0 {
		e, err := w.target.server.get(ctx, w.state.request("access"), now.chunks[0])
		if err != nil {
			return nil, err
		}
		if e != nil {
			first = e.Value
		}
	}
	return &former{now, isGzip(first)}, nil
}

func (w *writer) changed() error {
	return w.failed(backend.Changed, "another program wrote it meanwhile; nothing was stored", nil)
}

// compresses reports whether to compress the state: as the address says, or as the one that it
// replaces.
func (w *writer) compresses(was *former) bool {
	switch w.target.at.params.Get(paramGzip) {
	case "true":
		return true
	case "false":
		return false
	}
	return was != nil && was.gzip
}

// An upload stores one state.
type upload struct {
	*writer
	ctx     context.Context // outlives an interrupt
	session *session
	was     uint64 // the ModifyIndex of what is replaced; 0 if the key must not exist
	hash    string
	gzip    bool

	buffer []byte // at most one chunk, not yet stored
	chunks []string
}

// store reads the state, stores it, and returns the key. An interrupt ends the reading, and what
// is incomplete is never stored under the key. Once all is read, store waits for the response.
func (u *upload) store(ctx context.Context, p *backend.Write, compressed bool) (*entry, error) {
	u.gzip = compressed
	if err := u.read(ctx, p); err != nil {
		return nil, err
	}
	// Above the limit, Consul closes the connection before it has read the request, and its
	// answer may get lost.
	if len(u.chunks) == 0 && base64.StdEncoding.EncodedLen(len(u.buffer))+overhead+2*len(u.state.at.key) <= maxRequest {
		stored, err := u.commit(u.buffer)
		if !isTooLarge(err) {
			return stored, err
		}
	}
	if err := u.storeChunk(); err != nil {
		return nil, err
	}
	list, err := json.Marshal(map[string]any{hashField: u.hash, chunksField: u.chunks})
	if err != nil {
		return nil, err
	}
	return u.commit(list)
}

// read reads the state, and stores all chunks but the last.
func (u *upload) read(ctx context.Context, p *backend.Write) error {
	watched, progress, stop := backend.Watched(ctx, 2*u.target.server.timeout)
	defer stop()
	in := backend.NewOutgoing(watched, p, progress)
	defer func() { _ = in.Close() }() // only read
	var out io.Writer = u
	var packed *gzip.Writer
	if u.gzip {
		packed = gzip.NewWriter(u)
		out = packed
	}
	if _, err := io.Copy(struct{ io.Writer }{out}, in); err != nil {
		return err
	}
	if packed != nil {
		return packed.Close()
	}
	return nil
}

// Write collects bytes, and stores a chunk when there are more.
func (u *upload) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if len(u.buffer) == chunkSize {
			if err := u.storeChunk(); err != nil {
				return 0, err
			}
		}
		n := min(len(rest), chunkSize-len(u.buffer))
		u.buffer = append(u.buffer, rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

// storeChunk stores the buffer as the next chunk. Nothing refers to it yet, and a repetition
// stores the same, so a request without an answer is sent again.
func (u *upload) storeChunk() error {
	key := chunkName(u.state.at.key, u.hash, len(u.chunks))
	r := request{doing: "write a part of", address: u.state.address, needs: "key:write", method: http.MethodPut, path: "/kv/" + key, body: bytes.Clone(u.buffer)}
	u.chunks = append(u.chunks, key)
	var err error
	for range maxAttempts {
		var a *answer
		if a, err = u.target.server.ask(u.ctx, r); err == nil && string(bytes.TrimSpace(a.text)) != "true" {
			return u.failed(backend.Failed, "the server did not store a part of it", nil)
		}
		if err == nil || !mayHaveHappened(err) || u.ctx.Err() != nil || u.target.Down() {
			break
		}
	}
	u.buffer = u.buffer[:0]
	return err
}

// commit stores the key: this is the moment at which the write takes effect.
func (u *upload) commit(text []byte) (*entry, error) {
	r := request{doing: "write", address: u.state.address, needs: "key:write"}
	stored, err := u.target.server.transact(u.ctx, r, u.isLocked(u.session),
		operation{Verb: "cas", Key: u.state.at.key, Value: text, Index: u.was})
	if err == nil {
		for _, e := range stored {
			if e.Key == u.state.at.key && e.ModifyIndex > 0 {
				return e, nil
			}
		}
		err = errors.New("the response does not describe the key")
	} else if isTooLarge(err) || !mayHaveHappened(err) {
		return nil, err
	}
	u.sent = true
	return nil, u.failed(backend.Ambiguous, "the response to the write was lost or unclear", err)
}

// removeChunks removes the chunks of a state that was not stored. If the write may still take
// effect, or what is stored has these chunks, they stay.
func (u *upload) removeChunks() {
	if len(u.chunks) == 0 || u.sent || !u.held {
		return
	}
	now, err := u.state.value(u.ctx, u.state.request("access"))
	if err != nil || now != nil && now.hash == u.hash {
		return
	}
	u.removeTree(u.ctx, u.hash)
}

// removeFormer removes the chunks of the state that was replaced, after the new one was read
// back.
func (w *writer) removeFormer(ctx context.Context, was *former, now *value) {
	if was == nil || len(was.chunks) == 0 || was.hash == now.hash {
		return
	}
	b, err := w.state.open(ctx, now.index)
	if err == nil {
		sum := md5.New()
		if _, err = io.Copy(sum, b); err == nil && hex.EncodeToString(sum.Sum(nil)) != now.hash {
			err = errors.New("it has other bytes")
		}
	}
	if err == nil && w.removeTree(ctx, was.hash) == nil {
		return
	}
	w.notes = append(w.notes, fmt.Sprintf("The parts of the former state were not removed. When the new state is verified: consul kv delete -recurse %s", plainwords.ShellWord(chunkTree(w.state.at.key, was.hash))))
}

// removeTree removes the chunks of a state with this hash.
func (w *writer) removeTree(ctx context.Context, hash string) error {
	r := request{doing: "remove the parts of", address: w.state.address, needs: "key:write", method: http.MethodDelete, path: "/kv/" + chunkTree(w.state.at.key, hash), query: url.Values{"recurse": {""}}}
	_, err := w.target.server.ask(ctx, r)
	return err
}

// afterRefusal returns what a refused write means. If an earlier write may have taken effect,
// the key may have changed because it did.
func (w *writer) afterRefusal(ctx context.Context, p *backend.Write, err error) (*backend.Version, error) {
	refused, ok := errors.AsType[*rollback](err)
	if !ok {
		return nil, err
	}
	if _, unlocked := refused.failed[0]; unlocked {
		return nil, w.failed(backend.NotLocked, "the Consul session that held the lock expired or was ended by another user", nil)
	}
	if w.sent {
		v, err := w.holds(ctx, p)
		if err != nil {
			return nil, w.failed(backend.Ambiguous, "the key changed, and cannot be read", err)
		}
		if v != nil {
			return v, nil
		}
	}
	return nil, w.changed()
}

// holds returns the current version if it has the bytes to be sent.
func (w *writer) holds(ctx context.Context, p *backend.Write) (*backend.Version, error) {
	b, err := w.state.open(ctx, 0)
	if backend.CodeOf(err) == backend.NoState {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sum := md5.New()
	if _, err := io.Copy(sum, b); err != nil {
		return nil, err
	}
	if hex.EncodeToString(sum.Sum(nil)) != p.MD5 {
		return nil, nil
	}
	v := b.value.version()
	v.Serial = p.Serial
	return v, nil
}

// CheckRemoval implements backend.Remover.
func (w *writer) CheckRemoval(ctx context.Context) error { return ctx.Err() }

// Remove implements backend.Remover. The key is removed first, and then its chunks.
func (w *writer) Remove(ctx context.Context, p backend.Write) error {
	if !w.held || w.session == nil {
		return w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	_, was, err := parseVersionID(p.Was.ID)
	if err != nil {
		return err
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	ctx = backend.WithSending(ctx, p.Sending)
	before, err := w.state.value(ctx, w.state.request("access"))
	if err != nil {
		return err
	}
	if before == nil || before.index != was {
		return w.failed(backend.Changed, "another program wrote or deleted it meanwhile; nothing was deleted", nil)
	}
	r := request{doing: "delete", address: w.state.address, needs: "key:write"}
	_, err = w.target.server.transact(ctx, r, w.isLocked(w.session), operation{Verb: "delete-cas", Key: w.state.at.key, Index: was})
	if refused, ok := errors.AsType[*rollback](err); ok {
		if _, unlocked := refused.failed[0]; unlocked {
			return w.failed(backend.NotLocked, "the Consul session that held the lock expired or was ended by another user", nil)
		}
		return w.failed(backend.Changed, "another program wrote it meanwhile; nothing was deleted", nil)
	}
	if err != nil && !mayHaveHappened(err) {
		return err
	}
	now, looked := w.state.value(ctx, w.state.request("access"))
	switch {
	case looked != nil:
		return w.failed(backend.Ambiguous, "the key cannot be read after the request to delete it", errors.Join(err, looked))
	case now != nil && now.index != was:
		return w.failed(backend.Changed, "another program wrote it meanwhile", err)
	case now != nil:
		return w.failed(backend.Ambiguous, "the key is still there after the request to delete it", err)
	}
	if len(before.chunks) > 0 && w.removeTree(ctx, before.hash) != nil {
		w.notes = append(w.notes, fmt.Sprintf("The parts of the deleted state were not removed: consul kv delete -recurse %s", plainwords.ShellWord(chunkTree(w.state.at.key, before.hash))))
	}
	return nil
}
