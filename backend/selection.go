package backend

import (
	"path"
	"strings"
)

// A Selection decides which objects of a bucket's listing a search takes.
type Selection struct {
	// Filter selects by path relative to Prefix.
	Filter Filter
	// Prefix is where the keys begin that are searched.
	Prefix string
	// Name returns what a user calls an object.
	Name func(key string) string
	// Listing receives what is skipped.
	Listing *Listing

	directories map[string]bool // by relative path: whether to search the directory
}

// Below reports whether a key is that of an object below the prefix, not of a directory, and
// returns its path relative to the prefix.
func (s *Selection) Below(key string) (relative string, ok bool) {
	relative, ok = strings.CutPrefix(key, s.Prefix)
	return relative, ok && relative != "" && !strings.HasSuffix(key, "/")
}

// Takes reports whether the search takes the object with a relative path. If it does not, the
// listing tells why, unless no filter selects the object.
func (s *Selection) Takes(relative string) bool {
	if !s.searched(path.Dir(relative)) {
		return false
	}
	take, skip := s.Filter.File(relative)
	s.skip(relative, skip)
	return take && skip == nil
}

// searched reports whether to search the directory dir: neither it nor a parent is excluded
// or of a name that never holds states.
func (s *Selection) searched(dir string) bool {
	if dir == "." {
		return true
	}
	if known, ok := s.directories[dir]; ok {
		return known
	}
	enter := s.searched(path.Dir(dir))
	if enter {
		var skip *Skip
		enter, skip = s.Filter.Directory(dir)
		s.skip(dir+"/", skip)
	}
	if s.directories == nil {
		s.directories = map[string]bool{}
	}
	s.directories[dir] = enter
	return enter
}

func (s *Selection) skip(relative string, skip *Skip) {
	if skip != nil {
		s.Listing.Skipped = append(s.Listing.Skipped, Skip{Name: s.Name(s.Prefix + relative), Code: skip.Code, Reason: skip.Reason})
	}
}
