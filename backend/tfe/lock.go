package tfe

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	gotfe "github.com/hashicorp/go-tfe"
)

// Lock tries once to lock a workspace. On some servers, the response names the state
// version that is current under the lock. It returns LockedByOther even if the lock is
// already ours, because the API does not distinguish them.
func (c *Client) Lock(ctx context.Context, ws *Workspace, reason string) (*Workspace, error) {
	op := "lock workspace " + ws.Organization + "/" + ws.Name
	document, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		return nil, &Error{Op: op, Code: Rejected, Err: err}
	}
	locked, err := send(ctx, c, op, http.MethodPost, "workspaces/"+url.PathEscape(ws.ID)+"/actions/lock",
		written(document), lockAnswer(ws.Organization, ws.ID))
	if err != nil {
		// A conflict of the lock: compatible servers send it without a text.
		if e := err.(*Error); e.Status == 409 {
			e.Code = LockedByOther
		}
		return nil, err
	}
	return locked, nil
}

// Unlock unlocks a workspace locked by this token's identity. NotLocked means that it is
// not locked, LockedByOther that someone else holds the lock, and StillPending that it must
// be retried shortly.
func (c *Client) Unlock(ctx context.Context, ws *Workspace) error {
	op := "unlock workspace " + ws.Organization + "/" + ws.Name
	_, err := send(ctx, c, op, http.MethodPost, "workspaces/"+url.PathEscape(ws.ID)+"/actions/unlock", nil, unlockAnswer(ws))
	// A 409 without a known text, which go-tfe also treats as "not locked".
	if e, ok := err.(*Error); ok && e.Status == 409 && e.Code == Ambiguous {
		e.Code = NotLocked
	}
	return err
}

// An Identity is the account of a token.
type Identity struct {
	// ID is the user's ID; a team's token has a service account of its own.
	ID string
	// Name is the user name.
	Name string
	// Service reports whether the account belongs to a team or an organization.
	Service bool
}

// Identity returns the account of the token.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	user, err := call(ctx, "look up the owner of this token", func(ctx context.Context) (*gotfe.User, error) {
		return c.tfe.Users.ReadCurrent(ctx)
	})
	if err != nil {
		return Identity{}, err
	}
	return Identity{ID: user.ID, Name: clean(user.Username), Service: user.IsServiceAccount}, nil
}
