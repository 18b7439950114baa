package prove

import (
	"context"
	"errors"
	"io"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// A BackendRequest describes the proof of a state that is not in a workspace.
type BackendRequest struct {
	// Target holds the state with this name.
	Target backend.Target
	Name   string
	// Block returns how a configuration uses the state. It is called after the state was
	// read.
	Block func(context.Context) (*backend.Block, error)
	// Dir is the configuration directory.
	Dir string
	// Version is the ID of the version that the target must hold, such as the one that a
	// move just made; "" means the current one.
	Version string
}

// ProveBackend proves a state in a backend where Terraform does not run. The terraform on
// this machine plans with the state where it is, and with a copy of the configuration in a
// private temporary directory, whose backend block is replaced. It takes no lock and writes
// nothing to the state: ProveBackend compares what the target holds before and after the plan.
func (p *Prover) ProveBackend(ctx context.Context, q BackendRequest, o Local) Result {
	x := &atBackend{proof: &proof{Prover: p}, request: q}
	x.result.Target, x.result.Local = q.Target.Address(q.Name), true
	return x.prove(ctx, func(ctx context.Context) error { return x.run(ctx, o) })
}

// atBackend is the proof of a state that is not in a workspace.
type atBackend struct {
	*proof
	request BackendRequest
}

// run runs the steps.
func (x *atBackend) run(ctx context.Context, o Local) error {
	program, err := o.program()
	if err != nil {
		return err
	}
	root, working, err := surroundings(x.request.Dir)
	if err != nil {
		return err
	}
	if err := x.read(ctx); err != nil {
		return err
	}
	x.Dir = root
	block, err := x.request.Block(ctx)
	if err != nil {
		return stopf(CodeConfiguration, "%s", plainwords.Sentence(err.Error()))
	}
	return x.onBench(ctx, program, func(b *bench) error {
		err := b.plan(ctx, o, block, working)
		// Terraform creates an empty state for a workspace without one, so a failed plan is
		// also checked.
		changed := x.checkUnchanged(ctx)
		if _, ended := errors.AsType[*stop](changed); ended || err == nil {
			return changed
		}
		return err
	})
}

// read reads the state. Without one, Terraform would create an empty state for a named
// workspace.
func (x *atBackend) read(ctx context.Context) error {
	x.report(Event{Stage: StageReading})
	version, err := x.current(ctx)
	switch {
	case err != nil:
		return err
	case version == nil:
		return stopf(CodeNoState, "Nothing is stored there: a plan would only show what the configuration creates, and prove nothing.")
	case x.request.Version != "" && version.ID != x.request.Version:
		return stopf(CodeStateChanged, "The state is no longer the one that was to be proven: another user wrote a new one.")
	}
	body, err := x.request.Target.Read(ctx, version)
	if err != nil {
		return err
	}
	h := held{version: version.ID, createdAt: version.Created}
	if err := h.read(body, io.Discard); err != nil {
		return err
	}
	x.hold(h)
	return nil
}

// current returns what the target holds, or nil.
func (x *atBackend) current(ctx context.Context) (*backend.Version, error) {
	standing, err := x.request.Target.Look(ctx, x.request.Name)
	if err != nil {
		return nil, err
	}
	return x.request.Target.Current(ctx, standing)
}

// checkUnchanged makes sure that the plan used the state that was read, and left it as it is.
func (x *atBackend) checkUnchanged(ctx context.Context) error {
	now, err := x.current(ctx)
	if err != nil {
		return err
	}
	if now == nil || now.ID != x.held.version {
		return stopf(CodeStateChanged, "The state changed during the plan, so it is unknown which one was planned. Prove it again.")
	}
	return nil
}
