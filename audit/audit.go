// Package audit lists existing states and finds problems in them. It reads states from
// backends, inspects them with statefile, and judges each state on its own and all states
// together. It needs no Terraform, no target and no write permission, and does not know
// flags or terminals. It keeps no values of a state: it returns header fields, the names
// of types, providers and outputs, and counts.
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

// Options control what is audited, and how. Kinds must be set.
type Options struct {
	// Kinds are the supported kinds of backends.
	Kinds backend.Kinds
	// Filter limits what a search returns.
	Filter backend.Filter
	// Parallelism is how many local files are read at a time; 0 means the number of
	// processors. RemoteParallelism is the same for objects on servers, where waiting
	// takes longer than reading; 0 means DefaultRemoteParallelism.
	Parallelism, RemoteParallelism int
	// Large is the size in bytes from which a state counts as very large; 0 means
	// DefaultLarge.
	Large int64
	// OldestTerraform is the lowest version that the target supports; "" means
	// DefaultOldestTerraform.
	OldestTerraform string
	// ResourceCap is the highest number of billable resources that is wanted, and
	// ResourcePrice the price of one for an hour; 0 for none.
	ResourceCap   int
	ResourcePrice float64
	// Now is the time from which ages are computed; zero means the current time.
	Now time.Time
	// Progress, if not nil, is called with the number of files read so far and in total,
	// one call at a time.
	Progress func(done, total int)
}

// Defaults of Options.
const (
	DefaultRemoteParallelism = 32
	// DefaultLarge is 16 MiB: Terraform holds several copies of a state in memory, and
	// sends all of it with each apply.
	DefaultLarge = 16 << 20
	// DefaultOldestTerraform is the first version covered by Terraform's compatibility
	// promises
	// (https://developer.hashicorp.com/terraform/language/v1-compatibility-promises).
	DefaultOldestTerraform = "1.0.0"
)

// An Inventory is the result of an audit.
type Inventory struct {
	// Taken is when the audit ran.
	Taken time.Time
	// Sources are the sources that the user named.
	Sources []string
	// Snapshots are the state files, including errored.tfstate but not backups, in the
	// order of the sources and by name within each.
	Snapshots []Snapshot
	// Findings are ordered by severity, code and source.
	Findings []Finding
	// Skipped counts the files that were not audited, by the codes of backend.Skip.
	Skipped map[string]int
	// ResourceCap and ResourcePrice are those of the Options.
	ResourceCap   int
	ResourcePrice float64
	// Baseline is what a baseline did; nil without one.
	Baseline *Applied
}

// Take audits sources, given as a user types them. Problems with a single file are
// Findings; Take returns an error only if a whole source fails or ctx ends. The result
// does not depend on the order in which files are read.
//
// Memory grows with the number of states and resource instances (about a kilobyte per
// state and 20 bytes per instance), not with the size of states.
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
	inventory := &Inventory{Taken: o.Now, Sources: sources, Skipped: t.skipped, ResourceCap: o.ResourceCap, ResourcePrice: o.ResourcePrice}
	for _, f := range t.files {
		if f.role != roleBackup {
			inventory.Snapshots = append(inventory.Snapshots, f.Snapshot)
		}
	}
	inventory.Add(append(judge.findings, inventory.overCap()...))
	return inventory, nil
}

// New returns the findings that are in no baseline.
func (i *Inventory) New() []Finding {
	if i.Baseline == nil || i.Baseline.Known == 0 {
		return i.Findings
	}
	return slices.DeleteFunc(slices.Clone(i.Findings), func(f Finding) bool { return f.Known != nil })
}

// Add inserts findings in order, and adds their codes to the snapshots concerned.
func (i *Inventory) Add(findings []Finding) {
	i.Findings = append(i.Findings, findings...)
	SortFindings(i.Findings)
	i.fingerprints()
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

// Severities returns the most serious severity of each source with a finding.
func (i *Inventory) Severities() map[string]Severity {
	most := map[string]Severity{}
	for _, f := range i.Findings { // the most serious come first
		for _, name := range f.Sources {
			most[name] = cmp.Or(most[name], f.Severity)
		}
	}
	return most
}

// A taking is an inventory being taken.
type taking struct {
	Options
	files      []*file
	locks      []backend.Skip // lock files found by the searches
	noteworthy []backend.Skip // other skipped files that need a finding
	ids        *sharedIDs
	skipped    map[string]int

	mu       sync.Mutex
	contents map[string]*statefile.Content // by MD5; see readContents
}

// find lists the files to read.
func (t *taking) find(ctx context.Context, sources []string) error {
	seen, told, places := map[string]bool{}, map[string]bool{}, map[string]bool{}
	t.Kinds.Expect(sources)
	for _, ref := range sources {
		listing, err := t.Kinds.Find(ctx, ref, t.Filter)
		var none *backend.NoMatchError
		if errors.As(err, &none) && t.hasFindings(listing) {
			err = nil
		}
		if err != nil {
			return err
		}
		found := make([]*file, 0, len(listing.States))
		for _, object := range listing.States {
			// A search skips errored.tfstate, but the user may name it.
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
				// The audit reads errored.tfstate, which the search skips.
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
				t.noteworthy = append(t.noteworthy, skip)
			}
		}
		slices.SortStableFunc(found, func(a, b *file) int { return cmp.Compare(a.object.Address(), b.object.Address()) })
		for _, f := range found {
			if seen[f.object.Address()] {
				continue
			}
			seen[f.object.Address()] = true
			if len(sources) > 1 {
				// Two sources may name one directory in two ways. Its files are not
				// copies.
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

// placeOf returns a file's real path, as far as it is known.
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

// hasFindings reports whether a search without results still found something to report.
func (t *taking) hasFindings(listing *backend.Listing) bool {
	return listing != nil && slices.ContainsFunc(listing.Skipped, func(s backend.Skip) bool {
		return s.Code == backend.SkipErrored || s.Code == backend.SkipUnreadable
	})
}

// named returns a file that a search skipped, or nothing if the file no longer exists.
func (t *taking) named(ctx context.Context, name string, role role) []*file {
	listing, err := t.Kinds.Find(ctx, name, t.Filter)
	if err != nil || len(listing.States) != 1 {
		return nil
	}
	return []*file{newFile(listing.States[0], role)}
}
