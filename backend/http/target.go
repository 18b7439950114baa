package http

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"strconv"

	"tfhaul/backend"
)

// A target is what is below an address, or a project in GitLab, whose endpoints are states.
type target struct {
	server    *server
	container string
	at        func(name string) *state
	project   *project // in GitLab; nil elsewhere
}

// Traits implements backend.Target.
func (t *target) Traits() backend.Traits {
	if t.project != nil {
		return gitLabTraits
	}
	return traits
}

func (t *target) Host() string { return t.server.host }

func (t *target) Container() string { return t.container }

func (t *target) Address(name string) string { return t.at(name).address }

// Down implements backend.Target.
func (t *target) Down() bool { return t.server.wire.Down() }

// Close does nothing: targets share connections, which end when they are idle.
func (t *target) Close() {}

// List returns nil: a listing reports less than Look.
func (t *target) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

// Look implements backend.Target. A state exists for every name. Only GitLab shows its lock,
// and not to a job.
func (t *target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	s := t.at(name)
	standing := s.standing()
	if t.project == nil || t.server.credentials.job() {
		standing.LockUnknown = true
		return standing, ctx.Err()
	}
	found, err := t.project.record(ctx, s)
	if err != nil {
		return nil, err
	}
	// GitLab shows no states to users without the permission to see them, so it is not known
	// whether one is missing.
	if found != nil && found.LatestVersion != nil {
		standing.Current = backend.Ref{Known: true, ID: s.versionID(serialPart, serialText(found.LatestVersion.Serial))}
	}
	if lock := s.lockIn(found); lock != nil {
		standing.Locked = true
		standing.Holder = backend.Holder{Kind: "user", ID: lock.Who, Name: lock.Who}
	}
	return standing, nil
}

// standing returns what is known of a state without a request.
func (s *state) standing() *backend.Standing {
	return &backend.Standing{ID: s.name, Name: s.name, CanRead: true, CanWrite: true, CanLock: true}
}

// LookByID implements backend.Target. The ID of a state is its name.
func (t *target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	return t.Look(ctx, id)
}

// Current implements backend.Target.
func (t *target) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	return t.at(s.ID).current(ctx)
}

// current returns the current version, or nil. Without serials, it reads all of it, because the
// version is identified by its content.
func (s *state) current(ctx context.Context) (*backend.Version, error) {
	in, err := s.open(ctx, s.request("read"), "")
	if in == nil || err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // only read
	if s.project != nil {
		if in.serial < 0 {
			return nil, s.server.explain(ctx, s.request("read"), &unreadableAnswer{"it does not begin with a serial, so it is not a state that Terraform wrote"})
		}
		v := in.version(s)
		v.Kept = true
		return &v, nil
	}
	sum := md5.New()
	size, err := io.Copy(sum, in)
	if err != nil {
		return nil, err
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	return &backend.Version{ID: s.versionID(contentPart, digest), Size: size, MD5: digest}, nil
}

// Version implements backend.Target.
func (t *target) Version(ctx context.Context, id string) (*backend.Version, error) {
	name, serial, _, err := parseVersionID(id)
	if err != nil {
		return nil, err
	}
	s := t.at(name)
	var v *backend.Version
	if serial >= 0 && t.project != nil {
		v, err = s.numbered(ctx, serial)
	} else if v, err = s.current(ctx); v != nil && v.ID != id {
		v = nil
	}
	if err == nil && v == nil {
		err = &backend.Error{Address: s.address, Code: backend.NoState, Message: fmt.Sprintf("the version %s was replaced or deleted, and the server did not keep it", id)}
	}
	return v, err
}

// Versions implements backend.Target. Only GitLab keeps more than the current one.
func (t *target) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	if t.project != nil {
		return t.at(s.ID).versions(ctx)
	}
	return func(yield func(*backend.Version, error) bool) {
		if v, err := t.Current(ctx, s); v != nil || err != nil {
			yield(v, err)
		}
	}
}

// Read implements backend.Target.
func (t *target) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	name, _, _, err := parseVersionID(v.ID)
	if err != nil {
		return nil, err
	}
	in, _, err := t.at(name).Open(ctx, v)
	return in, err
}

// Writer implements backend.Target.
func (t *target) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	st := t.at(s.ID)
	return &writer{target: t, state: st, name: s.Name, WriterOptions: o, latch: st.newLatch(backend.LockRequest{Operation: backend.MigrateOperation, Info: o.Reason}), held: o.Inherited}
}

// OlderName implements backend.HistoryTarget. GitLab keeps the versions of a state together.
func (t *target) OlderName(name string, _ int64, _ string) (string, error) { return name, nil }

// HistoryCalls implements backend.HistoryTarget. There is no rate limit that must be planned
// for.
func (t *target) HistoryCalls(int) int { return 0 }

// CheckHistory implements backend.HistoryTarget. GitLab always keeps versions.
func (t *target) CheckHistory(context.Context, *backend.Standing) error {
	if t.project == nil {
		return &backend.Error{Address: t.Address(""), Code: backend.NoHistory, Message: "The http backend keeps only the current version."}
	}
	return nil
}

func md5Of(text []byte) string {
	sum := md5.Sum(text)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func serialText(serial int64) string { return strconv.FormatInt(serial, 10) }
