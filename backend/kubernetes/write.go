package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tfhaul/backend"
)

// Write stores the state in parts, each on the condition that it is as it was read. The first part
// is written last, so that the state changes at one moment:
//
//   - A new state begins as a first part without content, which Terraform takes for no state at all,
//     until the others are there.
//   - Where the former state has one part, the others come after its end, and are ignored.
//   - Only where both states have several parts, there is a time in which they do not belong
//     together. Their checksum makes that an error for every reader.
//
// Parts of a larger former state are deleted last. They, too, come after the end.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	if !w.held {
		return nil, w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	chunks, err := pack(ctx, &p)
	switch {
	case err != nil:
		return nil, err
	case len(chunks) > maxParts:
		return nil, w.failed(backend.Malformed, fmt.Sprintf("compressed, it has %d MiB, and tfhaul stores at most %d in the Secrets of a state", len(chunks), maxParts), nil)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	now, err := w.state.find(ctx, "write", true)
	if err != nil {
		return nil, err
	}
	if done, err := w.compare(now, p.Was, chunks); err != nil || done {
		return w.stored(now, &p), err
	}
	out := &outgoing{writer: w, ctx: backend.WithSending(ctx, p.Sending), now: now, created: map[int]*secret{}}
	if err := out.write(chunks); err != nil {
		out.undo()
		return nil, err
	}
	out.removeFrom(len(chunks))
	return w.stored(out.now, &p), nil
}

func (w *writer) failed(code backend.Code, why string, err error) error {
	return &backend.Error{Address: w.state.address, Code: code, Answer: why, Err: err, Message: fmt.Sprintf("cannot write %q: %s", w.state.address, why)}
}

func (w *writer) changed(err error) error {
	return w.failed(backend.Changed, "another program wrote it meanwhile", err)
}

// stored returns the version that was written.
func (w *writer) stored(now parts, p *backend.Write) *backend.Version {
	v := version(w.state.at, now, p.Size)
	v.Serial = p.Serial
	return v
}

// compare compares what is stored with what is to be replaced. Parts that this writer has written
// before may differ. It reports whether the state itself was written before.
func (w *writer) compare(now parts, was *backend.Version, chunks [][]byte) (done bool, err error) {
	if w.ours[0] != "" && now[0] != nil && w.ours[0] == now[0].Metadata.pin() && now.content(chunks) {
		return true, nil
	}
	pins := map[int]string{}
	if was != nil {
		if _, pins, err = parseVersionID(was.ID); err != nil {
			return false, err
		}
	} else if now.holds() {
		return false, w.changed(nil)
	}
	for number, s := range now {
		if was != nil && s.Metadata.pin() != pins[number] && s.Metadata.pin() != w.ours[number] {
			return false, w.changed(nil)
		}
	}
	for number := range pins {
		if now[number] == nil {
			return false, w.changed(nil)
		}
	}
	return false, nil
}

// content reports whether the first parts have this content.
func (p parts) content(chunks [][]byte) bool {
	for i := range chunks {
		if !p.contains(i, chunks[i]) {
			return false
		}
	}
	return true
}

// contains reports whether a part has this content; nil means a Secret without a state.
func (p parts) contains(number int, data []byte) bool {
	return p[number] != nil && bytes.Equal(p[number].data, data) && (p[number].data == nil) == (data == nil)
}

// outgoing is a state that is being written.
type outgoing struct {
	*writer
	ctx     context.Context
	now     parts           // what is stored
	created map[int]*secret // Secrets that did not exist before
}

// write writes all parts, the first one last.
func (o *outgoing) write(chunks [][]byte) error {
	if o.now[0] == nil && len(chunks) > 1 {
		if err := o.put(0, nil); err != nil {
			return err
		}
	}
	for number := 1; number < len(chunks); number++ {
		if err := o.put(number, chunks[number]); err != nil {
			return err
		}
	}
	return o.put(0, chunks[0])
}

// sendAttempts is how often a part is sent whose response was lost. It cannot be stored twice: the
// condition of the second request is not met if the first one took effect.
const sendAttempts = 2

// put stores a part, on the condition that it is as it was read.
func (o *outgoing) put(number int, data []byte) error {
	for attempt := 1; ; attempt++ {
		was := o.now[number]
		stored := &secret{}
		r, err := o.request(number, data)
		if err != nil {
			return err
		}
		err = o.state.cluster.ask(o.ctx, r, stored)
		switch {
		case err == nil && (stored.Metadata.Name != secretName(o.state.at.suffix, o.state.at.workspace, number) || !bytes.Equal(stored.data, data)):
			err = o.failed(backend.Ambiguous, "the response describes another Secret", nil)
		case err == nil:
			o.record(number, stored)
			return nil
		case !mayHaveHappened(err) && !isUnmet(err):
			return err
		}
		now, looked := o.state.find(o.ctx, "write", true)
		switch {
		case looked != nil:
			return o.failed(backend.Ambiguous, "the response was lost or unclear, and the Secret cannot be read", errors.Join(err, looked))
		case now.contains(number, data) && (attempt > 1 || !isUnmet(err)): // by an attempt of ours
			o.record(number, now[number])
			return nil
		case isUnmet(err) && was == nil && now[number] == nil:
			return o.hidden(number, err)
		case isUnmet(err) || pinOf(now[number]) != pinOf(was):
			return o.changed(err)
		case attempt == sendAttempts:
			return o.failed(backend.Ambiguous, "the response was lost or unclear", err)
		}
	}
}

func pinOf(s *secret) string {
	if s == nil {
		return ""
	}
	return s.Metadata.pin()
}

// hidden returns the error for a Secret that exists without the labels of the state: another state
// has the same name, or the labels were removed.
func (o *outgoing) hidden(number int, err error) error {
	name := secretName(o.state.at.suffix, o.state.at.workspace, number)
	return o.failed(backend.Malformed, fmt.Sprintf("the Secret %s exists and does not have the labels of this state: it may be that of another workspace and suffix, whose names join to the same. See: %s get secret --namespace %s --show-labels %[1]s", name, o.state.cluster.kubectl, o.state.at.namespace), err)
}

// request returns the request that stores a part.
func (o *outgoing) request(number int, data []byte) (request, error) {
	r := o.state.request("write")
	r.resource, r.verb = secrets, "create"
	was := o.now[number]
	if was == nil {
		r.body = newSecret(o.state.at, number, data)
		return r, nil
	}
	r.verb, r.name = "update", was.Metadata.Name
	var err error
	r.body, err = was.with(data)
	return r, err
}

func (o *outgoing) record(number int, s *secret) {
	if o.now[number] == nil {
		o.created[number] = s
	}
	o.now[number] = s
	o.ours[number] = s.Metadata.pin()
}

// undo deletes what a write has created before it failed.
func (o *outgoing) undo() {
	for _, number := range slices.Backward(slices.Sorted(maps.Keys(o.created))) {
		if err := o.remove(number); err != nil {
			o.notes = append(o.notes, fmt.Sprintf("A part of the state was stored and could not be deleted (%v). It is ignored.", err))
			return
		}
	}
}

// removeFrom deletes the parts that a smaller state no longer has, the last one first.
func (o *outgoing) removeFrom(count int) {
	for _, number := range slices.Backward(o.now.numbers()) {
		if number < count {
			return
		}
		if err := o.remove(number); err != nil {
			o.notes = append(o.notes, fmt.Sprintf("Parts of the former state could not be deleted (%v). Terraform ignores them and deletes them with its next write.", err))
			return
		}
	}
}

// remove deletes a part as it was read.
func (o *outgoing) remove(number int) error {
	s := o.now[number]
	r := o.state.request("delete a part of")
	r.verb, r.resource, r.name = "delete", secrets, s.Metadata.Name
	r.body = map[string]any{"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": map[string]string{"uid": s.Metadata.UID, "resourceVersion": s.Metadata.ResourceVersion}}
	for attempt := 1; ; attempt++ {
		err := o.state.cluster.ask(o.ctx, r, nil)
		if err != nil && (mayHaveHappened(err) || isUnmet(err)) {
			now, looked := o.state.find(o.ctx, r.doing, false)
			switch {
			case looked != nil:
				return errors.Join(err, looked)
			case now[number] == nil:
				err = nil
			case isUnmet(err):
				return o.changed(err)
			case attempt < sendAttempts:
				continue
			}
		}
		if err == nil {
			delete(o.now, number)
			delete(o.ours, number)
		}
		return err
	}
}

// CheckRemoval implements backend.Remover.
func (w *writer) CheckRemoval(ctx context.Context) error { return ctx.Err() }

// Remove implements backend.Remover. A state in several parts first loses the content of the first
// one, so that it ends at one moment. The Lease stays, as after an unlock.
func (w *writer) Remove(ctx context.Context, p backend.Write) error {
	if !w.held {
		return w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	now, err := w.state.find(ctx, "delete", true)
	if err != nil {
		return err
	}
	if p.Was == nil || !now.holds() {
		return w.changed(nil)
	}
	if _, err := w.compare(now, p.Was, nil); err != nil {
		return err
	}
	out := &outgoing{writer: w, ctx: backend.WithSending(ctx, p.Sending), now: now, created: map[int]*secret{}}
	if len(now) > 1 {
		if err := out.put(0, nil); err != nil {
			return err
		}
	}
	for _, number := range slices.Backward(now.numbers()) {
		if err := out.remove(number); err != nil {
			if mayHaveHappened(err) {
				return w.failed(backend.Ambiguous, "the Secret is still there after the request to delete it", err)
			}
			return err
		}
	}
	after, err := w.state.find(ctx, "delete", true)
	switch {
	case err != nil:
		return w.failed(backend.Ambiguous, "the Secret cannot be read after the request to delete it", err)
	case after.holds():
		return w.failed(backend.Ambiguous, "the Secret exists again after the request to delete it", nil)
	}
	return nil
}
