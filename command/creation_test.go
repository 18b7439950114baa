package command_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// ask makes a request of the API and returns the body of its answer.
func (h *host) ask(t *testing.T, method, path, body string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/api/v2/"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+h.Token(tfesim.Owner))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code >= 300 {
		t.Fatalf("%s %s: %d", method, path, w.Code)
	}
	return w.Body.String()
}

// A workspace is created in its agent pool, named by name or by id, with both kinds of tags.
func TestMoveCreatesTheWorkspaceAsAsked(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	made := h.ask(t, "POST", "organizations/"+org+"/agent-pools", `{"data":{"type":"agent-pools","attributes":{"name":"on-premises"}}}`)
	_, after, _ := strings.Cut(made, `"id":"`)
	id, _, _ := strings.Cut(after, `"`)
	path := write(t, "terraform.tfstate", state(1, 10))
	for workspace, pool := range map[string]string{"by-name": "on-premises", "by-id": id} {
		r := h.tfhaul(t, "move", path, org+"/"+workspace, "--json", "--create", "--execution-mode", "agent", "--agent-pool", pool,
			"--terraform-version", "~> 1.11", "--tag", "team:core", "--tag", "env=prod")
		if r.code != 0 {
			t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
		}
		got := h.ask(t, "GET", "organizations/"+org+"/workspaces/"+workspace+"?include=effective_tag_bindings", "")
		for _, part := range []string{id, `"execution-mode":"agent"`, `"team:core"`, `"key":"env"`, `"value":"prod"`, `1.11`} {
			if !strings.Contains(got, part) {
				t.Errorf("%s: the workspace lacks %s", workspace, part)
			}
		}
		if strings.Contains(got, "env=prod") {
			t.Error("the key/value tag became a plain one")
		}
	}
}

// A plan that foresees refusals or failures exits 3: the plan itself succeeded, and the user
// has to decide.
func TestPlanExits3ForWhatWouldFail(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, many(2))
	for name, test := range map[string]struct {
		who   tfesim.Identity
		flags []string
		exit  int
	}{
		"may not create":     {tfesim.SecondUser, nil, 3},
		"organization token": {tfesim.Organization, nil, 3},
		"no such project":    {tfesim.Owner, []string{"--project", "nope"}, 3},
		"no agent pool":      {tfesim.Owner, []string{"--execution-mode", "agent"}, 3},
		"all there":          {tfesim.Owner, nil, 0},
	} {
		args := append([]string{"plan", dir, "--target", org, "--create", "--json"}, test.flags...)
		if r := h.tfhaulIn(t, t.Context(), h.with("TFE_TOKEN="+h.Token(test.who)), nil, args...); r.code != test.exit {
			t.Errorf("%s: exit code %d, want %d\n%s%s", name, r.code, test.exit, r.stdout, r.stderr)
		}
	}
}

func TestTagsAndAgentPoolsThatNoServerTakesAreUsageErrors(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	path := write(t, "terraform.tfstate", state(1, 10))
	for _, flags := range [][]string{{"--tag", "two words"}, {"--tag", "=prod"}, {"--agent-pool", "p"}, {"--agent-pool", "p", "--execution-mode", "local"}} {
		if r := h.tfhaul(t, append([]string{"move", path, org + "/new", "--create"}, flags...)...); r.code != 4 {
			t.Errorf("%q: exit code %d, want 4: %s", flags, r.code, r.stderr)
		}
	}
}
