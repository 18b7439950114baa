// Package backup copies states, with all bytes as they are, to a place of immutable files and
// an index of them. It is independent of the kinds of backends.
package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"tfhaul/backend"
)

// Format is the index's format. A later one that this program cannot read has another number.
const Format = "tfhaul-backup/1"

// maxIndex limits how much of an index is read: 256 MiB, which is about a million versions.
const maxIndex = 256 << 20

// An Index lists what a backup holds. It never names a file that is not there.
type Index struct {
	Format string `json:"format"`
	// Source is the address that was backed up.
	Source string `json:"source"`
	// Updated is when the index was written.
	Updated time.Time `json:"updated"`
	// States are sorted by name.
	States []*Entry `json:"states"`
}

// An Entry is a state that has been backed up.
type Entry struct {
	// Name is the workspace's name, or the state's path or key. The files are in a directory
	// of this name.
	Name string `json:"name"`
	// Source is the state's address.
	Source string `json:"source"`
	// Workspace has the settings of a workspace.
	Workspace backend.WorkspaceInfo `json:"workspace,omitzero"`
	// Variables are the workspace's, without the values of sensitive ones. They are recorded
	// only on request.
	Variables []backend.Variable `json:"variables,omitempty"`
	// Current is the ID of the version that was current at the last backup.
	Current string `json:"current"`
	// Gone is when a backup first found that the state no longer exists.
	Gone time.Time `json:"gone,omitzero"`
	// Versions are sorted by time, newest first.
	Versions []Version `json:"versions"`
}

// A Version is one version of a state.
type Version struct {
	ID      string    `json:"id"`
	Serial  int64     `json:"serial"`
	Lineage string    `json:"lineage,omitempty"`
	MD5     string    `json:"md5,omitempty"`
	Size    int64     `json:"size"` // in bytes
	Created time.Time `json:"created,omitzero"`
	// File is the path below the backup; "" for a gap.
	File string `json:"file,omitempty"`
	// Marks are what is special about the bytes: why tfhaul would not move them, "empty",
	// "unusable", or "new-lineage" if the version before has another lineage.
	Marks []string `json:"marks,omitempty"`
	// Gap is why the version could not be read. The next backup tries again.
	Gap string `json:"gap,omitempty"`
}

// Newest returns the version that was current at the last backup, or else the newest one; nil
// if no version is stored.
func (e *Entry) Newest() *Version {
	var newest *Version
	for i := range e.Versions {
		switch v := &e.Versions[i]; {
		case v.File == "":
		case v.ID == e.Current:
			return v
		case newest == nil:
			newest = v
		}
	}
	return newest
}

// has reports whether a version is stored.
func (e *Entry) has(id string) bool {
	return slices.ContainsFunc(e.Versions, func(v Version) bool { return v.ID == id && v.File != "" })
}

// add records a version, in place of a gap.
func (e *Entry) add(v Version) {
	e.Versions = slices.DeleteFunc(e.Versions, func(other Version) bool { return other.ID == v.ID })
	e.Versions = append(e.Versions, v)
	slices.SortStableFunc(e.Versions, func(a, b Version) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.Serial, a.Serial))
	})
	for i := range e.Versions {
		older, before := i+1, slices.DeleteFunc(slices.Clone(e.Versions[i].Marks), func(m string) bool { return m == markNewLineage })
		if older < len(e.Versions) && differ(e.Versions[i].Lineage, e.Versions[older].Lineage) {
			before = append(before, markNewLineage)
		}
		e.Versions[i].Marks = before
	}
}

func differ(a, b string) bool { return a != "" && b != "" && a != b }

// entry returns the entry of a state, and creates it if necessary.
func (x *Index) entry(name string) *Entry {
	at, found := slices.BinarySearchFunc(x.States, name, func(e *Entry, name string) int { return cmp.Compare(e.Name, name) })
	if !found {
		x.States = slices.Insert(x.States, at, &Entry{Name: name})
	}
	return x.States[at]
}

// ErrNotIndex is returned for a file with the index's name that is not an index.
var ErrNotIndex = errors.New("is not the index of a tfhaul backup")

// ReadIndex reads an index.
func ReadIndex(r io.Reader) (*Index, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxIndex+1))
	if err != nil {
		return nil, err
	}
	var x Index
	switch {
	case len(text) > maxIndex:
		return nil, fmt.Errorf("%w: it is larger than %d MiB", ErrNotIndex, maxIndex>>20)
	case json.Unmarshal(text, &x) != nil || !strings.HasPrefix(x.Format, "tfhaul-backup/"):
		return nil, ErrNotIndex
	case x.Format != Format:
		return nil, fmt.Errorf("has the format %q of a newer tfhaul: use that version or a later one", x.Format)
	}
	for _, e := range x.States {
		if e == nil {
			return nil, ErrNotIndex
		}
		for _, v := range e.Versions {
			if v.File != "" && (path.Clean("/"+v.File) != "/"+v.File || !strings.HasSuffix(v.File, backend.StateExt)) {
				return nil, fmt.Errorf("%w: it names the file %q", ErrNotIndex, v.File)
			}
		}
	}
	slices.SortFunc(x.States, func(a, b *Entry) int { return cmp.Compare(a.Name, b.Name) })
	return &x, nil
}

// load reads the index of a place; its version is nil if none is stored.
func load(ctx context.Context, place backend.Objects) (*Index, *backend.Version, error) {
	in, version, err := place.GetObject(ctx, backend.BackupIndex)
	if backend.CodeOf(err) == backend.NoState {
		return &Index{Format: Format}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	x, err := ReadIndex(in)
	if closed := in.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s %w", place.Address(backend.BackupIndex), err)
	}
	return x, version, nil
}

// save writes the index in place of the version was, and returns its version.
func (x *Index) save(ctx context.Context, place backend.Objects, was *backend.Version) (*backend.Version, error) {
	text, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		return nil, err
	}
	sum := md5.Sum(text)
	o := backend.Object{Was: was, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text)), nil
	}}
	version, err := place.PutObject(ctx, backend.BackupIndex, o)
	switch backend.CodeOf(err) {
	case backend.Ambiguous:
		if stored, now, read := digest(ctx, place, backend.BackupIndex); read == nil && stored == o.MD5 {
			return now, nil
		}
	case backend.Changed:
		return nil, fmt.Errorf("another backup wrote %s at the same time: let it finish, then run this one again", place.Address(backend.BackupIndex))
	}
	return version, err
}

// digest reads a file and returns its MD5.
func digest(ctx context.Context, place backend.Objects, name string) (string, *backend.Version, error) {
	in, version, err := place.GetObject(ctx, name)
	if err != nil {
		return "", nil, err
	}
	sum := md5.New()
	_, err = io.Copy(sum, in)
	return hex.EncodeToString(sum.Sum(nil)), version, errors.Join(err, in.Close())
}
