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

// Clients that build a document from an empty struct name a resource without an id.
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
		if status, _, text := s.send(t, tfesim.Owner, "POST", "/workspaces/"+id+"/state-versions", body); status != http.StatusCreated {
			t.Errorf("%s: status %d, want 201: %s", name, status, text)
		}
	}
	if got, _, _ := s.Current("demo", "net"); string(got) != string(raw) {
		t.Error("the workspace does not hold the state that was sent")
	}
	status, _, text := s.send(t, tfesim.Owner, "POST", "/organizations/demo/workspaces",
		`{"data":{"type":"workspaces","attributes":{"name":"app"},"relationships":{"project":{"data":{"type":"projects","id":""}}}}}`)
	if status != http.StatusCreated {
		t.Errorf("a workspace in a project without an id: status %d, want 201: %s", status, text)
	}
}

func (s *sim) workspaceID(t *testing.T, name string) string {
	t.Helper()
	ws, err := s.as(t, tfesim.Owner).Workspaces.Read(t.Context(), "demo", name)
	if err != nil {
		t.Fatal(err)
	}
	return ws.ID
}

func TestNamesIgnoreCase(t *testing.T) {
	s := start(t, tfesim.Options{})
	c := s.as(t, tfesim.Owner)
	made, err := c.Workspaces.Create(t.Context(), "Demo", tfe.WorkspaceCreateOptions{Name: tfe.String("Net")})
	if err != nil {
		t.Fatal(err)
	}
	if made.Organization.Name != "demo" {
		t.Errorf("the workspace is of %q, want demo as the organization is spelled", made.Organization.Name)
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
		t.Error("a second organization was made whose name differs only in case")
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

// Data of an organization spelled otherwise is the same organization's.
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
	c := s.as(t, tfesim.Owner)
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
		if status, _, text := s.send(t, tfesim.Owner, "POST", "/workspaces/"+id+"/relationships/tags", body); status != want {
			t.Errorf("the tag %q: status %d, want %d: %s", name, status, want, text)
		}
		created := fmt.Sprintf(`{"data":{"type":"workspaces","attributes":{"name":"w%d"},"relationships":{"tags":{"data":[{"type":"tags","attributes":{"name":%q}}]}}}}`, len(s.Workspaces("demo")), name)
		status, _, text := s.send(t, tfesim.Owner, "POST", "/organizations/demo/workspaces", created)
		if (status == http.StatusCreated) != (want == 204) {
			t.Errorf("a workspace with the tag %q: status %d: %s", name, status, text)
		}
	}
}

func TestProjectList(t *testing.T) {
	s := start(t, tfesim.Options{})
	c := s.as(t, tfesim.Owner)
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
