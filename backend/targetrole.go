package backend

import (
	"context"
	"fmt"
	"strings"
)

// A TargetRole is how backends of a kind are used as targets.
//
// A target's address names one state, or a container: what holds many states, such as an
// organization, a bucket, a prefix or a directory. Except for Open, nothing here sends
// requests, and the errors describe the address or the name to the user who typed it.
type TargetRole struct {
	// State and Container show how the two addresses are written.
	State, Container string
	// Claims reports whether an address is of this kind, where its scheme does not decide;
	// nil means that it does. The kinds are asked in their order.
	Claims func(address string) bool
	// SplitState returns the container of the state that an address names, and the state's
	// name there. Targets of the container return this address for the name.
	SplitState func(address string) (container, name string, err error)
	// Address returns what a target of the container calls a state, or without a name the
	// container, before the target is open. Nil means the two texts joined.
	Address func(container, name string) string
	// CheckContainer checks an address of a container.
	CheckContainer func(address string) error
	// CheckName checks the name of a state in a container. The error continues a sentence
	// about the move: "names the key …: use …".
	CheckName func(name string) error
	// Layout returns the name of a state: where Terraform's backend of this kind, whose
	// default workspace is at path, keeps a workspace. Nil if states are workspaces.
	Layout func(container, path, workspace string) string
	// Block returns how a configuration uses the state with this name. After a target of the
	// container has been used, the block has what only its server knows. Nil if states are
	// workspaces, or if Terraform has no backend of this kind.
	Block func(ctx context.Context, container, name string) (*Block, error)
	// History means that its targets are HistoryTargets.
	History bool
	// Creates is what --create creates where states need no creation of their own, such as "the
	// table"; the target is then a Creator. It is "" if nothing is.
	Creates string
	// Open returns the target that the address of a container names. Its error has the code
	// Unreachable if a server did not answer; otherwise the user must correct something.
	Open func(ctx context.Context, container string) (Target, error)
}

// Target returns the kind that an address has as a target. The kind has a Target.
func (k Kinds) Target(address string) (Kind, error) {
	for _, kind := range k {
		switch role := kind.Target; {
		case role == nil:
		case role.Claims != nil && role.Claims(address), role.Claims == nil && kind.Names(Scheme(address)):
			return kind, nil
		}
	}
	if kind, ok := k.of(address); ok && kind.ReadOnly != "" {
		return Kind{}, fmt.Errorf("%s:// cannot be a target: %s", kind.Scheme, kind.ReadOnly)
	}
	return Kind{}, fmt.Errorf("cannot write state to %s:// URLs; a target is %s", Scheme(address), k.TargetForms(false))
}

// TargetForms lists what a target that is one state can be, or a target for many: "./FILE,
// [HOST/]ORG/WORKSPACE or a URL that starts with s3:// or gs://".
func (k Kinds) TargetForms(containers bool) string {
	return k.forms(func(kind Kind) string {
		switch {
		case kind.Target == nil:
			return ""
		case containers:
			return kind.Target.Container
		}
		return kind.Target.State
	})
}

// AddressOf is Address, which may be nil.
func (r *TargetRole) AddressOf(container, name string) string {
	if r.Address == nil {
		return container + name
	}
	return r.Address(container, name)
}

// Same reports whether the addresses of a source and of a target name the same state.
func (k Kinds) Same(source, target string) bool {
	from, ok := k.of(source)
	into, err := k.Target(target)
	return ok && err == nil && from.Scheme == into.Scheme && k.Canonical(source) == k.CanonicalTarget(target)
}

// Inside reports whether the address of a source names a state in the container of a target.
func (k Kinds) Inside(source, container string) bool {
	from, ok := k.of(source)
	into, err := k.Target(container)
	if !ok || err != nil || from.Scheme != into.Scheme {
		return false
	}
	at := k.CanonicalTarget(container)
	rest, inside := strings.CutPrefix(k.Canonical(source), at)
	return inside && (strings.HasSuffix(at, "/") || rest != "" && strings.ContainsRune("/\\&?", rune(rest[0])))
}

// CanonicalTarget is Canonical for the address of a target, which can have another kind than
// the same text as a source.
func (k Kinds) CanonicalTarget(address string) string {
	if kind, err := k.Target(address); err == nil && kind.Canonical != nil {
		return kind.Canonical(address)
	}
	return address
}
