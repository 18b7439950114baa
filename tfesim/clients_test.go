package tfesim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// Clients that build a document from an empty struct send a resource without an ID.
func TestRelationshipWithoutIDIsIgnored(t *testing.T) {
	s := start(t, tfesim.Options{})
	if _, err := s.AddWorkspace("demo", "net"); err != nil {
		t.Fatal(err)
	}
	if err := s.Lock("demo", "net", tfesim.Owner, ""); err != nil {
		t.Fatal(err)
	}
	id := s.workspaceID(t, "net")
	raw := state(1, lineage)
	for name, relationship := range map[string]string{
		"a run":    `"run":{"data":{"type":"runs","id":""}}`,
		"no run":   `"run":{"data":null}`,
		"no type":  `"run":{"data":{"id":""}}`,
		"no field": `"run":{"data":{"type":"runs"}}`,
	} {
		body := strings.Replace(versionDocument(1, md5Of(raw), lineage, raw, ""), `"attributes"`, `"relationships":{`+relationship+`},"attributes"`, 1)
		if status, _, text := s.Send(t, tfesim.Owner, "POST", "/workspaces/"+id+"/state-versions", body); status != http.StatusCreated {
			t.Errorf("%s: status %d, want 201: %s", name, status, text)
		}
	}
	if got, _, _ := s.Current("demo", "net"); string(got) != string(raw) {
		t.Error("the workspace does not hold the state that was sent")
	}
	status, _, text := s.Send(t, tfesim.Owner, "POST", "/organizations/demo/workspaces",
		`{"data":{"type":"workspaces","attributes":{"name":"app"},"relationships":{"project":{"data":{"type":"projects","id":""}}}}}`)
	if status != http.StatusCreated {
		t.Errorf("a workspace in a project without an ID: status %d, want 201: %s", status, text)
	}
}

func (s *sim) workspaceID(t *testing.T, name string) string {
	t.Helper()
	ws, err := s.As(t, tfesim.Owner).Workspaces.Read(t.Context(), "demo", name)
	if err != nil {
		t.Fatal(err)
	}
	return ws.ID
}

func TestNamesIgnoreCase(t *testing.T) {
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	made, err := c.Workspaces.Create(t.Context(), "Demo", tfe.WorkspaceCreateOptions{Name: tfe.String("Net")})
	if err != nil {
		t.Fatal(err)
	}
	if made.Organization.Name != "demo" {
		t.Errorf("the workspace is in %q, want demo, as the organization is spelled", made.Organization.Name)
	}
	for _, org := range []string{"demo", "DEMO", "Demo"} {
		for _, name := range []string{"Net", "net", "NET"} {
			got, err := c.Workspaces.Read(t.Context(), org, name)
			if err != nil {
				t.Errorf("reading %s/%s: %v", org, name, err)
				continue
			}
			if got.ID != made.ID || got.Name != "Net" {
				t.Errorf("reading %s/%s: %s named %q", org, name, got.ID, got.Name)
			}
		}
		if list, err := c.Workspaces.List(t.Context(), org, nil); err != nil || list.TotalCount != 1 {
			t.Errorf("listing %s: %v, %v", org, list, err)
		}
		if _, err := c.StateVersions.List(t.Context(), &tfe.StateVersionListOptions{Organization: org, Workspace: "nET"}); err != nil {
			t.Errorf("listing the state versions of %s/nET: %v", org, err)
		}
		if runs, err := c.Runs.ListForOrganization(t.Context(), org, &tfe.RunListForOrganizationOptions{WorkspaceNames: "nET"}); err != nil {
			t.Errorf("listing the runs of %s: %v, %v", org, runs, err)
		}
	}
	if _, err := c.Organizations.Create(t.Context(), tfe.OrganizationCreateOptions{Name: tfe.String("DEMO"), Email: tfe.String("a@example.com")}); err == nil {
		t.Error("a second organization was created whose name differs only in case")
	}
	if _, err := s.AddWorkspace("DEMO", "NET"); err != nil {
		t.Fatal(err)
	}
	if got := s.Workspaces("DEMO"); !cmp.Equal(got, []string{"Net"}) {
		t.Errorf("the workspaces are %v", got)
	}
	if s.TeamToken("Demo") != s.TeamToken("demo") {
		t.Error("the team's token depends on the case of the organization's name")
	}
	renamed, err := c.Organizations.Update(t.Context(), "demo", tfe.OrganizationUpdateOptions{Name: tfe.String("Demo")})
	if err != nil || renamed.Name != "Demo" {
		t.Errorf("changing the case of an organization's name: %v, %v", renamed, err)
	}
	if _, err := c.Workspaces.Read(t.Context(), "demo", "net"); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// An organization's name is not case-sensitive.
func TestOrganizationNameOfKeptDataIgnoresCase(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"Acme", "acme"} {
		s := newServer(t, tfesim.Options{Organizations: []string{name}, Data: folder})
		if s.Token(tfesim.Team) == "" || s.OrganizationToken("ACME") == "" {
			t.Error("there is no token")
		}
		if _, err := s.AddWorkspace(name, "net"); err != nil {
			t.Error(err)
		}
		if got := s.Workspaces("ACME"); len(got) != 1 {
			t.Errorf("the workspaces are %v", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeyValueTagsAreNotTagNames(t *testing.T) {
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws, err := c.Workspaces.Create(t.Context(), "demo", tfe.WorkspaceCreateOptions{Name: tfe.String("net"), Tags: []*tfe.Tag{{Name: "core"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Workspaces.AddTagBindings(t.Context(), ws.ID, tfe.WorkspaceAddTagBindingsOptions{
		TagBindings: []*tfe.TagBinding{{Key: "env", Value: "prod"}}}); err != nil {
		t.Fatal(err)
	}
	if ws, err = c.Workspaces.ReadByID(t.Context(), ws.ID); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(ws.TagNames, []string{"core"}) {
		t.Errorf("tag-names is %v, want [core]", ws.TagNames)
	}
	for _, search := range []struct {
		options tfe.WorkspaceListOptions
		want    int
	}{
		{tfe.WorkspaceListOptions{Tags: "core"}, 1},
		{tfe.WorkspaceListOptions{Tags: "env"}, 0},
		{tfe.WorkspaceListOptions{ExcludeTags: "env"}, 1},
		{tfe.WorkspaceListOptions{TagBindings: []*tfe.TagBinding{{Key: "env", Value: "prod"}}}, 1},
		{tfe.WorkspaceListOptions{TagBindings: []*tfe.TagBinding{{Key: "env", Value: "test"}}}, 0},
	} {
		list, err := c.Workspaces.List(t.Context(), "demo", &search.options)
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != search.want {
			t.Errorf("%+v finds %d workspaces, want %d", search.options, len(list.Items), search.want)
		}
	}
}

func TestFlatTagNamesAreChecked(t *testing.T) {
	s := start(t, tfesim.Options{})
	if _, err := s.AddWorkspace("demo", "net"); err != nil {
		t.Fatal(err)
	}
	id := s.workspaceID(t, "net")
	for name, want := range map[string]int{
		"core": 204, "app:web-1_x": 204, strings.Repeat("a", 255): 204,
		"": 422, "env=prod": 422, "a b": 422, "a.b": 422, "größe": 422, "a/b": 422, strings.Repeat("a", 256): 422,
	} {
		body := fmt.Sprintf(`{"data":[{"type":"tags","attributes":{"name":%q}}]}`, name)
		if status, _, text := s.Send(t, tfesim.Owner, "POST", "/workspaces/"+id+"/relationships/tags", body); status != want {
			t.Errorf("the tag %q: status %d, want %d: %s", name, status, want, text)
		}
		created := fmt.Sprintf(`{"data":{"type":"workspaces","attributes":{"name":"w%d"},"relationships":{"tags":{"data":[{"type":"tags","attributes":{"name":%q}}]}}}}`, len(s.Workspaces("demo")), name)
		status, _, text := s.Send(t, tfesim.Owner, "POST", "/organizations/demo/workspaces", created)
		if (status == http.StatusCreated) != (want == 204) {
			t.Errorf("a workspace with the tag %q: status %d: %s", name, status, text)
		}
	}
}

func TestProjectList(t *testing.T) {
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	for _, name := range []string{"Networking", "Apps"} {
		if _, err := c.Projects.Create(t.Context(), "demo", tfe.ProjectCreateOptions{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	for filter, want := range map[string][]string{
		"":                {"Default Project", "Apps", "Networking"},
		"networking":      {"Networking"},
		"APPS,networking": {"Apps", "Networking"},
		"app":             nil,
		"default project": {"Default Project"},
	} {
		list, err := c.Projects.List(t.Context(), "demo", &tfe.ProjectListOptions{Name: filter})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range list.Items {
			got = append(got, p.Name)
		}
		if !cmp.Equal(got, want) {
			t.Errorf("filtered by %q: %v, want %v", filter, got, want)
		}
	}
}

func TestTriggersClearEachOther(t *testing.T) {
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	ws, err := c.Workspaces.Create(t.Context(), "demo", tfe.WorkspaceCreateOptions{Name: tfe.String("net"), TriggerPrefixes: []string{"modules"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ attribute, wantPrefixes, wantPatterns string }{
		{`"trigger-patterns":["/**/net"]`, "", "/**/net"},
		{`"trigger-prefixes":[]`, "", "/**/net"},
		{`"trigger-prefixes":["a"]`, "a", ""},
		{`"trigger-patterns":null`, "a", ""},
	} {
		status, _, text := s.Send(t, tfesim.Owner, "PATCH", "/workspaces/"+ws.ID, `{"data":{"type":"workspaces","attributes":{`+step.attribute+`}}}`)
		if status != http.StatusOK {
			t.Fatalf("%s: status %d: %s", step.attribute, status, text)
		}
		got, err := c.Workspaces.ReadByID(t.Context(), ws.ID)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(got.TriggerPrefixes, " ") != step.wantPrefixes || strings.Join(got.TriggerPatterns, " ") != step.wantPatterns {
			t.Errorf("after %s: prefixes %q, patterns %q", step.attribute, got.TriggerPrefixes, got.TriggerPatterns)
		}
	}
	if status, _, _ := s.Send(t, tfesim.Owner, "PATCH", "/workspaces/"+ws.ID,
		`{"data":{"type":"workspaces","attributes":{"trigger-prefixes":["a"],"trigger-patterns":["b"]}}}`); status != 422 {
		t.Errorf("both: status %d, want 422", status)
	}
}

func TestGlobalRemoteStateOfNewWorkspaces(t *testing.T) {
	for name, test := range map[string]struct {
		options tfesim.Options
		want    bool
	}{
		"as the documentation says": {tfesim.Options{}, false},
		"old organization":          {tfesim.Options{GlobalRemoteState: true}, true},
		"old server":                {tfesim.Options{Personality: tfesim.OldTFE}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.options)
			c := s.As(t, tfesim.Owner)
			ws, err := c.Workspaces.Create(t.Context(), "demo", tfe.WorkspaceCreateOptions{Name: tfe.String("net")})
			if err != nil || ws.GlobalRemoteState != test.want {
				t.Errorf("the default is %v (%v), want %v", ws.GlobalRemoteState, err, test.want)
			}
			ws, err = c.Workspaces.Create(t.Context(), "demo", tfe.WorkspaceCreateOptions{Name: tfe.String("own"), GlobalRemoteState: tfe.Bool(!test.want)})
			if err != nil || ws.GlobalRemoteState == test.want {
				t.Errorf("the requested value was not used (%v)", err)
			}
		})
	}
}

// Naming the run does not give another token the run's rights.
func TestUploadUnderLockOfRunNeedsItsToken(t *testing.T) {
	s := start(t, tfesim.Options{})
	id, err := s.AddWorkspace("demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.LockByRun("demo", "net")
	if err != nil {
		t.Fatal(err)
	}
	raw := state(1, lineage)
	for name, relationship := range map[string]string{"without the run": "", "naming the run": run} {
		body := strings.Replace(versionDocument(1, md5Of(raw), lineage, raw, ""), `"attributes"`,
			`"relationships":{"run":{"data":{"type":"runs","id":"`+relationship+`"}}},"attributes"`, 1)
		status, _, text := s.Send(t, tfesim.Owner, "POST", "/workspaces/"+id+"/state-versions", body)
		if want := "This workspace is locked by Run " + run + " and"; status != http.StatusConflict || !strings.Contains(text, want) {
			t.Errorf("%s: status %d: %s", name, status, text)
		}
	}
	if _, _, held := s.Current("demo", "net"); held {
		t.Error("the state was stored")
	}
}

func TestRollback(t *testing.T) {
	for _, p := range []tfesim.Personality{tfesim.TFE, tfesim.HCP} {
		t.Run(p.String(), func(t *testing.T) {
			s := start(t, tfesim.Options{Personality: p})
			first := state(1, lineage)
			old, err := s.Seed("demo", "net", first)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Seed("demo", "net", state(5, lineage)); err != nil {
				t.Fatal(err)
			}
			elsewhere, err := s.Seed("demo", "other", first)
			if err != nil {
				t.Fatal(err)
			}
			id := s.workspaceID(t, "net")
			back := func(who tfesim.Identity, version string) int {
				status, _, _ := s.Send(t, who, "PATCH", "/workspaces/"+id+"/state-versions",
					`{"data":{"type":"state-versions","relationships":{"rollback-state-version":{"data":{"type":"state-versions","id":"`+version+`"}}}}}`)
				return status
			}
			if got := back(tfesim.Owner, old); got != 409 {
				t.Errorf("unlocked: status %d, want 409", got)
			}
			if err := s.Lock("demo", "net", tfesim.Owner, ""); err != nil {
				t.Fatal(err)
			}
			for _, refused := range []struct {
				who     tfesim.Identity
				version string
				want    int
			}{
				{tfesim.SecondUser, old, 409}, {tfesim.ReadOnly, old, 404}, {tfesim.Organization, old, 404},
				{tfesim.Owner, "sv-none", 404}, {tfesim.Owner, elsewhere, 404}, {tfesim.Owner, "", 422},
			} {
				if got := back(refused.who, refused.version); got != refused.want {
					t.Errorf("%s to %q: status %d, want %d", refused.who, refused.version, got, refused.want)
				}
			}
			if _, serial, _ := s.Current("demo", "net"); serial != 5 {
				t.Errorf("after the refusals the serial is %d", serial)
			}
			if got := back(tfesim.Owner, old); got != 201 {
				t.Fatalf("status %d, want 201", got)
			}
			if _, err := s.As(t, tfesim.Owner).Workspaces.Unlock(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if got, serial, _ := s.Current("demo", "net"); string(got) != string(first) || serial != 1 {
				t.Errorf("the current state is not the earlier one; serial %d", serial)
			}
		})
	}
}

func TestTeamTokensAreReadBack(t *testing.T) {
	s := start(t, tfesim.Options{})
	c := s.As(t, tfesim.Owner)
	team, err := c.Teams.Create(t.Context(), "demo", tfe.TeamCreateOptions{Name: tfe.String("ci")})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := c.TeamTokens.Create(t.Context(), team.ID)
	if err != nil {
		t.Fatal(err)
	}
	read, err := c.TeamTokens.Read(t.Context(), team.ID)
	if err != nil {
		t.Fatal(err)
	}
	if read.ID != plain.ID || read.Token != "" || read.ExpiredAt.IsZero() {
		t.Error("the token that is read back differs, shows its secret, or never expires")
	}
	for _, description := range []string{"deploy", ""} {
		if _, err := c.TeamTokens.CreateWithOptions(t.Context(), team.ID, tfe.TeamTokenCreateOptions{Description: &description}); err != nil {
			t.Errorf("a token described as %q: %v", description, err)
		}
	}
	if _, err := c.TeamTokens.CreateWithOptions(t.Context(), team.ID, tfe.TeamTokenCreateOptions{Description: tfe.String("deploy")}); err == nil {
		t.Error("two tokens have one description")
	}
	status, _, text := s.Send(t, tfesim.Owner, "GET", "/teams/"+team.ID+"/authentication-tokens", "")
	if n := strings.Count(text, `"type":"authentication-tokens"`); status != 200 || n != 3 || strings.Contains(text, ".atlasv1.") {
		t.Errorf("the list: status %d, %d tokens, want 3 without their secrets", status, n)
	}
	for _, who := range []tfesim.Identity{tfesim.SecondUser, tfesim.Outsider} {
		if status, _, _ := s.Send(t, who, "GET", "/authentication-tokens/"+plain.ID, ""); status != 404 {
			t.Errorf("%s reads the token: status %d", who, status)
		}
	}
	if err := c.TeamTokens.DeleteByID(t.Context(), plain.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TeamTokens.Read(t.Context(), team.ID); err != tfe.ErrResourceNotFound {
		t.Errorf("after the deletion: %v", err)
	}
	if status, _, _ := s.sendWith(t, plain.Token, "GET", "/account/details"); status != 401 {
		t.Errorf("the deleted token gets %d, want 401", status)
	}
}

func (s *sim) sendWith(t *testing.T, token, method, path string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.Running.URL()+"/api/v2"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := s.Running.Client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header, ""
}
