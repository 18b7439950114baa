package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tfhaul/backend"
	"tfhaul/crash"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// Options are what to back up, and where.
type Options struct {
	// Source is the address that was searched, and Listing what was found there.
	Source  string
	Listing *backend.Listing
	// Whole means that the search had no patterns: a state that is in the index and not in
	// the listing no longer exists.
	Whole bool
	// Place is where the copies go.
	Place backend.Objects
	// Parallelism is how many states are copied at a time; at least 1.
	Parallelism int
	// History is how many versions of each state are copied, the current one included; 0
	// means the current one alone, and backend.AllVersions every one.
	History int
	// Keep is how many versions of each state the backup keeps; 0 means every one.
	Keep int
	// Variables records the variables of workspaces, without sensitive values.
	Variables bool
	// DryRun copies nothing.
	DryRun bool
	// Progress, if not nil, is called after each state. Calls do not overlap.
	Progress func(Item)
}

// An Outcome is the result for one state.
type Outcome string

// The outcomes. They are part of the JSON output.
const (
	Stored    Outcome = "stored"    // at least one new version
	ToStore   Outcome = "to-store"  // in a dry run
	Unchanged Outcome = "unchanged" // nothing was new
	Gap       Outcome = "gap"       // a version can no longer be read at the source
	Failed    Outcome = "failed"    // a version could not be copied; the next backup tries again
	NotTried  Outcome = "not-tried" // the backup ended before
)

// An Item is the result for one state.
type Item struct {
	Name    string  `json:"name"`
	Source  string  `json:"source"`
	Outcome Outcome `json:"outcome"`
	// Stored are the versions that are new in the backup, oldest first.
	Stored []Version `json:"stored,omitempty"`
	// Removed counts the versions that --keep removed.
	Removed int    `json:"removed,omitempty"`
	Message string `json:"message,omitempty"`
}

const (
	markEmpty      = "empty"
	markUnusable   = "unusable"
	markNewLineage = "new-lineage"
)

// savedAfter is how many states are copied between two writes of the index.
const savedAfter = 50

// A run is one backup.
type run struct {
	Options
	index *Index

	mu       sync.Mutex
	version  *backend.Version // of the stored index; nil if none is stored
	changed  bool             // the index since it was written
	unsaved  int              // states
	items    []Item
	unwanted []string
}

// Run makes a backup. It returns an item for each state, and an error if the backup as a whole
// failed or ctx ended; the index has what was copied until then.
func Run(ctx context.Context, o Options) ([]Item, error) {
	index, version, err := load(ctx, o.Place)
	if err != nil {
		return nil, err
	}
	if index.Source != "" && index.Source != o.Source {
		return nil, fmt.Errorf("%s is a backup of %s: use another place for %s", o.Place.Address(backend.BackupIndex), index.Source, o.Source)
	}
	index.Source = o.Source
	r := &run{Options: o, index: index, version: version}
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	r.noteGone()
	err = r.copyAll(ctx)
	if saved := r.save(context.WithoutCancel(ctx)); err == nil {
		err = saved
	}
	if err == nil {
		err = r.removeUnwanted(ctx)
	}
	for _, state := range o.Listing.States[min(len(r.items), len(o.Listing.States)):] {
		if !slices.ContainsFunc(r.items, func(i Item) bool { return i.Source == state.Address() }) {
			r.items = append(r.items, Item{Name: nameOf(state), Source: state.Address(), Outcome: NotTried})
		}
	}
	slices.SortFunc(r.items, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return r.items, err
}

// begin writes the index of a new backup, and makes sure that the place honors both
// conditions of a write: that nothing is stored under the name, and that a given version is.
func (r *run) begin(ctx context.Context) error {
	if r.version != nil || r.DryRun {
		return nil
	}
	first, err := r.index.save(ctx, r.Place, nil)
	if err != nil {
		return err
	}
	r.version, r.changed = first, true
	if err := r.save(ctx); err != nil { // with another time
		return err
	}
	other := *r.index // a write of what is stored already would rightly count as arrived
	other.Updated = time.Time{}
	for _, was := range []*backend.Version{nil, first} {
		if _, err := other.save(ctx, r.Place, was); err == nil {
			return fmt.Errorf("%s ignores the conditions of conditional writes, so two concurrent backups could lose each other's copies: use a server that supports them", r.Place.Host())
		}
	}
	return ctx.Err() // both were refused, as they should be
}

// noteGone marks what no longer exists at the source.
func (r *run) noteGone() {
	present := map[string]bool{}
	for _, state := range r.Listing.States {
		present[nameOf(state)] = true
	}
	skipped := func(e *Entry) bool {
		return slices.ContainsFunc(r.Listing.Skipped, func(s backend.Skip) bool { return s.Name == e.Source })
	}
	for _, e := range r.index.States {
		present[e.Name] = present[e.Name] || skipped(e)
		switch {
		case present[e.Name] && !e.Gone.IsZero():
			e.Gone, r.changed = time.Time{}, true
		case !present[e.Name] && r.Whole && e.Gone.IsZero():
			e.Gone, r.changed = time.Now().UTC().Truncate(time.Second), true
		}
	}
}

// copyAll copies what is new of every state.
func (r *run) copyAll(ctx context.Context) error {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Parallelism, 1))
	for _, state := range r.Listing.States {
		if within.Err() != nil {
			break
		}
		group.Go(func() error {
			defer crash.Catch(ctx)
			item, err := r.copyState(within, state)
			if err == nil && within.Err() != nil {
				err = within.Err()
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if item.Outcome != "" {
				r.items = append(r.items, item)
				if r.Progress != nil {
					r.Progress(item)
				}
			}
			if r.unsaved++; err == nil && r.unsaved >= savedAfter {
				err = r.saveLocked(within)
			}
			return err
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// save writes the index if it changed.
func (r *run) save(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.saveLocked(ctx)
}

func (r *run) saveLocked(ctx context.Context) error {
	r.unsaved = 0
	if !r.changed || r.DryRun {
		return nil
	}
	r.index.Updated = time.Now().UTC().Truncate(time.Second)
	version, err := r.index.save(ctx, r.Place, r.version)
	if err != nil {
		return err
	}
	r.version, r.changed = version, false
	return nil
}

// maxElement is how long each element of a path may be on most file systems, in bytes.
const maxElement = 255

// nameOf returns the name of a state's directory in the backup: its key, or, if that is not a
// path that every place keeps as it is, a similar path that no other key has.
func nameOf(state backend.State) string {
	key := state.Place().Key
	if state.Traits().Local { // an absolute path
		key = strings.TrimPrefix(key, "/")
	}
	elements := strings.Split(key, "/")
	long := func(element string) bool { return len(element) > maxElement }
	if fs.ValidPath(key) && key != "." && !strings.ContainsRune(key, 0) && elements[0] != backend.BackupIndex && !slices.ContainsFunc(elements, long) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	mark := "-" + hex.EncodeToString(sum[:8])
	similar := strings.ToValidUTF8(strings.ReplaceAll(key, "\x00", ""), "")
	dir, base := path.Split(strings.TrimPrefix(path.Clean("/"+similar), "/"))
	if long(base+mark) || elements[0] == backend.BackupIndex || slices.ContainsFunc(strings.Split(dir, "/"), long) {
		return "state" + mark
	}
	named, isFile := strings.CutSuffix(base, backend.StateExt)
	if isFile {
		mark += backend.StateExt
	}
	return dir + named + mark
}

// copyState copies what is new of one state. Its error ends the backup.
func (r *run) copyState(ctx context.Context, state backend.State) (Item, error) {
	item := Item{Name: nameOf(state), Source: state.Address(), Outcome: Unchanged}
	r.describe(ctx, state, &item)
	var (
		wanted []*backend.Version
		newest string
	)
	for v, err := range r.wanted(ctx, state) {
		if err != nil {
			return r.failed(ctx, item, nil, err)
		}
		wanted = append(wanted, v)
	}
	for _, v := range slices.Backward(wanted) {
		if r.stored(item.Name, v) {
			continue
		}
		if r.DryRun {
			item.Outcome = ToStore
			continue
		}
		id, copied, err := r.copyVersion(ctx, state, item.Name, v)
		if err != nil {
			// Newer versions are still copied: a gap may last forever.
			if item, err = r.failed(ctx, item, v, err); err != nil {
				return item, err
			}
			continue
		}
		if copied != nil {
			r.record(item.Name, *copied)
			item.Stored = append(item.Stored, *copied)
		}
		newest = id
	}
	if len(item.Stored) > 0 && item.Outcome == Unchanged {
		item.Outcome = Stored
	}
	if len(wanted) > 0 && wanted[0] != nil {
		newest = wanted[0].ID
	}
	if !r.DryRun {
		r.current(item.Name, newest)
	}
	if item.Outcome != Failed {
		item.Removed = r.dropOld(item.Name)
	}
	return item, nil
}

// wanted returns the versions to have, newest first. The only one is nil if the listing did
// not report it.
func (r *run) wanted(ctx context.Context, state backend.State) func(yield func(*backend.Version, error) bool) {
	return func(yield func(*backend.Version, error) bool) {
		if historic, ok := state.(backend.Historic); ok && r.History != 0 && r.History != 1 {
			n := 0
			for v, err := range historic.Versions(ctx) {
				if n++; !yield(v, err) || err != nil || n == r.History {
					return
				}
			}
			return
		}
		if listed, ok := state.(backend.Listed); ok {
			yield(listed.Listed(), nil)
			return
		}
		yield(nil, nil)
	}
}

// stored reports whether the backup has a version.
func (r *run) stored(name string, v *backend.Version) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return v != nil && r.index.entry(name).has(v.ID)
}

// describe records a workspace's settings, which a listing reports, and on request its
// variables.
func (r *run) describe(ctx context.Context, state backend.State, item *Item) {
	described, ok := state.(backend.Described)
	var variables []backend.Variable
	var err error
	if ok && r.Variables && !r.DryRun {
		variables, err = described.Variables(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.index.entry(item.Name)
	if e.Source != item.Source {
		e.Source, r.changed = item.Source, true
	}
	if !ok {
		return
	}
	if now := described.Workspace(); !sameInfo(e.Workspace, now) {
		e.Workspace, r.changed = now, true
	}
	switch {
	case err != nil:
		item.Message = "Its variables could not be read: " + plainwords.Sentence(err.Error())
	case r.Variables && !slices.Equal(e.Variables, variables):
		e.Variables, r.changed = variables, true
	}
}

func sameInfo(a, b backend.WorkspaceInfo) bool {
	tags := slices.Equal(a.Tags, b.Tags)
	a.Tags, b.Tags = nil, nil
	return tags && fmt.Sprint(a) == fmt.Sprint(b)
}

// record adds a version to the index.
func (r *run) record(name string, v Version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index.entry(name).add(v)
	r.changed = true
}

// failed returns the item of a state that could not be copied. A version that the source no
// longer gives is a gap; other failures may pass.
func (r *run) failed(ctx context.Context, item Item, v *backend.Version, err error) (Item, error) {
	if ctx.Err() != nil {
		return Item{}, ctx.Err()
	}
	if ends, ok := errors.AsType[*endError](err); ok {
		return Item{}, ends.err
	}
	if item.Outcome != Gap && item.Outcome != Failed { // the message about one version is enough
		item.Message = strings.TrimSpace(item.Message + " " + plainwords.Sentence(err.Error()))
	}
	outcome := Failed
	_, changed := errors.AsType[*backend.ChangedError](err)
	switch code := backend.CodeOf(err); {
	case changed, code == backend.NoState, code == backend.Failed, code == backend.KeyDenied, code == backend.Archived, code == backend.NoBytesYet:
		outcome = Gap
		if v != nil && v.ID != "" {
			r.record(item.Name, Version{ID: v.ID, Serial: v.Serial, Size: v.Size, Created: v.Created, Gap: err.Error()})
		}
	}
	if item.Outcome != Failed {
		item.Outcome = outcome
	}
	return item, nil
}

// An endError ends the backup, because every other state would fail the same way.
type endError struct{ err error }

func (e *endError) Error() string { return e.err.Error() }
func (e *endError) Unwrap() error { return e.err }

// copyVersion copies one version, or the current one if v is nil, and returns its ID. It
// copies nothing if the backup already has it.
func (r *run) copyVersion(ctx context.Context, state backend.State, name string, v *backend.Version) (string, *Version, error) {
	body, at, err := state.Open(ctx, v)
	if err != nil {
		return "", nil, err
	}
	lasting := !state.Traits().Local // a file has no ID that lasts
	if lasting && r.stored(name, &at) {
		return at.ID, nil, body.Close()
	}
	snapshot, err := statefile.ReadWhole(body)
	refused, isRefused := errors.AsType[*statefile.Error](err)
	if closed := body.Close(); err == nil || isRefused {
		err = closed
	}
	if err != nil {
		return "", nil, err
	}
	id := at.ID
	if !lasting {
		id = snapshot.MD5
	}
	if r.stored(name, &backend.Version{ID: id}) {
		return id, nil, nil
	}
	copied := &Version{ID: id, Serial: snapshot.Serial, Lineage: snapshot.Lineage, MD5: snapshot.MD5, Size: snapshot.Size,
		Created: at.Created, File: name + "/" + fileName(id) + backend.StateExt, Marks: marks(snapshot, refused)}
	if copied.Serial == 0 {
		copied.Serial = at.Serial
	}
	object := backend.Object{MD5: snapshot.MD5, Size: snapshot.Size, Open: func(ctx context.Context) (io.ReadCloser, error) {
		again, _, err := state.Open(ctx, &at)
		return again, err
	}}
	if err := r.put(ctx, copied.File, object); err != nil {
		return "", nil, err
	}
	return id, copied, nil
}

// current records which version is the current one.
func (r *run) current(name, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.index.entry(name); id != "" && e.Current != id {
		e.Current, r.changed = id, true
	}
}

// marks returns what is special about a state.
func marks(s *statefile.Snapshot, refused *statefile.Error) []string {
	var marks []string
	if refused != nil {
		return []string{refused.Code()}
	}
	if s.Empty() {
		marks = append(marks, markEmpty)
	}
	if _, _, unusable := s.Unusable(); unusable {
		marks = append(marks, markUnusable)
	}
	return marks
}

// safeName matches IDs that can be the name of a file on every system.
var safeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)

// fileName returns the name of a version's file, without its extension.
func fileName(id string) string {
	if safeName.MatchString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// put stores a file that does not exist yet, reads it back and compares it. A backup that was
// interrupted may have stored it already.
func (r *run) put(ctx context.Context, name string, o backend.Object) error {
	_, err := r.Place.PutObject(ctx, name, o)
	if backend.CodeOf(err) == backend.Ambiguous {
		if _, _, read := digest(ctx, r.Place, name); backend.CodeOf(read) == backend.NoState {
			_, err = r.Place.PutObject(ctx, name, o)
		}
	}
	source, fromSource := errors.AsType[*backend.SourceError](err)
	switch code := backend.CodeOf(err); {
	case err == nil, code == backend.Changed, code == backend.Ambiguous:
	case fromSource && source.Changed:
		return &backend.ChangedError{Address: r.Place.Address(name), How: "the source returned other bytes the second time"}
	case fromSource:
		return source
	default:
		return &endError{fmt.Errorf("cannot write the backup: %w", err)}
	}
	stored, _, read := digest(ctx, r.Place, name)
	switch {
	case read != nil:
		return fmt.Errorf("cannot read back the copy %s: %w", r.Place.Address(name), read)
	case stored != o.MD5:
		return fmt.Errorf("the copy %s differs from this version: move it away, and run the backup again", r.Place.Address(name))
	}
	return nil
}

// dropOld takes the versions beyond Keep out of the index. Their files are removed when it has
// been written.
func (r *run) dropOld(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.index.entry(name)
	if r.Keep <= 0 || r.DryRun {
		return 0
	}
	kept, removed := 0, 0
	e.Versions = slices.DeleteFunc(e.Versions, func(v Version) bool {
		if v.File == "" {
			return false
		}
		if kept++; kept <= r.Keep || v.ID == e.Current {
			return false
		}
		removed++
		r.unwanted = append(r.unwanted, v.File)
		return true
	})
	r.changed = r.changed || removed > 0
	return removed
}

// removeUnwanted removes the files that the index no longer names. Files that an
// interruption leaves do no harm.
func (r *run) removeUnwanted(ctx context.Context) error {
	for _, name := range r.unwanted {
		if err := r.Place.RemoveObject(ctx, name); err != nil {
			return fmt.Errorf("the old version %s is no longer in the index but could not be removed: %w", r.Place.Address(name), err)
		}
	}
	return nil
}
