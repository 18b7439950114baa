package command

import (
	"context"
	"fmt"
	"strings"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/pairing"
)

// A destination is what an address of a target names: a state, or a container of states.
// The zero destination names nothing.
type destination struct {
	kind      backend.Kind // has a Target
	container string       // its address
	name      string       // the state's name there; "" for the container
}

// String returns the address as results and journals have it.
func (d destination) String() string {
	if d.kind.Target == nil {
		return ""
	}
	return d.kind.Target.AddressOf(d.container, d.name)
}

// workspaces reports whether the states there are workspaces of an organization.
func (d destination) workspaces() bool { return d.kind.Traits.Workspaces }

// noun is what messages call the state that the destination names.
func (d destination) noun() string { return d.kind.Traits.Noun }

// layout returns where Terraform's backend of this kind keeps the workspace of a
// configuration whose default workspace is at path.
func (d destination) layout() pairing.Layout {
	return func(path, workspace string) string { return d.kind.Target.Layout(d.container, path, workspace) }
}

// seeBackends follows the forms of addresses in help.
const seeBackends = "To see how these URLs are written, run tfhaul backends."

// sourceForms, stateForms and containerForms are what sources and targets can be, for help.
func sourceForms() string    { return kinds(backend.Connection{}).SourceForms() }
func stateForms() string     { return kinds(backend.Connection{}).TargetForms(false) }
func containerForms() string { return kinds(backend.Connection{}).TargetForms(true) }

// stateTarget reads the address of one state. Its errors are *usageError.
func (n connector) stateTarget(address string) (destination, error) {
	kind, err := n.kinds.Target(address)
	if err != nil {
		return destination{}, &usageError{err.Error()}
	}
	d := destination{kind: kind}
	if d.container, d.name, err = kind.Target.SplitState(address); err != nil {
		hint := ""
		if d.workspaces() && strings.HasSuffix(address, backend.StateExt) && backend.Scheme(address) == "" {
			hint = "; for a file, write ./" + address
		}
		return destination{}, &usageError{err.Error() + hint}
	}
	return d, nil
}

// containerTarget reads the address of a container. Its errors are *usageError.
func (n connector) containerTarget(address string) (destination, error) {
	kind, err := n.kinds.Target(address)
	if err == nil {
		err = kind.Target.CheckContainer(address)
	}
	if err != nil {
		return destination{}, &usageError{err.Error()}
	}
	return destination{kind: kind, container: address}, nil
}

// open prepares the container for use. Its errors are those of connectionError.
func (n connector) open(ctx context.Context, d destination) (backend.Target, error) {
	target, err := d.kind.Target.Open(ctx, d.container)
	return target, connectionError(ctx, err)
}

// organization returns the organization that the destination names. It must have workspaces.
func (p *process) organization(d destination) (tfe.Address, error) {
	return p.organizationAddress(tfe.WithoutScheme(d.container))
}

// onlyWithWorkspaces are the flags about what only workspaces have.
var onlyWithWorkspaces = append([]string{"create", "run", "upload", "workspace-name"}, onlyWithCreate...)

// checkFlags refuses flags on the command line that do not apply to this kind of target.
func (p *process) checkFlags(d destination) error {
	if d.workspaces() {
		if p.typed["key-name"] {
			return usagef("--key-name names keys, but %s holds workspaces: use --workspace-name", d)
		}
		return nil
	}
	for _, flag := range onlyWithWorkspaces {
		switch {
		case !p.typed[flag], flag == "create" && d.kind.Target.Creates != "":
		case flag == "workspace-name":
			return usagef("--workspace-name names workspaces, but %s holds none: use --key-name", d)
		case flag == "create":
			return usagef("--create creates workspaces, but %s needs none: leave it out", d)
		default:
			return usagef("--%s is for workspaces, and %s holds none: leave it out", flag, d)
		}
	}
	return nil
}

// block returns how a configuration uses the state that the destination names.
func (d destination) block(ctx context.Context) (*backend.Block, error) {
	return d.kind.Target.Block(ctx, d.container, d.name)
}

// unprovable returns why Terraform cannot plan with the states there; "" if it can.
func (d destination) unprovable() string {
	if d.workspaces() || d.kind.Target.Block != nil {
		return ""
	}
	return fmt.Sprintf("%s cannot be proven with a plan: Terraform has no backend for it", d)
}

// A targetPool keeps one open target for each container.
type targetPool struct {
	connector
	open map[string]backend.Target
}

// of returns the target of a destination.
func (p *targetPool) of(ctx context.Context, d destination) (backend.Target, error) {
	key := d.kind.Scheme + " " + d.container
	if target := p.open[key]; target != nil {
		return target, nil
	}
	target, err := p.connector.open(ctx, d)
	if err != nil {
		return nil, err
	}
	if p.open == nil {
		p.open = map[string]backend.Target{}
	}
	p.open[key] = target
	return target, nil
}

func (p *targetPool) close() {
	for _, target := range p.open {
		target.Close()
	}
}
