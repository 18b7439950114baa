package tfesim

import (
	"encoding/json"

	"tfhaul/tfesim/jsonapi"
)

// Settings that would start runs of a workspace. The server only reports them: they start no run.
// Only tests set them, with SetVCSRepository and AddRunTrigger.
const (
	vcsRepositorySetting = "vcs-repo"
	runTriggersSetting   = "run-triggers"
)

// vcsRepository returns the workspace's repository as the API shows it.
func vcsRepository(w *workspace) any {
	name := jsonapi.TextSetting(w.Settings, vcsRepositorySetting, "")
	if name == "" {
		return nil
	}
	return map[string]any{"identifier": name, "display-identifier": name, "branch": ""}
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
