package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"tfhaul/backend"
)

// A tree is a directory that is searched.
//
// Symbolic links are followed, to files and to directories, because a state that is linked
// into its configuration is that configuration's state. What a link leads to is taken
// once: under its own name where the search meets it there too, so a link never makes two
// moves of one state and a loop ends. .terraform is not searched (it holds backend
// pointers and downloaded modules), nor are .terragrunt-cache and .git.
type tree string

// States lists the states below the directory.
func (t tree) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	root := string(t)
	s := &searcher{ctx: ctx, root: root, above: absolute(root), filter: f, listing: &backend.Listing{}, dirKeys: []string{""}}
	if _, err := os.ReadDir(root); err != nil {
		return nil, fmt.Errorf("cannot search %q: %w", root, reason(err))
	}
	s.directory("")
	s.followLinks()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.listing.Sort()
	if len(s.listing.States) == 0 {
		return s.listing, f.Nothing(root, s.listing)
	}
	return s.listing, nil
}

type searcher struct {
	ctx     context.Context
	root    string // as given
	above   string // the same from the root of the file system
	filter  backend.Filter
	listing *backend.Listing

	dirKeys  []string // every directory found by its own name
	fileKeys []string // every file taken by its own name
	links    []string // symbolic links, to be followed after all that is found by its own name

	linked bool   // now searching what links lead to; only then the following is known
	dirs   []seen // every directory entered
	files  []seen // every file taken
}

type seen struct {
	info fs.FileInfo
	key  string
}

// directory searches the directory at key.
func (s *searcher) directory(key string) {
	entries, err := os.ReadDir(s.path(key))
	if err != nil {
		s.skip(key+"/", backend.SkipUnreadable, fmt.Sprintf("this directory was not searched: %v", reason(err)))
		// ReadDir also returns what it read before the error: those are searched all the same.
	}
	for _, entry := range entries {
		if s.ctx.Err() != nil {
			return
		}
		s.entry(path.Join(key, entry.Name()), entry.Type())
	}
}

// entry looks at what ReadDir found at key.
func (s *searcher) entry(key string, mode fs.FileMode) {
	if s.filter.Excludes(key) {
		return
	}
	switch {
	case mode&fs.ModeSymlink != 0:
		s.links = append(s.links, key)
	case mode.IsDir():
		s.subdirectory(key)
	default:
		s.file(key, mode)
	}
}

// subdirectory enters the directory at key unless it never holds states.
func (s *searcher) subdirectory(key string) {
	enter, skip := s.filter.Directory(key)
	if skip != nil {
		s.skip(key+"/", skip.Code, skip.Reason)
	}
	if !enter {
		return
	}
	if !s.linked {
		s.dirKeys = append(s.dirKeys, key)
		s.directory(key)
		return
	}
	info, err := os.Stat(s.path(key))
	if err != nil {
		s.skip(key+"/", backend.SkipUnreadable, fmt.Sprintf("this directory was not searched: %v", reason(err)))
		return
	}
	if first, ok := find(s.dirs, info); ok {
		s.skip(key+"/", backend.SkipDuplicate, fmt.Sprintf("leads to the directory that was searched as %q", s.path(first)))
		return
	}
	s.dirs = append(s.dirs, seen{info, key})
	s.directory(key)
}

// file takes the file at key if it was asked for, or says why not. Files that nobody would take for
// the state are passed over in silence.
func (s *searcher) file(key string, mode fs.FileMode) {
	take, skip := s.filter.File(key)
	switch {
	case skip != nil:
		s.skip(key, skip.Code, skip.Reason)
		return
	case !take:
		return
	case !mode.IsRegular():
		s.skip(key, backend.SkipNotRegular, "is a pipe, a device or a socket, which a search does not open")
		return
	}
	if s.linked {
		info, err := os.Stat(s.path(key))
		if err != nil {
			s.skip(key, backend.SkipUnreadable, fmt.Sprintf("cannot be looked at: %v", reason(err)))
			return
		}
		if first, ok := find(s.files, info); ok {
			s.skip(key, backend.SkipDuplicate, fmt.Sprintf("leads to the file that was found as %q", s.path(first)))
			return
		}
		s.files = append(s.files, seen{info, key})
	} else {
		s.fileKeys = append(s.fileKeys, key)
	}
	s.listing.States = append(s.listing.States, &file{path: s.path(key), place: placeIn(s.above, key)})
}

// followLinks looks at what the symbolic links lead to, in the order of their names. What lies behind
// a link may hold links again: those come after.
func (s *searcher) followLinks() {
	if len(s.links) == 0 {
		return // and nothing has to be told apart, which would cost a call to the system each
	}
	s.linked = true
	s.dirs, s.files = s.statAll(s.dirKeys), s.statAll(s.fileKeys)
	for len(s.links) > 0 {
		links := s.links
		s.links = nil
		slices.Sort(links)
		for _, key := range links {
			if s.ctx.Err() != nil {
				return
			}
			s.link(key)
		}
	}
}

// statAll looks at what was found before. What has gone since cannot be led to.
func (s *searcher) statAll(keys []string) []seen {
	list := make([]seen, 0, len(keys))
	for _, key := range keys {
		if info, err := os.Stat(s.path(key)); err == nil {
			list = append(list, seen{info, key})
		}
	}
	return list
}

func (s *searcher) link(key string) {
	info, err := os.Stat(s.path(key))
	switch {
	case err == nil && info.IsDir():
		s.subdirectory(key)
	case err == nil:
		s.file(key, info.Mode())
	case !s.filter.Takes(key):
		// A broken link that does not look like a state is none of our business.
	case errors.Is(err, fs.ErrPermission):
		s.skip(key, backend.SkipUnreadable, fmt.Sprintf("cannot be looked at: %v", reason(err)))
	default:
		s.skip(key, backend.SkipBrokenLink, fmt.Sprintf("is a symbolic link that leads nowhere: %v", reason(err)))
	}
}

func find(list []seen, info fs.FileInfo) (key string, ok bool) {
	for _, s := range list {
		if os.SameFile(s.info, info) {
			return s.key, true
		}
	}
	return "", false
}

func (s *searcher) skip(key, code, reason string) {
	name := s.path(key)
	if strings.HasSuffix(key, "/") {
		name += string(filepath.Separator)
	}
	s.listing.Skipped = append(s.listing.Skipped, backend.Skip{Name: name, Code: code, Reason: reason})
}

// path is the path of what is at key, as a user would type it: never one that would be read as a flag,
// as standard input or as a URL.
func (s *searcher) path(key string) string {
	p := filepath.Join(s.root, filepath.FromSlash(key))
	if strings.HasPrefix(p, "-") || backend.Scheme(p) != "" {
		return "." + string(filepath.Separator) + p
	}
	return p
}
