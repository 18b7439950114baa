package tfe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// CheckRemoval implements backend.Remover: the runs of a workspace would be lost with it.
// The server's own safe delete is of no use, because it refuses locked workspaces.
func (w *writer) CheckRemoval(ctx context.Context) error {
	if s := w.seen; s != nil && s.Run != nil {
		return w.hasRun(s.Run.ID)
	}
	for run, err := range w.target.Runs(ctx, w.workspace) {
		if err != nil {
			return err
		}
		return w.hasRun(run.ID)
	}
	return nil
}

func (w *writer) hasRun(id string) error {
	return &backend.Error{Code: backend.NotRemovable,
		Message: fmt.Sprintf("Workspace %s has runs (the newest is %s), so it was not deleted. If it is not needed, delete it yourself.", w.workspace, id)}
}

// removeAttempts is how often a deletion is requested after responses were lost.
const removeAttempts = 2

// Remove implements backend.Remover. It asks for the workspace by its ID afterwards, whatever
// the response was.
func (w *writer) Remove(ctx context.Context, p backend.Write) error {
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := w.target.deleteWorkspace(backend.WithSending(ctx, p.Sending), w.workspace)
		code := backend.CodeOf(err)
		unclear := err == nil || code == backend.Ambiguous || attempt > 1
		if !unclear && code != backend.ForbiddenOrMissing {
			return err
		}
		last := code != backend.Ambiguous || attempt == removeAttempts
		gone, looked := w.gone(ctx, unclear && last)
		switch {
		case gone:
			w.removed = true
			return nil
		case looked != nil && unclear, unclear && last:
			return w.unsureWhetherRemoved(errors.Join(err, looked))
		case last:
			return err
		}
	}
}

func (w *writer) unsureWhetherRemoved(err error) error {
	if err == nil {
		err = errors.New("the server acknowledged the deletion, but still returns the workspace")
	}
	return &Error{Op: "delete workspace " + w.workspace.String(), Code: backend.Ambiguous, Err: err}
}

// The pauses between looks for a workspace that may be deleted late, or by a replica that
// lags. They double.
const (
	firstGonePause = 500 * time.Millisecond
	lastGonePause  = 4 * time.Second
)

// gone reports whether the workspace no longer exists. A patient look is repeated until it
// does not.
func (w *writer) gone(ctx context.Context, patient bool) (bool, error) {
	for pause := firstGonePause; ; pause *= 2 {
		_, err := backend.Retry(ctx, w.target.Down, func() (*Workspace, error) {
			return w.target.WorkspaceByID(ctx, w.workspace.Organization, w.workspace.ID)
		})
		if e, ok := errors.AsType[*backend.Error](err); ok && e.Code == backend.ForbiddenOrMissing && !e.Unworded {
			return true, nil
		}
		if err != nil || !patient || pause > lastGonePause {
			return false, err
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return false, err
		}
	}
}

// deleteWorkspace deletes a workspace, even if it is locked or has resources.
func (c *Client) deleteWorkspace(ctx context.Context, ws *Workspace) error {
	_, err := send(ctx, c, "delete workspace "+ws.String(), http.MethodDelete, ws.path(""), nil, func([]byte) (struct{}, error) { return struct{}{}, nil })
	return err
}
