package migrate

import (
	"context"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// replicaTime is how long a server may keep returning a state version that is known to be
// outdated, because reads can come from a lagging replica.
const (
	replicaTime       = 30 * time.Second
	firstReplicaPause = 250 * time.Millisecond
	maxReplicaPause   = 5 * time.Second
)

// readCurrent reads the current state version until done accepts it or replicaTime has passed,
// and returns the last one that it read.
func (x *execution) readCurrent(ctx context.Context, ws *backend.Standing, done func(*backend.Version) bool) (*backend.Version, error) {
	start := time.Now()
	for pause := firstReplicaPause; ; pause = min(2*pause, maxReplicaPause) {
		version, err := backend.Retry(ctx, x.Target.Down, func() (*backend.Version, error) { return x.Target.Current(ctx, ws) })
		if err != nil || done(version) || time.Since(start)+pause > replicaTime {
			return version, err
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return version, err
		}
	}
}

// currentUnderLock reads the current state version after locking. If the response to the lock
// request named one, it must be that one.
func (x *execution) currentUnderLock(ctx context.Context, now *backend.Standing) (*backend.Version, error) {
	if now == nil {
		now = x.workspace
	}
	if !now.Current.Known {
		return x.currentVersion(ctx, now)
	}
	if now.Current.ID == "" {
		return nil, nil
	}
	version, err := x.readCurrent(ctx, now, func(v *backend.Version) bool { return v != nil && v.ID == now.Current.ID })
	if err == nil && (version == nil || version.ID != now.Current.ID) {
		return nil, x.stopf(CodeServerRefused, "The server reported %s as the current state version when it locked the workspace, but returned another one for %s afterwards. Its replicas may be lagging. Nothing was sent. Try again later.", now.Current.ID, replicaTime)
	}
	return version, err
}

// sameName checks that the locked workspace still has the name that the move targets. If it
// was renamed, another workspace may have that name now.
func (x *execution) sameName(now *backend.Standing) error {
	if now == nil || now.Name == "" || strings.EqualFold(now.Name, x.Move.Workspace) {
		return nil
	}
	return x.stopf(CodeRenamed, "The workspace %s/%s was renamed to %s after tfhaul read it. Nothing was sent. Check which workspace the state belongs to, then run the move again.",
		x.Target.Container(), x.Move.Workspace, now.Name)
}

// before reports whether a state version is the one that the workspace held before the state
// was sent; nil stands for none.
func (x *execution) before(version *backend.Version) bool {
	if version == nil || x.held == nil {
		return version == nil && x.held == nil
	}
	return version.ID == x.held.version.ID
}
