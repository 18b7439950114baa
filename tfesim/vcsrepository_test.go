package tfesim_test

import (
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// A repository is set, changed in part and removed as go-tfe does it. A repository without a
// connection to its host is refused.
func TestVCSRepositoryOfAWorkspace(t *testing.T) {
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws, err := c.Workspaces.Create(t.Context(), "demo", tfe.WorkspaceCreateOptions{Name: tfe.String("net"),
		SourceName: tfe.String("importer"), SourceURL: tfe.String("https://example.com/1")})
	if err != nil {
		t.Fatal(err)
	}
	for name, repository := range map[string]tfe.VCSRepoOptions{
		"no connection":          {Identifier: tfe.String("acme/net")},
		"two connections":        {Identifier: tfe.String("acme/net"), OAuthTokenID: tfe.String("ot-1"), GHAInstallationID: tfe.String("ghain-1")},
		"no repository":          {Identifier: tfe.String("net"), OAuthTokenID: tfe.String("ot-1")},
		"an unknown OAuth token": {Identifier: tfe.String("acme/net"), OAuthTokenID: tfe.String("secret")},
	} {
		if _, err := c.Workspaces.UpdateByID(t.Context(), ws.ID, tfe.WorkspaceUpdateOptions{VCSRepo: &repository}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	update := func(o tfe.WorkspaceUpdateOptions) *tfe.Workspace {
		t.Helper()
		got, err := c.Workspaces.UpdateByID(t.Context(), ws.ID, o)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	update(tfe.WorkspaceUpdateOptions{VCSRepo: &tfe.VCSRepoOptions{Identifier: tfe.String("acme/net"), Branch: tfe.String("main"), OAuthTokenID: tfe.String("ot-1")}})
	got := update(tfe.WorkspaceUpdateOptions{VCSRepo: &tfe.VCSRepoOptions{Branch: tfe.String("live")}}).VCSRepo
	if got == nil || got.Identifier != "acme/net" || got.Branch != "live" || got.OAuthTokenID != "ot-1" {
		t.Errorf("the repository is %+v", got)
	}
	if ws, err = c.Workspaces.RemoveVCSConnectionByID(t.Context(), ws.ID); err != nil || ws.VCSRepo != nil {
		t.Errorf("after the removal, the repository is %+v (%v)", ws.VCSRepo, err)
	}
	status, _, _ := s.Send(t, tfesim.Owner, "PATCH", "/workspaces/"+ws.ID, `{"data":{"type":"workspaces","attributes":{"source-name":"other","source-url":null}}}`)
	if now, err := c.Workspaces.ReadByID(t.Context(), ws.ID); err != nil || status != 200 || now.SourceName != "importer" || now.SourceURL != "https://example.com/1" {
		t.Errorf("status %d; the workspace was created by %q, %q (%v)", status, now.SourceName, now.SourceURL, err)
	}
}
