package source

import (
	"fmt"

	"github.com/bmatcuk/doublestar/v4"
)

// include is what to take, with the default filled in.
func (o *FindOptions) include() []string {
	if len(o.Include) == 0 {
		return []string{DefaultInclude}
	}
	return o.Include
}

// streamLimit is how much to hold of a stream, with the default filled in.
func (o *FindOptions) streamLimit() int64 {
	if o.StreamLimit == 0 {
		return DefaultStreamLimit
	}
	return o.StreamLimit
}

func (o *FindOptions) validate() error {
	for _, list := range [][]string{o.Include, o.Exclude} {
		for _, g := range list {
			if !doublestar.ValidatePattern(g) {
				return fmt.Errorf(`%q is not a glob: write "*" for any part of a name, "**" for any directories, "[ab]" and "{a,b}" closed`, g)
			}
		}
	}
	return nil
}

// takes says whether a file at key, slash-separated and relative to the root, was asked for.
func (o *FindOptions) takes(key string) bool {
	return matchesAny(o.include(), key) && !o.excludes(key)
}

// excludes says whether a file or directory at key was excluded.
func (o *FindOptions) excludes(key string) bool {
	return matchesAny(o.Exclude, key)
}

func matchesAny(globs []string, key string) bool {
	for _, g := range globs {
		// validate has been called: a glob that does not parse cannot come here.
		if doublestar.MatchUnvalidated(g, key) {
			return true
		}
	}
	return false
}
