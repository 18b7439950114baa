package tfe

import (
	"context"
	"encoding/json"
	"net/http"

	"tfhaul/backend"
)

// Lock tries once to lock a workspace. On some servers, the response names the state
// version that is current under the lock. It returns LockedByOther even if the lock is
// already ours, because the API does not distinguish them.
func (c *Client) Lock(ctx context.Context, ws *Workspace, reason string) (*Workspace, error) {
	op := "lock workspace " + ws.String()
	document, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		return nil, &Error{Op: op, Code: Rejected, Err: err}
	}
	locked := true
	answer, err := send(ctx, c, op, http.MethodPost, ws.path("/actions/lock"), written(document), workspaceIs(ws.Organization, "", ws.ID, &locked))
	// A conflict of the lock: compatible servers send it without a text.
	if e, ok := err.(*Error); ok && e.Status == http.StatusConflict {
		e.Code = backend.LockedByOther
	}
	return answer, err
}

// Unlock unlocks a workspace locked by this token's identity. NotLocked means that it is
// not locked, LockedByOther that someone else holds the lock, and StillPending that it must
// be retried shortly. A renamed workspace is an error, because callers use the name.
func (c *Client) Unlock(ctx context.Context, ws *Workspace) (*Workspace, error) {
	var locked bool
	answer, err := send(ctx, c, "unlock workspace "+ws.String(), http.MethodPost, ws.path("/actions/unlock"), nil,
		workspaceIs(ws.Organization, ws.Name, ws.ID, &locked))
	// A 409 without a known text, which go-tfe also treats as "not locked".
	if e, ok := err.(*Error); ok && e.Status == http.StatusConflict && e.Code == backend.Ambiguous {
		e.Code = backend.NotLocked
	}
	return answer, err
}

// An Identity is the account of a token. A team's token has a service account of its own.
type Identity struct {
	ID, Name string
}

// Identity returns the account of the token.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	return send(ctx, c, "look up the owner of this token", http.MethodGet, "account/details", nil, func(raw []byte) (Identity, error) {
		var doc document[namedResource]
		if err := understand(raw, &doc); err != nil {
			return Identity{}, err
		}
		return Identity{ID: doc.Data.ID, Name: clean(doc.Data.Attributes.Username)}, doc.Data.check("users")
	})
}
