// Package audit says what state exists and what is wrong with it. It reads
// states from backends, has statefile look into them, and judges what it
// saw: each one alone, and all of them together. It needs no Terraform, no target
// and no permission to write, knows nothing of flags or terminals, and keeps no
// value of a state: what it returns holds header fields, names of types, providers
// and outputs, and counts.
package audit

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/statefile"
)

// Options say what is looked at, and how. Kinds must be set.
type Options struct {
	// Kinds are the kinds of backends that sources may be of.
	Kinds backend.Kinds
	// Filter narrows what a search takes.
	Filter backend.Filter
	// Parallelism is how many files of this machine are read at a time, and
	// RemoteParallelism how many objects of servers, where waiting costs more than
	// reading. 0 means as many as there are processors, and DefaultRemoteParallelism.
	Parallelism, RemoteParallelism int
	// Large is the size in bytes from which a state is very large; 0 means
	// DefaultLarge.
	Large int64
	// OldestTerraform is the lowest version that the target still runs; "" means
	// DefaultOldestTerraform.
	OldestTerraform string
	// Now is when the audit takes place, by which ages are judged; zero means the
	// present.
	Now time.Time
	// Progress, if not nil, receives the numbers of files read and of all files. Calls do
	// not overlap.
	Progress func(done, total int)
}

// The defaults of Options.
const (
	DefaultRemoteParallelism = 32
	// DefaultLarge is 16 MiB: Terraform holds a state of that size in memory several times over,
	// and sends it whole at every apply.
	DefaultLarge = 16 << 20
	// DefaultOldestTerraform is the first version whose language and state stay
	// compatible (https://developer.hashicorp.com/terraform/language/v1-compatibility-promises).
	DefaultOldestTerraform = "1.0.0"
)

// An Inventory is what an audit found.
type Inventory struct {
	// Taken is when.
	Taken time.Time
	// Sources are what was asked for.
	Sources []string
	// Snapshots are the files that were taken for states, in the order of the
	// sources and by name within each: errored.tfstate too, backups not.
	Snapshots []Snapshot
	// Findings are ordered by severity, code and place.
	Findings []Finding
	// Skipped counts what was found and not taken, by the codes of backend.Skip.
	Skipped map[string]int
}

// Take takes the inventory of sources, as a user names them. Whatever is wrong with
// a single file is a Finding. The error is one that concerns a whole source: one of
// package backend's, or ctx's. What is returned does not depend on the order in which
// files were read.
//
// Memory grows with the number of states and of their resources (about a kilobyte a state
// and 20 bytes an instance), not with their size.
func Take(ctx context.Context, sources []string, o Options) (*Inventory, error) {
	o.Now = cmp.Or(o.Now, time.Now())
	o.Large = cmp.Or(o.Large, DefaultLarge)
	o.OldestTerraform = cmp.Or(o.OldestTerraform, DefaultOldestTerraform)
	o.Parallelism = cmp.Or(max(o.Parallelism, 0), runtime.GOMAXPROCS(0))
	o.RemoteParallelism = cmp.Or(max(o.RemoteParallelism, 0), DefaultRemoteParallelism)

	t := &taking{Options: o, ids: newSharedIDs(), skipped: map[string]int{}}
	if err := t.find(ctx, sources); err != nil {
		return nil, err
	}
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	if err := t.readContents(ctx); err != nil {
		return nil, err
	}
	judge := newJudge(t)
	judge.all(ctx)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	inventory := &Inventory{Taken: o.Now, Sources: sources, Skipped: t.skipped}
	for _, f := range t.files {
		if f.role != roleBackup {
			inventory.Snapshots = append(inventory.Snapshots, f.Snapshot)
		}
	}
	inventory.Add(judge.findings)
	return inventory, nil
}

// Add adds findings in their places, and tells each snapshot which concern it.
func (i *Inventory) Add(findings []Finding) {
	i.Findings = append(i.Findings, findings...)
	SortFindings(i.Findings)
	concerned := map[string][]Code{}
	for _, f := range i.Findings {
		for _, name := range f.Sources {
			if !slices.Contains(concerned[name], f.Code) {
				concerned[name] = append(concerned[name], f.Code)
			}
		}
	}
	for k := range i.Snapshots {
		if codes := concerned[i.Snapshots[k].Source]; codes != nil {
			i.Snapshots[k].Findings = codes
		}
	}
}

// A taking is an inventory in the making.
type taking struct {
	Options
	files   []*file
	locks   []backend.Skip // lock files that were found
	odd     []backend.Skip // other skipped files that should be reported
	ids     *sharedIDs
	skipped map[string]int

	mu       sync.Mutex
	contents map[string]*statefile.Content // by MD5; see readContents
}

// find lists what is to be read.
func (t *taking) find(ctx context.Context, sources []string) error {
	seen, told, places := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, ref := range sources {
		listing, err := t.Kinds.Find(ctx, ref, t.Filter)
		var none *backend.NoMatchError
		if errors.As(err, &none) && t.worthTelling(listing) {
			err = nil
		}
		if err != nil {
			return err
		}
		found := make([]*file, 0, len(listing.States))
		for _, object := range listing.States {
			// A search skips errored.tfstate, but a user can name it.
			role := roleState
			if statefile.KindOfName(object.Place().Key) == statefile.KindErrored {
				role = roleErrored
			}
			found = append(found, newFile(object, role))
		}
		for _, skip := range listing.Skipped {
			if told[skip.Name] {
				continue
			}
			told[skip.Name] = true
			if skip.Code == backend.SkipErrored {
				// An audit takes what a search skips here.
				if errored := t.named(ctx, skip.Name, roleErrored); errored != nil {
					found = append(found, errored...)
					continue
				}
			}
			t.skipped[skip.Code]++
			switch skip.Code {
			case backend.SkipBackup:
				found = append(found, t.named(ctx, skip.Name, roleBackup)...)
			case backend.SkipLockFile:
				t.locks = append(t.locks, skip)
			case backend.SkipUnreadable, backend.SkipBrokenLink, backend.SkipNotRegular:
				t.odd = append(t.odd, skip)
			}
		}
		slices.SortStableFunc(found, func(a, b *file) int { return cmp.Compare(a.object.Address(), b.object.Address()) })
		for _, f := range found {
			if seen[f.object.Address()] {
				continue
			}
			seen[f.object.Address()] = true
			if len(sources) > 1 {
				// Two sources may name one directory in two ways: that makes no copies.
				place := placeOf(f.object)
				if places[place] {
					t.skipped[backend.SkipDuplicate]++
					continue
				}
				places[place] = true
			}
			t.files = append(t.files, f)
		}
	}
	return nil
}

// placeOf returns the real location of a file, as far as it is known.
func placeOf(object backend.State) string {
	name := object.Address()
	if !object.Traits().Local {
		return name
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return name
	}
	if absolute, err := filepath.Abs(real); err == nil {
		return absolute
	}
	return real
}

// worthTelling reports whether a search that found no state found anything worth
// reporting.
func (t *taking) worthTelling(listing *backend.Listing) bool {
	return listing != nil && slices.ContainsFunc(listing.Skipped, func(s backend.Skip) bool {
		return s.Code == backend.SkipErrored || s.Code == backend.SkipUnreadable
	})
}

// named finds a file that a search has skipped. It ignores files that no longer exist.
func (t *taking) named(ctx context.Context, name string, role role) []*file {
	listing, err := t.Kinds.Find(ctx, name, t.Filter)
	if err != nil || len(listing.States) != 1 {
		return nil
	}
	return []*file{newFile(listing.States[0], role)}
}
