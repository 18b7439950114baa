package tfesim_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// create creates a workspace as go-tfe does.
func (s *sim) create(t *testing.T, o tfe.WorkspaceCreateOptions) (*tfe.Workspace, error) {
	t.Helper()
	return s.As(t, tfesim.Owner).Workspaces.Create(t.Context(), "demo", o)
}

func TestTerraformVersionsThatAreOffered(t *testing.T) {
	list := []string{"1.11.4", "1.5.7"}
	for _, test := range []struct {
		version string
		offered []string
		taken   bool
	}{
		{"1.11.4", list, true}, {"latest", list, true}, {"~> 1.5.0", list, true}, {">= 1.0, < 2.0", list, true},
		{"1.12.0", list, false}, {"1.12.0-dev", list, false}, {"~> 2.0", list, false}, {"1.11", list, false}, {"newest", list, false},
		{"1.99.0", nil, true}, {"1.12.0-rc1", nil, true}, {"~> 9.9", nil, true}, {"1.12.0-dev", nil, false}, {"newest", nil, false},
	} {
		s := start(t, tfesim.Options{OfferedTerraform: test.offered})
		_, err := s.create(t, tfe.WorkspaceCreateOptions{Name: tfe.String("net"), TerraformVersion: tfe.String(test.version)})
		switch {
		case test.taken && err != nil:
			t.Errorf("%s of %v: %v", test.version, test.offered, err)
		case !test.taken && (err == nil || !strings.Contains(err.Error(), "Terraform version is not included in the list")):
			t.Errorf("%s of %v: got %v", test.version, test.offered, err)
		}
	}
	s := start(t, tfesim.Options{OfferedTerraform: list})
	got, err := s.As(t, tfesim.SiteAdmin).Admin.TerraformVersions.List(t.Context(), nil)
	if err != nil || len(got.Items) != 2 || got.Items[0].Version != "1.11.4" || !got.Items[0].Enabled {
		t.Errorf("a site administrator's list: %+v, %v", got, err)
	}
	if _, err := s.As(t, tfesim.Owner).Admin.TerraformVersions.List(t.Context(), nil); !errors.Is(err, tfe.ErrResourceNotFound) {
		t.Errorf("an owner's list: %v", err)
	}
}

func TestAgentModeNeedsAPool(t *testing.T) {
	s := start(t, tfesim.Options{})
	owner := s.As(t, tfesim.Owner)
	// go-tfe itself refuses agent mode without a pool, so send the request directly.
	agent := func(name, pool string) (int, string) {
		attributes := fmt.Sprintf(`"name":%q,"execution-mode":"agent"`, name)
		if pool != "" {
			attributes += fmt.Sprintf(`,"agent-pool-id":%q`, pool)
		}
		status, _, body := s.Send(t, tfesim.Owner, "POST", "/organizations/demo/workspaces", `{"data":{"type":"workspaces","attributes":{`+attributes+`}}}`)
		return status, body
	}
	if status, body := agent("none", ""); status != 422 || !strings.Contains(body, "Agent pool must be specified") {
		t.Errorf("without a pool: %d %s", status, body)
	}
	if status, _ := agent("stranger", "apool-stranger"); status != 404 {
		t.Errorf("with a pool that does not exist: %d", status)
	}
	pool, err := owner.AgentPools.Create(t.Context(), "demo", tfe.AgentPoolCreateOptions{Name: tfe.String("on-premises")})
	if err != nil {
		t.Fatal(err)
	}
	if status, body := agent("own", pool.ID); status != 201 || !strings.Contains(body, pool.ID) {
		t.Errorf("with a pool: %d %s", status, body)
	}
	if _, err := owner.Organizations.Update(t.Context(), "demo", tfe.OrganizationUpdateOptions{
		DefaultExecutionMode: tfe.String("agent"), DefaultAgentPool: &tfe.AgentPool{ID: pool.ID}}); err != nil {
		t.Fatal(err)
	}
	if status, body := agent("default", ""); status != 201 || !strings.Contains(body, pool.ID) {
		t.Errorf("with the organization's default pool: %d %s", status, body)
	}
	if found, err := owner.AgentPools.List(t.Context(), "demo", &tfe.AgentPoolListOptions{Query: "premises"}); err != nil || len(found.Items) != 1 {
		t.Errorf("searched by name: %+v, %v", found, err)
	}
}

func TestTagBindingsAtCreation(t *testing.T) {
	s := start(t, tfesim.Options{})
	w, err := s.create(t, tfe.WorkspaceCreateOptions{Name: tfe.String("net"), Tags: []*tfe.Tag{{Name: "team:core"}},
		TagBindings: []*tfe.TagBinding{{Key: "env", Value: "prod"}}})
	if err != nil {
		t.Fatal(err)
	}
	bindings, err := s.As(t, tfesim.Owner).Workspaces.ListTagBindings(t.Context(), w.ID)
	if err != nil || len(bindings) != 1 || bindings[0].Key != "env" || bindings[0].Value != "prod" {
		t.Errorf("the bindings are %+v, %v", bindings, err)
	}
}
