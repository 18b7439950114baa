package pairing

import (
	"context"
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

// restore replaces the files of backups in a listing by the newest version of each state that
// their indexes name. A backup holds more files than it has states.
func (f *Finder) restore(ctx context.Context, listing *backend.Listing) error {
	for _, skip := range listing.Skipped {
		if skip.Code != backend.SkipBackupIndex {
			continue
		}
		index, err := f.index(ctx, skip.Name)
		if err != nil {
			return err
		}
		newest := map[string]*backup.Entry{}
		for _, e := range index.States {
			if v := e.Newest(); v != nil {
				newest[v.File] = e
			}
		}
		directory, _, _ := strings.Cut(skip.Name, backend.BackupIndex)
		kept := listing.States[:0]
		for _, state := range listing.States {
			if !strings.HasPrefix(state.Address(), directory) {
				kept = append(kept, state)
			} else if e := entryOf(newest, state.Place().Key); e != nil {
				kept = append(kept, &restored{State: state, place: placeOf(e, state.Place()), entry: e})
			}
		}
		listing.States = kept
	}
	listing.Skipped = slices.DeleteFunc(listing.Skipped, func(s backend.Skip) bool { return s.Code == backend.SkipBackupIndex })
	listing.Sort()
	return nil
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
		return backend.Place{Organization: e.Workspace.Organization, Project: e.Workspace.Project, Workspace: e.Name, Key: e.Name, Base: "terraform", Root: at.Root}
	}
	dir, base := path.Split(e.Name)
	return backend.Place{Dir: strings.TrimSuffix(dir, "/"), Base: strings.TrimSuffix(base, backend.StateExt), Key: e.Name, Bucket: at.Bucket,
		Workspace: backend.DefaultWorkspace, Root: at.Root}
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
