package tfesim_test

import (
	"slices"
	"strings"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// What each identity may do.
func TestIdentityPermissions(t *testing.T) {
	type row struct{ account, readWorkspace, lock, readState, createState, createWorkspace, update, createOrganization int }
	for identity, want := range map[tfesim.Identity]row{
		tfesim.Owner:        {200, 200, 200, 200, 201, 201, 200, 201},
		tfesim.SiteAdmin:    {200, 200, 200, 200, 201, 201, 200, 201},
		tfesim.SecondUser:   {200, 200, 200, 200, 201, 404, 404, 201},
		tfesim.Team:         {200, 200, 200, 200, 201, 201, 200, 404},
		tfesim.ReadOnly:     {200, 200, 404, 200, 404, 404, 404, 201},
		tfesim.Organization: {200, 200, 200, 404, 404, 201, 200, 404},
		tfesim.Outsider:     {200, 404, 404, 404, 404, 404, 404, 201},
		tfesim.Expired:      {401, 401, 401, 401, 401, 401, 401, 401},
		"":                  {401, 401, 401, 401, 401, 401, 401, 401},
	} {
		t.Run(string(identity), func(t *testing.T) {
			s := start(t, tfesim.Options{})
			if _, err := s.Seed("demo", "net", state(1, lineage)); err != nil {
				t.Fatal(err)
			}
			id, err := s.AddWorkspace("demo", "net")
			if err != nil {
				t.Fatal(err)
			}
			raw := state(2, lineage)
			ws := "/workspaces/" + id
			var got row
			for _, step := range []struct {
				status             *int
				method, path, body string
			}{
				{&got.account, "GET", "/account/details", ""},
				{&got.readWorkspace, "GET", "/organizations/demo/workspaces/net", ""},
				{&got.lock, "POST", ws + "/actions/lock", ""},
				{&got.readState, "GET", ws + "/current-state-version", ""},
				{&got.createState, "POST", ws + "/state-versions", versionDocument(2, md5Of(raw), lineage, raw, "")},
				{&got.createWorkspace, "POST", "/organizations/demo/workspaces", `{"data":{"type":"workspaces","attributes":{"name":"new"}}}`},
				{&got.update, "PATCH", ws, `{"data":{"type":"workspaces","attributes":{"description":"d"}}}`},
				{&got.createOrganization, "POST", "/organizations", `{"data":{"type":"organizations","attributes":{"name":"mine","email":"a@example.com"}}}`},
			} {
				*step.status, _, _ = s.Send(t, identity, step.method, step.path, step.body)
			}
			if got != want {
				t.Errorf("answered %+v, want %+v", got, want)
			}
		})
	}
}

func TestTokensOfSeveralOrganizations(t *testing.T) {
	s := start(t, tfesim.Options{Organizations: []string{"demo", "acme"}})
	for _, org := range []string{"demo", "acme"} {
		for token, want := range map[string]bool{s.TeamToken("demo"): org == "demo", s.TeamToken("acme"): org == "acme", s.OrganizationToken("acme"): org == "acme", s.Token(tfesim.Owner): true} {
			_, err := s.WithToken(t, token).Organizations.Read(t.Context(), org)
			if (err == nil) != want {
				t.Errorf("%s: %v", org, err)
			}
		}
	}
	if s.Token(tfesim.Team) != s.TeamToken("demo") || s.Token(tfesim.Organization) != s.OrganizationToken("demo") {
		t.Error("the predefined team and organization are not those of the first organization")
	}
}

func TestAccountOfATeamTokenIsAServiceUser(t *testing.T) {
	s := start(t, tfesim.Options{})
	u, err := s.As(t, tfesim.Team).Users.ReadCurrent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !u.IsServiceAccount || !strings.HasPrefix(u.Username, "api-team_") {
		t.Errorf("the team acts as %q", u.Username)
	}
}

func TestExpireTokenEndsIt(t *testing.T) {
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.SecondUser)
	if _, err := c.Users.ReadCurrent(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.ExpireToken(s.Token(tfesim.SecondUser)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Users.ReadCurrent(t.Context()); err != tfe.ErrUnauthorized {
		t.Errorf("after the end: %v", err)
	}
}

// The run that holds the lock may create versions with its own token and name itself.
func TestRunCreatesVersionsOfItsWorkspace(t *testing.T) {
	s := start(t, tfesim.Options{})
	id, err := s.AddWorkspace("demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.LockByRun("demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.RunToken(run)
	if err != nil {
		t.Fatal(err)
	}
	raw := state(1, lineage)
	o := createOptions(1, raw)
	o.Run = &tfe.Run{ID: run}
	v, err := s.WithToken(t, token).StateVersions.Upload(t.Context(), id, tfe.StateVersionUploadOptions{StateVersionCreateOptions: o, RawState: raw})
	if err != nil {
		t.Fatal(err)
	}
	if v.Run == nil || v.Run.ID != run {
		t.Error("the version does not name its run")
	}
	other, err := s.AddWorkspace("demo", "other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.WithToken(t, token).Workspaces.ReadByID(t.Context(), other); err != tfe.ErrResourceNotFound {
		t.Errorf("the run reads another workspace: %v", err)
	}
}

func TestGrantGivesATeamAccessToOneWorkspace(t *testing.T) {
	s := start(t, tfesim.Options{})
	for _, name := range []string{"net", "other"} {
		if _, err := s.AddWorkspace("demo", name); err != nil {
			t.Fatal(err)
		}
	}
	c, ctx := s.As(t, tfesim.Owner), t.Context()
	team, err := c.Teams.Create(ctx, "demo", tfe.TeamCreateOptions{Name: tfe.String("net-team")})
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Workspaces.Read(ctx, "demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TeamAccess.Add(ctx, tfe.TeamAccessAddOptions{Access: tfe.Access(tfe.AccessWrite), Team: team, Workspace: w}); err != nil {
		t.Fatal(err)
	}
	token, err := c.TeamTokens.Create(ctx, team.ID)
	if err != nil {
		t.Fatal(err)
	}
	mine := s.WithToken(t, token.Token)
	list, err := mine.Workspaces.List(ctx, "demo", nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range list.Items {
		names = append(names, w.Name)
	}
	if !slices.Equal(names, []string{"net"}) {
		t.Errorf("the team sees %v", names)
	}
	if w, err = mine.Workspaces.Lock(ctx, w.ID, tfe.WorkspaceLockOptions{}); err != nil {
		t.Fatal(err)
	}
	if w.Permissions.CanForceUnlock || !w.Permissions.CanLock {
		t.Error("the permissions block lacks the team's permissions")
	}
}
