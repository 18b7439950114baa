package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"tfhaul/audit"
	"tfhaul/plainwords"
)

// A directory is one of audit.Directories, with what it holds.
type directory struct {
	name string
	tally
}

// directories are the directories of all states.
type directories struct {
	names  audit.Directories
	byName map[string]*directory
}

func newDirectories(addresses []string) *directories {
	return &directories{names: audit.NewDirectories(addresses), byName: map[string]*directory{}}
}

// of returns the directory of an address.
func (d *directories) of(address string) *directory {
	name := d.names.Of(address)
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
