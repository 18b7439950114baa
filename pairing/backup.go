package pairing

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"tfhaul/backend"
	"tfhaul/backup"
	"tfhaul/migrate"
)

// A restored state is the newest version of a state in a backup. Its place is that of the
// state that was backed up.
type restored struct {
	backend.State
	place backend.Place
	entry *backup.Entry
}

// Place implements backend.State.
func (r *restored) Place() backend.Place { return r.place }

// Open implements backend.State. Reading ends with an error if the copy is not what was
// backed up.
func (r *restored) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	in, at, err := r.State.Open(ctx, v)
	if err != nil {
		return nil, at, err
	}
	return &copyReader{in, md5.New(), r}, at, nil
}

// A copyReader compares the digest of a copy with the index.
type copyReader struct {
	io.ReadCloser
	sum  hash.Hash
	copy *restored
}

func (c *copyReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sum.Write(p[:n])
	if want := c.copy.entry.Newest().MD5; err == io.EOF && hex.EncodeToString(c.sum.Sum(nil)) != want {
		at := c.copy.Address()
		err = &backend.Error{Address: at, Code: backend.Failed,
			Message: fmt.Sprintf("%q is not the copy that was made: its MD5 is not %s, as the index of the backup has it. Restore this file, or move another version", at, want)}
	}
	return n, err
}

// list lists the states of a source. In a backup, the filter matches the names of the states,
// and not the paths of the copies.
func (f *Finder) list(ctx context.Context, source string) (*backend.Listing, error) {
	listing, err := f.Kinds.Find(ctx, source, f.Filter)
	indexes := indexesIn(listing)
	_, nothing := errors.AsType[*backend.NoMatchError](err)
	if len(indexes) == 0 || err != nil && !nothing {
		return listing, err
	}
	if len(f.Filter.Include)+len(f.Filter.Exclude) > 0 {
		all, err := f.Kinds.Find(ctx, source, backend.Filter{})
		if err != nil {
			return listing, err
		}
		takeCopies(listing, all.States, indexes)
	}
	if err := f.restore(ctx, listing, indexes); err != nil {
		return listing, err
	}
	if len(listing.States) == 0 {
		return listing, f.Filter.Nothing(source, listing)
	}
	return listing, nil
}

// indexesIn returns the indexes of backups in a listing, which may be nil. A backup below
// another one comes first, and keeps its states.
func indexesIn(listing *backend.Listing) []backend.Skip {
	if listing == nil {
		return nil
	}
	var indexes []backend.Skip
	for _, skip := range listing.Skipped {
		if skip.Code == backend.SkipBackupIndex {
			indexes = append(indexes, skip)
		}
	}
	slices.SortStableFunc(indexes, func(a, b backend.Skip) int { return strings.Count(b.Name, "/") - strings.Count(a.Name, "/") })
	return indexes
}

// takeCopies makes a filtered listing have all files of its backups, which are among all.
func takeCopies(listing *backend.Listing, all []backend.State, indexes []backend.Skip) {
	inBackup := func(s backend.State) bool {
		return slices.ContainsFunc(indexes, func(index backend.Skip) bool {
			directory, _, _ := strings.Cut(index.Name, backend.BackupIndex)
			return strings.HasPrefix(s.Address(), directory)
		})
	}
	listing.States = slices.DeleteFunc(listing.States, inBackup)
	for _, s := range all {
		if inBackup(s) {
			listing.States = append(listing.States, s)
		}
	}
}

// restore replaces the files of backups in a listing by the newest version of each state that
// their indexes name. A backup holds more files than it has states.
func (f *Finder) restore(ctx context.Context, listing *backend.Listing, indexes []backend.Skip) error {
	var missing []backend.Skip
	for _, skip := range indexes {
		index, err := f.index(ctx, skip.Name)
		if err != nil {
			return err
		}
		newest := map[string]*backup.Entry{}
		for _, e := range index.States {
			if v := e.Newest(); v != nil && f.Filter.TakesName(e.Name) {
				newest[v.File] = e
			}
		}
		directory, _, _ := strings.Cut(skip.Name, backend.BackupIndex)
		missing = append(missing, missingCopies(skip.Name, newest, listing.States)...)
		kept := listing.States[:0]
		for _, state := range listing.States {
			if _, done := state.(*restored); done || !strings.HasPrefix(state.Address(), directory) {
				kept = append(kept, state)
			} else if e := entryOf(newest, state.Place().Key); e != nil {
				kept = append(kept, &restored{State: state, place: placeOf(e, state.Place()), entry: e})
			}
		}
		listing.States = kept
	}
	listing.Skipped = slices.DeleteFunc(listing.Skipped, func(s backend.Skip) bool { return s.Code == backend.SkipBackupIndex })
	listing.Skipped = append(listing.Skipped, missing...)
	listing.Sort()
	return nil
}

// missingCopies returns the files that the index at an address names and a listing lacks.
func missingCopies(index string, newest map[string]*backup.Entry, listed []backend.State) []backend.Skip {
	directory, parameters, _ := strings.Cut(index, backend.BackupIndex)
	found := map[*backup.Entry]bool{}
	for _, state := range listed {
		if strings.HasPrefix(state.Address(), directory) {
			found[entryOf(newest, state.Place().Key)] = true
		}
	}
	var missing []backend.Skip
	for _, file := range slices.Sorted(maps.Keys(newest)) {
		if !found[newest[file]] {
			missing = append(missing, backend.Skip{Name: directory + file + parameters, Code: backend.SkipUnreadable,
				Reason: "is missing, although the index of the backup names it: the newest version of " + newest[file].Name + " is lost, unless you restore this file"})
		}
	}
	return missing
}

// entryOf returns the entry whose file a key ends in. What is before it leads to the backup.
func entryOf(newest map[string]*backup.Entry, key string) *backup.Entry {
	for {
		if e := newest[key]; e != nil {
			return e
		}
		_, below, deeper := strings.Cut(key, "/")
		if !deeper {
			return nil
		}
		key = below
	}
}

// index reads the index of a backup.
func (f *Finder) index(ctx context.Context, address string) (*backup.Index, error) {
	listing, err := f.Kinds.Find(ctx, address, backend.Filter{})
	if err != nil {
		return nil, err
	}
	in, _, err := listing.States[0].Open(ctx, nil)
	if err != nil {
		return nil, err
	}
	index, err := backup.ReadIndex(in)
	if closed := in.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, mistakef("%s %v", backend.Printable(address), err)
	}
	return index, nil
}

// placeOf returns the place of a state that was backed up: that of a workspace, or its path.
func placeOf(e *backup.Entry, at backend.Place) backend.Place {
	if e.Workspace.Organization != "" {
		return backend.Place{Organization: e.Workspace.Organization, Project: e.Workspace.Project, Workspace: e.Name, Key: e.Name, Base: "terraform", Root: at.Root, Searched: at.Searched}
	}
	dir, base := path.Split(e.Name)
	return backend.Place{Dir: strings.TrimSuffix(dir, "/"), Base: strings.TrimSuffix(base, backend.StateExt), Key: e.Name, Bucket: at.Bucket,
		Workspace: backend.DefaultWorkspace, Root: at.Root, Searched: at.Searched}
}

// asBackedUp fills in the settings that a missing workspace is created with: those that it had
// when it was backed up, unless the user names others.
func (r *restored) asBackedUp(s migrate.Settings) migrate.Settings {
	o, was := &s.CreateOptions, r.entry.Workspace
	if o.Project == "" && was.Project != "Default Project" { // every organization has one
		o.Project = was.Project
	}
	if o.ExecutionMode == "" && was.ExecutionMode != "agent" { // whose pool is not in the backup
		o.ExecutionMode = was.ExecutionMode
	}
	if o.TerraformVersion == migrate.FromState && was.TerraformVersion != "" {
		o.TerraformVersion = was.TerraformVersion
	}
	if len(o.Tags) == 0 {
		o.Tags = append(o.Tags, was.Tags...)
	}
	return s
}
