package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tfhaul/plainwords"
)

// A directory is what teams usually share states by: the first part of the addresses that is
// not the same in all of them.
type directory struct {
	name string
	tally
}

// directories are the directories of all states.
type directories struct {
	depth  int // how many parts all addresses share
	byName map[string]*directory
}

// split cuts an address into its parts. A scheme and its bucket are one part.
func split(address string) []string {
	parts := strings.Split(address, "/")
	if len(parts) > 2 && strings.HasSuffix(parts[0], ":") && parts[1] == "" {
		parts = append([]string{strings.Join(parts[:3], "/")}, parts[3:]...)
	}
	return parts
}

// newDirectories finds what all addresses share.
func newDirectories(addresses []string) *directories {
	d := &directories{byName: map[string]*directory{}}
	if len(addresses) == 0 {
		return d
	}
	shared := split(addresses[0])
	shared = shared[:len(shared)-1] // the file
	for _, address := range addresses[1:] {
		parts := split(address)
		n := 0
		for n < min(len(shared), len(parts)-1) && shared[n] == parts[n] {
			n++
		}
		shared = shared[:n]
	}
	d.depth = len(shared)
	return d
}

// of returns the directory of an address.
func (d *directories) of(address string) *directory {
	name := "(top level)"
	if parts := split(address); len(parts) > d.depth+1 {
		name = parts[d.depth]
	}
	found := d.byName[name]
	if found == nil {
		found = &directory{name: name, tally: tally{}}
		d.byName[name] = found
	}
	return found
}

// inOrder returns the directories, those with the most states that are not ready first.
func (d *directories) inOrder() []*directory {
	return slices.SortedFunc(maps.Values(d.byName), func(a, b *directory) int {
		return cmp.Or(cmp.Compare(b.notReady(), a.notReady()), cmp.Compare(b.total(), a.total()), cmp.Compare(a.name, b.name))
	})
}

// maxDirectories is how many directories have bars of their own.
const maxDirectories = 12

// bars returns a bar for each directory, unless there is only one.
func (d *directories) bars(x *facetIndex) []bar {
	list := d.inOrder()
	if len(list) < 2 {
		return nil
	}
	others := directory{name: fmt.Sprintf("%s others", plainwords.Grouped(len(list)-maxDirectories)), tally: tally{}}
	if len(list) > maxDirectories+1 {
		for _, one := range list[maxDirectories:] {
			for r, n := range one.tally {
				others.tally[r] += n
			}
		}
		list = append(list[:maxDirectories:maxDirectories], &others)
	}
	bars := make([]bar, len(list))
	for k, one := range list {
		bars[k] = bar{
			Label: one.name, Text: fmt.Sprintf("%s of %s", plainwords.Grouped(one.notReady()), plainwords.Grouped(one.total())), Filter: x.address(facetDirectory, one.name),
			Parts: []part{{Tone: blocked.tone(), count: one.tally[blocked]}, {Tone: undecided.tone(), count: one.tally[undecided]}, {Tone: "rest", count: one.tally[ready]}},
		}
	}
	return bars
}
