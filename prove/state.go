package prove

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/statefile"
)

// held is the state that the target holds and the plan must start from.
type held struct {
	version   string // the state version's ID
	createdAt time.Time
	serial    int64
	lineage   string
	terraform string
	instances int // managed instances, without deposed ones
}

// readState reads the workspace's state, and copies it to copyTo.
func (x *proof) readState(ctx context.Context, copyTo io.Writer) error {
	version, err := x.Target.Current(ctx, x.workspace)
	switch {
	case err != nil:
		return err
	case version == nil:
		return stopf(CodeNoState, "The workspace holds no state: a plan would only show what the configuration creates, and prove nothing.")
	case x.StateVersion != "" && version.ID != x.StateVersion:
		return stopf(CodeStateChanged, "The workspace's current state version is %s instead of %s, which was to be proven: another user wrote a new one.", version.ID, x.StateVersion)
	}
	h, err := x.readVersion(ctx, version, copyTo)
	if err != nil {
		return err
	}
	x.hold(h)
	return nil
}

// hold records the state that the plan must start from.
func (x *proof) hold(h held) {
	x.held = h
	r := &x.result
	r.StateVersionID, r.Serial, r.Instances = h.version, h.serial, h.instances
}

// readVersion downloads a state version, copies it, and counts its instances.
func (x *proof) readVersion(ctx context.Context, version *tfe.StateVersion, copyTo io.Writer) (held, error) {
	h := held{version: version.ID, createdAt: version.Created}
	body, err := openVersion(ctx, x.Target, version)
	if err != nil {
		return h, err
	}
	err = h.read(body, copyTo)
	return h, err
}

// read reads and closes what was opened, copies it, and counts its instances.
func (h *held) read(body io.ReadCloser, copyTo io.Writer) error {
	defer func() { _ = body.Close() }() // read only
	snapshot, err := statefile.Inspect(io.TeeReader(body, copyTo), h.counter())
	if refused, ok := errors.AsType[*statefile.Error](err); ok {
		return stopf(CodeNoState, "The content at the target cannot be read as a state: %v.", refused)
	}
	if err != nil {
		return err
	}
	h.serial, h.lineage, h.terraform = snapshot.Serial, snapshot.Lineage, snapshot.TerraformVersion
	return nil
}

// counter counts a state's managed instances.
func (h *held) counter() *statefile.Visitor {
	return &statefile.Visitor{Resource: func(r statefile.Resource) {
		if r.Mode != "managed" {
			return
		}
		for _, i := range r.Instances {
			if !i.Deposed {
				h.instances++
			}
		}
	}}
}

// openVersion starts the download of a state version. Some servers need a moment to
// provide the URL.
func openVersion(ctx context.Context, client *tfe.Client, version *tfe.StateVersion) (io.ReadCloser, error) {
	for wait := newPacing(); ; {
		body, err := client.Open(ctx, version)
		if backend.CodeOf(err) != backend.NoBytesYet || wait.spent > maxPatience {
			return body, err
		}
		if err := wait.pause(ctx); err != nil {
			return nil, err
		}
		if version, err = client.StateVersion(ctx, version.ID); err != nil {
			return nil, err
		}
	}
}

// checkSameState makes sure that the plan used the state that we read: the API does not
// report which one it used.
func (x *proof) checkSameState(ctx context.Context) error {
	now, err := x.Target.Current(ctx, x.workspace)
	if err != nil {
		return err
	}
	if now == nil || now.ID != x.held.version {
		return stopf(CodeStateChanged, "The workspace got another state during the plan, so it is unknown which one was planned. Prove it again.")
	}
	return nil
}

func itoa(n int) string { return strconv.Itoa(n) }
