package pairing

import (
	"fmt"
	"path"
	"strings"
	"text/template"
	"unicode/utf8"

	"tfhaul/backend"
)

// A PlaceNamer names a state at the target by its place.
type PlaceNamer interface {
	Naming(p backend.Place) (Naming, error)
	// rooted returns a namer for states of several directories or buckets.
	rooted() PlaceNamer
}

// A Layout returns where a backend keeps a Terraform workspace of the configuration whose
// default workspace is at path.
type Layout func(path, workspace string) string

// A KeyNamer makes keys out of places, for targets whose states have paths. It is safe for
// concurrent use.
type KeyNamer struct {
	template *template.Template // nil means the default rule
	layout   Layout
	// byRoot makes the default rule begin with the name of what was searched.
	byRoot bool
}

func (n *KeyNamer) rooted() PlaceNamer { return &KeyNamer{n.template, n.layout, true} }

// ParseKeyNamer parses the template of --key-name, which is like that of ParseNamer, but gives
// the whole key. The empty template means the default rule: the state has the same path below
// the target as below what was searched, with its Terraform workspace where the target's kind
// keeps it; where several directories or buckets are searched, below a directory with the
// name of each. The state of a workspace in an organization is that of the default workspace
// at {{ .Workspace }}/terraform.tfstate.
func ParseKeyNamer(text string, layout Layout) (*KeyNamer, error) {
	t, err := parseTemplate("key", text)
	return &KeyNamer{template: t, layout: layout}, err
}

// Naming names the key for the state at p. Different places can get the same key, so the
// caller must check for that.
func (n *KeyNamer) Naming(p backend.Place) (Naming, error) {
	key := n.defaultKey(p)
	if n.template != nil {
		var b strings.Builder
		if err := n.template.Execute(&b, p); err != nil {
			return Naming{}, fmt.Errorf("no key for %q: %s", p.Key, templateReason(err))
		}
		key = strings.TrimSpace(b.String())
	}
	switch {
	case !utf8.ValidString(key):
		return Naming{}, fmt.Errorf("no key for %q: it is not valid UTF-8; rename it", p.Key)
	case key == "" && n.template != nil:
		return Naming{}, fmt.Errorf("no key for %q: --key-name gives an empty key", p.Key)
	case key == "":
		return Naming{}, fmt.Errorf("no key for %q: it has no name; use --key-name or --map", p.Key)
	}
	return Naming{Name: key}, nil
}

// defaultKey returns the key by the default rule.
func (n *KeyNamer) defaultKey(p backend.Place) string {
	if p.Organization != "" {
		return n.layout(p.Workspace+"/terraform"+backend.StateExt, backend.DefaultWorkspace)
	}
	root := ""
	if n.byRoot {
		root = p.Searched
	}
	// Some kinds name a state's file after its workspace. Base is the name that it has without.
	file := path.Base(p.Key)
	if p.Base != "" && strings.TrimSuffix(file, backend.StateExt) != p.Base {
		file = p.Base + backend.StateExt
	}
	return n.layout(path.Join(root, p.Dir, file), p.Workspace)
}
