package tfesim

import (
	"encoding/json"
	"strings"

	"tfhaul/tfesim/jsonapi"
)

// Settings that would start runs of a workspace. The server only reports them: they start no run.
// Only tests set run triggers, with AddRunTrigger.
const (
	vcsRepositorySetting = "vcs-repo"
	runTriggersSetting   = "run-triggers"
)

// A vcsRepository is the repository of a workspace, as clients send it.
type vcsRepository struct {
	Identifier        string `json:"identifier"`
	Branch            string `json:"branch"`
	IngressSubmodules bool   `json:"ingress-submodules"`
	OAuthTokenID      string `json:"oauth-token-id,omitempty"`
	GHAInstallationID string `json:"github-app-installation-id,omitempty"`
	TagsRegex         string `json:"tags-regex,omitempty"`
}

// vcsRepositoryOf returns the workspace's repository, or nil.
func vcsRepositoryOf(settings map[string]json.RawMessage) *vcsRepository {
	var repository vcsRepository
	if raw, set := settings[vcsRepositorySetting]; !set || json.Unmarshal(raw, &repository) != nil {
		return nil
	}
	return &repository
}

// shownVCSRepository returns the workspace's repository as the API shows it.
func shownVCSRepository(w *workspace) any {
	r := vcsRepositoryOf(w.Settings)
	if r == nil {
		return nil
	}
	provider := "github"
	if r.GHAInstallationID != "" {
		provider = "github_app"
	}
	orNull := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	return map[string]any{
		"identifier": r.Identifier, "display-identifier": r.Identifier, "branch": r.Branch,
		"ingress-submodules": r.IngressSubmodules, "tags": r.TagsRegex != "", "tags-regex": orNull(r.TagsRegex),
		"oauth-token-id": orNull(r.OAuthTokenID), "github-app-installation-id": orNull(r.GHAInstallationID),
		"repository-http-url": "https://github.com/" + r.Identifier, "service-provider": provider,
		"webhook-url": "https://" + w.Org + ".invalid/webhooks/vcs/" + w.ID,
	}
}

// changeVCSRepository applies the vcs-repo of a document: null removes the repository, and
// absent members keep their value. This server has no VCS providers: it accepts every ID with
// the right prefix.
func changeVCSRepository(settings map[string]json.RawMessage, it jsonapi.Item) error {
	if !it.Sent(vcsRepositorySetting) {
		return nil
	}
	if !it.Has(vcsRepositorySetting) {
		delete(settings, vcsRepositorySetting)
		return nil
	}
	repository := vcsRepositoryOf(settings)
	if repository == nil {
		repository = &vcsRepository{}
	}
	if json.Unmarshal(it.Attributes[vcsRepositorySetting], repository) != nil {
		return jsonapi.Invalid(vcsRepositorySetting, "vcs-repo must be an object")
	}
	oauth, app := repository.OAuthTokenID, repository.GHAInstallationID
	switch {
	case !strings.Contains(repository.Identifier, "/"):
		return jsonapi.Invalid(vcsRepositorySetting, "VCS repo identifier is invalid")
	case oauth == "" && app == "":
		return jsonapi.Invalid(vcsRepositorySetting, "VCS repo requires an OAuth token or a GitHub App installation")
	case oauth != "" && app != "":
		return jsonapi.Invalid(vcsRepositorySetting, "VCS repo cannot have both an OAuth token and a GitHub App installation")
	case oauth != "" && !strings.HasPrefix(oauth, "ot-"), app != "" && !strings.HasPrefix(app, "ghain-"):
		return jsonapi.NotFound()
	}
	raw, err := json.Marshal(repository)
	if err != nil {
		return err
	}
	settings[vcsRepositorySetting] = raw
	return nil
}

// listRunTriggers answers GET /workspaces/:id/run-triggers. The filter is required.
func listRunTriggers(c *call, w *workspace) (*jsonapi.Answer, error) {
	var sources []string
	switch c.r.URL.Query().Get("filter[run-trigger][type]") {
	case "inbound":
		if err := json.Unmarshal(w.Settings[runTriggersSetting], &sources); err != nil && w.Settings[runTriggersSetting] != nil {
			return nil, err
		}
	case "outbound":
	default:
		return nil, jsonapi.BadRequest("The filter[run-trigger][type] parameter must be inbound or outbound")
	}
	return jsonapi.List(c.r, sources, func(source string) jsonapi.Resource {
		return jsonapi.Resource{ID: "rt-" + source, Type: "run-triggers", Attributes: map[string]any{"workspace-name": w.Name, "sourceable-name": source}}
	}, nil)
}
