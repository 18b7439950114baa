package tfe

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	gotfe "github.com/hashicorp/go-tfe"
)

// Lock locks a workspace once, without waiting. The answer's workspace tells
// which state version is current under the lock, on servers that say so.
// LockedByOther is also the answer when the lock is our own already: the API
// makes no difference.
func (c *Client) Lock(ctx context.Context, ws *Workspace, reason string) (*Workspace, error) {
	op := "lock workspace " + ws.Organization + "/" + ws.Name
	document, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		return nil, &Error{Op: op, Code: Rejected, Err: err}
	}
	locked, err := send(ctx, c, op, http.MethodPost, "workspaces/"+url.PathEscape(ws.ID)+"/actions/lock",
		written(document), lockAnswer(ws.Organization, ws.ID))
	if err != nil {
		// The lock's own conflict: compatible servers send it without a text.
		if e := err.(*Error); e.Status == 409 {
			e.Code = LockedByOther
		}
		return nil, err
	}
	return locked, nil
}

// Unlock unlocks a workspace that this token's identity has locked. NotLocked
// means that nobody has, LockedByOther that somebody else has, StillPending that
// the server asks to come back shortly.
func (c *Client) Unlock(ctx context.Context, ws *Workspace) error {
	op := "unlock workspace " + ws.Organization + "/" + ws.Name
	_, err := send(ctx, c, op, http.MethodPost, "workspaces/"+url.PathEscape(ws.ID)+"/actions/unlock", nil, unlockAnswer(ws))
	// A 409 without a known text: go-tfe reads "not locked" from it, too.
	if e, ok := err.(*Error); ok && e.Status == 409 && e.Code == Ambiguous {
		e.Code = NotLocked
	}
	return err
}

// An Identity is who a token stands for.
type Identity struct {
	// ID is the user's; a team's token has a service account of its own.
	ID string
	// Name is the user name.
	Name string
	// Service says whether it is a team's or an organization's account.
	Service bool
}

// Identity asks who the token stands for.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	user, err := call(ctx, "ask whose token this is", func(ctx context.Context) (*gotfe.User, error) {
		return c.tfe.Users.ReadCurrent(ctx)
	})
	if err != nil {
		return Identity{}, err
	}
	return Identity{ID: user.ID, Name: clean(user.Username), Service: user.IsServiceAccount}, nil
}
