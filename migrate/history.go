package migrate

import (
	"context"
	"io"
	"slices"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// A History describes what a move does, or did, with the older versions of a state.
type History struct {
	// Versions counts the older versions that belong to the move, and Moved those that arrived.
	Versions int `json:"versions"`
	Moved    int `json:"moved"`
	// APICalls estimates the API calls that the older versions add to the move, and LockCycles
	// how often they lock the target.
	APICalls   int `json:"api_calls"`
	LockCycles int `json:"lock_cycles,omitempty"`
	// Carried are the versions that arrived, oldest first. The journal has an event for each
	// instead.
	Carried []Carried `json:"carried,omitempty"`
}

// A Carried is an older version that arrived. Created, Author and Run are those of the source:
// the new version has its own.
type Carried struct {
	Serial int64  `json:"serial"`
	MD5    string `json:"md5"`
	Size   int64  `json:"size"`
	// SourceID and ID are the version's IDs at the source and at the target.
	SourceID string `json:"source_version_id"`
	ID       string `json:"state_version_id"`
	// Target is where the version is, if it has a place of its own.
	Target  string    `json:"target,omitempty"`
	Created time.Time `json:"created_at,omitzero"`
	Author  string    `json:"author,omitempty"`
	Run     string    `json:"run,omitempty"`
}

// A history is what a move carries before the current version, oldest first.
type history struct {
	versions []olderVersion
	skipped  int // versions that only repeat the next one
	missing  int // versions with places of their own that hold nothing
	calls    int // that reading it takes
}

// An olderVersion is an older version of a source.
type olderVersion struct {
	version  backend.Version
	snapshot statefile.Snapshot // only what its header says
}

// light returns a history for a plan, which must not grow with what kinds know of versions.
func (h *history) light() *history {
	if h == nil {
		return nil
	}
	light := *h
	light.versions = slices.Clone(h.versions)
	for i := range light.versions {
		light.versions[i].version.Detail = nil
	}
	return &light
}

// An older is the source of an older version's move.
type older struct {
	backend.State
	version *backend.Version
}

func (o older) Holder(context.Context) (*backend.Lock, error) { return nil, nil }

// Check returns nil: versions do not change, and the bytes are compared when they are sent.
func (o older) Check(context.Context, backend.Version) error { return nil }

// Open reads the version, whatever is asked for.
func (o older) Open(ctx context.Context, _ *backend.Version) (io.ReadCloser, backend.Version, error) {
	return o.State.Open(ctx, o.version)
}

// decideHistory refuses to write older versions where they do not belong, and estimates what
// they take.
func (x *execution) decideHistory(ctx context.Context) error {
	if !x.wantsHistory() {
		return nil
	}
	if err := x.readHistory(ctx); err != nil {
		return err
	}
	versions := x.history.versions
	x.result.History = &History{Versions: len(versions)}
	if len(versions) == 0 {
		x.note("The source has no older versions to move.")
		return nil
	}
	target, ok := x.Target.(backend.HistoryTarget)
	if !ok {
		return x.stopf(CodeNoHistory, "The target cannot store older versions. Move without %s.", x.setting("history", ""))
	}
	before := backend.CallsSoFar(ctx)
	if err := x.resumeHistory(ctx, target); err != nil {
		return err
	}
	again := x.history.calls + backend.CallsSoFar(ctx) - before // the move reads and looks again
	left := len(versions) - x.result.History.Moved
	x.result.History.APICalls = again + target.HistoryCalls(left)
	if !x.apart(target) {
		x.result.History.LockCycles = left
	}
	return nil
}

// apart reports whether the target keeps older versions apart from the current one.
func (x *execution) apart(target backend.HistoryTarget) bool {
	v := x.history.versions[0]
	name, err := target.OlderName(x.Move.Workspace, v.snapshot.Serial, v.version.ID)
	return err != nil || name != x.Move.Workspace
}

// carried returns what is recorded of a version that arrived.
func (v *olderVersion) carried(id, target string) Carried {
	return Carried{
		Serial: v.snapshot.Serial, MD5: v.snapshot.MD5, Size: v.snapshot.Size, SourceID: v.version.ID, ID: id, Target: target,
		Created: v.version.Created, Author: v.version.Author, Run: v.version.Run,
	}
}

// forecast describes what would be moved, and what that takes.
func (h *History) forecast() string {
	text := plainwords.Counted(h.Versions-h.Moved, "older version") + " would be moved before it"
	if h.APICalls > 0 {
		text += ", with about " + plainwords.Counted(h.APICalls, "API call")
	}
	return text + "."
}
