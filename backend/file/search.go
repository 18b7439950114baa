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
	"tfhaul/plainwords"
)

// A tree is a directory to search.
//
// Links to files and directories are followed: a state that is linked into a configuration
// is that configuration's state. Each target is taken once, under its own name if the
// search finds it there too, so a link never causes a second move of the same state, and
// loops end. Directories named .terraform (backend configuration and downloaded modules),
// .terragrunt-cache and .git are not searched.
type tree string

// States lists the states below the directory.
func (t tree) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	root := string(t)
	s := &searcher{ctx: ctx, root: root, above: absolute(root), filter: f, listing: &backend.Listing{}, dirKeys: []string{""}}
	if _, err := os.ReadDir(root); err != nil {
		return nil, fmt.Errorf("cannot search %q: %w", root, plainwords.WithoutPath(err))
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
	above   string // root as an absolute path
	filter  backend.Filter
	listing *backend.Listing

	dirKeys  []string // every directory found by its own name
	fileKeys []string // every file taken by its own name
	links    []string // symbolic links, followed after everything found by its own name

	linked bool   // now following links; dirs and files are filled in from here on
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
		s.skip(key+"/", backend.SkipUnreadable, fmt.Sprintf("this directory was not searched: %v", plainwords.WithoutPath(err)))
		// ReadDir also returns the entries it read before the error; search those anyway.
	}
	for _, entry := range entries {
		if s.ctx.Err() != nil {
			return
		}
		s.entry(path.Join(key, entry.Name()), entry.Type())
	}
}

// entry handles the directory entry at key.
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

// subdirectory enters the directory at key unless directories of that name never hold
// states.
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
		s.skip(key+"/", backend.SkipUnreadable, fmt.Sprintf("this directory was not searched: %v", plainwords.WithoutPath(err)))
		return
	}
	if first, ok := find(s.dirs, info); ok {
		s.skip(key+"/", backend.SkipDuplicate, fmt.Sprintf("leads to the directory already searched as %q", s.path(first)))
		return
	}
	s.dirs = append(s.dirs, seen{info, key})
	s.directory(key)
}

// file takes the file at key if it is selected, or records why not. It ignores files that
// nobody would mistake for the state.
func (s *searcher) file(key string, mode fs.FileMode) {
	take, skip := s.filter.File(key)
	switch {
	case skip != nil:
		s.skip(key, skip.Code, skip.Reason)
		return
	case !take:
		return
	case !mode.IsRegular():
		s.skip(key, backend.SkipNotRegular, "is a pipe, a device or a socket, and a search does not open those")
		return
	}
	if s.linked {
		info, err := os.Stat(s.path(key))
		if err != nil {
			s.skip(key, backend.SkipUnreadable, fmt.Sprintf("cannot be examined: %v", plainwords.WithoutPath(err)))
			return
		}
		if first, ok := find(s.files, info); ok {
			s.skip(key, backend.SkipDuplicate, fmt.Sprintf("leads to the file already found as %q", s.path(first)))
			return
		}
		s.files = append(s.files, seen{info, key})
	} else {
		s.fileKeys = append(s.fileKeys, key)
	}
	s.listing.States = append(s.listing.States, &file{path: s.path(key), place: placeIn(s.above, key)})
}

// followLinks searches the targets of symbolic links, sorted by the name of the link. Links
// found on the way are followed last.
func (s *searcher) followLinks() {
	if len(s.links) == 0 {
		return // nothing to compare, so skip one stat call per file
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

// statAll looks up the directories and files found so far. Those that no longer exist
// cannot be a link's target.
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
		// Ignore a broken link that does not look like a state.
	case errors.Is(err, fs.ErrPermission):
		s.skip(key, backend.SkipUnreadable, fmt.Sprintf("cannot be examined: %v", plainwords.WithoutPath(err)))
	default:
		s.skip(key, backend.SkipBrokenLink, fmt.Sprintf("is a broken symbolic link: %v", plainwords.WithoutPath(err)))
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

// path returns the path of key as a user would type it. It is never mistaken for a flag,
// standard input or a URL.
func (s *searcher) path(key string) string {
	p := filepath.Join(s.root, filepath.FromSlash(key))
	if strings.HasPrefix(p, "-") || backend.Scheme(p) != "" {
		return "." + string(filepath.Separator) + p
	}
	return p
}
