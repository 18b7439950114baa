// Package diff finds how two states differ: only in formatting, only in metadata, or in what
// they hold. It names what was added, removed and changed, and shows a value only if it was
// asked to and the value is not sensitive. It reads each state up to three times, and keeps
// about 50 bytes for each object, whatever the size of the states.
package diff

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"

	"tfhaul/statefile"
)

// A Kind is how two states differ.
type Kind string

// The kinds, from no difference to the most important one.
const (
	Identical  Kind = "identical"  // the same bytes
	Formatting Kind = "formatting" // whitespace, order, escapes
	Metadata   Kind = "metadata"   // serial, lineage, versions, check results
	Content    Kind = "content"    // resources and outputs
)

// MaxListed limits how many addresses of each list are kept. All are counted.
const MaxListed = 10_000

// A Side is one of the two states.
type Side struct {
	// Name is what the user calls the state, and Version which version of it was read.
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`

	Format           int    `json:"format"`
	TerraformVersion string `json:"terraform_version"`
	Serial           int64  `json:"serial"`
	Lineage          string `json:"lineage"`
	MD5              string `json:"md5"`
	Size             int64  `json:"size"`
}

// A Result is how state B differs from state A.
type Result struct {
	A    Side `json:"a"`
	B    Side `json:"b"`
	Kind Kind `json:"kind"`
	// Metadata names the members of the file that differ.
	Metadata []string `json:"metadata"`
	// AddedCount, RemovedCount and ChangedCount count objects and outputs; the lists have at
	// most MaxListed of each.
	AddedCount   int      `json:"added_count"`
	RemovedCount int      `json:"removed_count"`
	ChangedCount int      `json:"changed_count"`
	Added        []string `json:"added"`
	Removed      []string `json:"removed"`
	Changed      []Change `json:"changed"`
	// NotCompared is why the resources were not compared; "" if they were.
	NotCompared string `json:"not_compared,omitempty"`
}

// A Change is an object or output that both states have.
type Change struct {
	Address string `json:"address"`
	// Attributes are those that differ. Names in parentheses are not attributes, but what a
	// state records about the object.
	Attributes []Attribute `json:"attributes"`
}

// An Attribute is one that differs. Before and After are JSON texts, and only set if values
// were asked for and may be shown; "" then means that there is no such attribute, or that it
// is not a string, a number, a bool or null.
type Attribute struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Hidden means that values were asked for, but are or may be secret.
	Hidden bool `json:"hidden,omitempty"`
}

// A State is opened for each reading, and must return the same bytes each time.
type State struct {
	Side
	Open func() (io.ReadCloser, error)
}

// Options control a comparison.
type Options struct {
	// Values includes values that are not sensitive.
	Values bool
	// SecretName reports whether the name of an attribute suggests that its value is secret;
	// nil for never.
	SecretName func(name string) bool
}

// Compare reads two states. The error is a *statefile.Error if one of them is not a state.
func Compare(a, b State, o Options) (*Result, error) {
	r := &Result{A: a.Side, B: b.Side, Metadata: []string{}, Added: []string{}, Removed: []string{}, Changed: []Change{}}
	for _, side := range []struct {
		state *State
		of    *Side
	}{{&a, &r.A}, {&b, &r.B}} {
		if err := side.state.read(func(body io.Reader) error { return side.of.header(body) }); err != nil {
			return nil, fmt.Errorf("%s: %w", side.of.Name, err)
		}
	}
	switch {
	case r.A.MD5 == r.B.MD5 && r.A.Size == r.B.Size:
		r.Kind = Identical
		return r, nil
	case r.A.Format != 4 || r.B.Format != 4:
		return r, r.compareWhole(a, b)
	}
	return r, r.compareItems(a, b, o)
}

// read opens a state and reads it.
func (s *State) read(with func(io.Reader) error) error {
	body, err := s.Open()
	if err != nil {
		return err
	}
	err = with(body)
	if closed := body.Close(); err == nil {
		err = closed
	}
	return err
}

// header reads what the header says.
func (s *Side) header(body io.Reader) error {
	snapshot, err := statefile.ReadWhole(body)
	if err != nil {
		return err
	}
	s.Format, s.TerraformVersion, s.Serial, s.Lineage = snapshot.Format, snapshot.TerraformVersion, snapshot.Serial, snapshot.Lineage
	s.MD5, s.Size = snapshot.MD5, snapshot.Size
	return nil
}

// compareWhole compares states of which one has an old format.
func (r *Result) compareWhole(a, b State) error {
	var contents [2]*statefile.Content
	for n, state := range []*State{&a, &b} {
		err := state.read(func(body io.Reader) (err error) {
			contents[n], err = statefile.ReadContent(body)
			return err
		})
		if err != nil {
			return err
		}
	}
	d := contents[0].Difference(contents[1])
	r.NotCompared = "Resources of states with format 3 or older are not compared by address."
	switch {
	case d.State:
		r.Kind = Content
	case d.TerraformVersion || d.CheckResults:
		r.Kind = Metadata
		if d.TerraformVersion {
			r.Metadata = append(r.Metadata, "terraform_version")
		}
		if d.CheckResults {
			r.Metadata = append(r.Metadata, "check_results")
		}
	default:
		r.Kind = Formatting
	}
	return nil
}

// A comparison compares the items of two states. Addresses are kept as digests.
type comparison struct {
	*Result
	Options
	seed    maphash.Seed
	digests map[uint64]uint64      // of the items in A that are not, or not the same, in B
	both    map[uint64]bool        // those in digests that B has, too
	before  map[uint64]*beforeItem // of those, what A has
}

// A beforeItem is what A has of a changed item.
type beforeItem struct {
	parts []statefile.Part
	shown map[string]bool // which values may be shown
}

func (r *Result) compareItems(a, b State, o Options) error {
	c := &comparison{Result: r, Options: o, seed: maphash.MakeSeed(), digests: map[uint64]uint64{}, both: map[uint64]bool{}, before: map[uint64]*beforeItem{}}
	var ours, theirs []statefile.Part
	err := a.read(func(body io.Reader) (err error) {
		ours, err = statefile.ReadItems(body, false, func(i *statefile.Item) { c.digests[c.key(i)] += i.Digest })
		return err
	})
	if err != nil {
		return err
	}
	err = b.read(func(body io.Reader) (err error) {
		theirs, err = statefile.ReadItems(body, false, c.meet)
		return err
	})
	if err != nil {
		return err
	}
	r.compareOthers(ours, theirs)
	r.RemovedCount, r.ChangedCount = len(c.digests)-len(c.both), len(c.both)
	if len(c.digests) > 0 {
		if err := c.name(a, b); err != nil {
			return err
		}
	}
	slices.Sort(r.Added)
	slices.Sort(r.Removed)
	slices.SortFunc(r.Changed, func(a, b Change) int { return cmp.Compare(a.Address, b.Address) })
	switch {
	case r.AddedCount+r.RemovedCount+r.ChangedCount > 0:
		r.Kind = Content
	case len(r.Metadata) > 0:
		r.Kind = Metadata
	default:
		r.Kind = Formatting
	}
	return nil
}

func (c *comparison) key(i *statefile.Item) uint64 { return maphash.String(c.seed, i.Address) }

// meet compares an item of B with that of A.
func (c *comparison) meet(i *statefile.Item) {
	key := c.key(i)
	digest, known := c.digests[key]
	switch {
	case !known:
		c.AddedCount++
		c.Added = list(c.Added, i.Address)
	case digest == i.Digest:
		delete(c.digests, key)
	default:
		c.both[key] = true
	}
}

// name reads both states again, for the names of what differs.
func (c *comparison) name(a, b State) error {
	err := a.read(func(body io.Reader) error {
		_, err := statefile.ReadItems(body, c.Values, func(i *statefile.Item) {
			key := c.key(i)
			_, differs := c.digests[key]
			switch {
			case !differs:
			case !c.both[key]:
				c.Removed = list(c.Removed, i.Address)
			case len(c.before) < MaxListed && c.before[key] == nil:
				item := &beforeItem{parts: slices.Clone(i.Parts), shown: map[string]bool{}}
				for _, p := range i.Parts {
					item.shown[p.Name] = c.mayShow(i, p)
				}
				c.before[key] = item
			}
		})
		return err
	})
	if err != nil || len(c.both) == 0 {
		return err
	}
	return b.read(func(body io.Reader) error {
		_, err := statefile.ReadItems(body, c.Values, func(i *statefile.Item) {
			if before := c.before[c.key(i)]; before != nil {
				c.Changed = append(c.Changed, Change{Address: i.Address, Attributes: c.changes(before, i)})
				delete(c.before, c.key(i))
			}
		})
		return err
	})
}

// changes returns which parts of an item differ.
func (c *comparison) changes(before *beforeItem, after *statefile.Item) []Attribute {
	old := map[string]statefile.Part{}
	for _, p := range before.parts {
		old[p.Name] = p
	}
	changed := []Attribute{}
	add := func(a Attribute, was, is statefile.Part) {
		if c.Values && !strings.HasPrefix(a.Name, "(") {
			a.Hidden = !before.mayShow(a.Name) || !c.mayShow(after, is)
			if !a.Hidden {
				a.Before, a.After = was.Value, is.Value
			}
		}
		changed = append(changed, a)
	}
	for _, p := range after.Parts {
		was, known := old[p.Name]
		if !known || was.Digest != p.Digest {
			add(Attribute{Name: p.Name}, was, p)
		}
		delete(old, p.Name)
	}
	for name, was := range old {
		add(Attribute{Name: name}, was, statefile.Part{Name: name})
	}
	slices.SortFunc(changed, func(a, b Attribute) int { return cmp.Compare(a.Name, b.Name) })
	return changed
}

// mayShow reports whether what A has of a part may be shown; what A does not have may.
func (b *beforeItem) mayShow(name string) bool {
	may, known := b.shown[name]
	return may || !known
}

// mayShow reports whether the value of a part may be shown: the state does not mark it as
// sensitive, and neither its name nor its text suggests a secret. States of older versions
// of Terraform do not mark what only the provider declares as sensitive.
func (c *comparison) mayShow(i *statefile.Item, p statefile.Part) bool {
	if i.Sensitive(p.Name) || c.SecretName != nil && (c.SecretName(p.Name) || p.Name == "value" && c.SecretName(i.Address[strings.LastIndexByte(i.Address, '.')+1:])) {
		return false
	}
	var text string
	return json.Unmarshal([]byte(p.Value), &text) != nil || !statefile.LooksSecret(text)
}

// compareOthers compares the members of the states other than resources and outputs.
func (r *Result) compareOthers(ours, theirs []statefile.Part) {
	digests := map[string]uint64{}
	for _, p := range ours {
		digests[p.Name] = p.Digest
	}
	for _, p := range theirs {
		if digest, known := digests[p.Name]; !known || digest != p.Digest {
			r.Metadata = append(r.Metadata, p.Name)
		}
		delete(digests, p.Name)
	}
	for name := range digests {
		r.Metadata = append(r.Metadata, name)
	}
	slices.Sort(r.Metadata)
}

// list appends to a list of at most MaxListed.
func list(names []string, name string) []string {
	if len(names) < MaxListed {
		names = append(names, name)
	}
	return names
}
