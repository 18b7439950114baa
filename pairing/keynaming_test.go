package pairing_test

import (
	"testing"

	"tfhaul/backend"
	"tfhaul/pairing"
)

// Where a kind names a state's file after its workspace, all workspaces of a configuration
// still go to one path.
func TestKeysOfFilesNamedAfterWorkspaces(t *testing.T) {
	namer, err := pairing.ParseKeyNamer("", func(path, workspace string) string { return path + " in " + workspace })
	if err != nil {
		t.Fatal(err)
	}
	for want, place := range map[string]backend.Place{
		"net/terraform.tfstate in prod":         {Dir: "net", Base: "terraform", Key: "live/net/prod.tfstate", Workspace: "prod"},
		"net/terraform.tfstate in default":      {Dir: "net", Base: "terraform", Key: "live/net/default.tfstate", Workspace: "default"},
		"net/my.tfstate in prod":                {Dir: "net", Base: "my", Key: "env:/prod/live/net/my.tfstate", Workspace: "prod"},
		"net-prod/terraform.tfstate in default": {Organization: "acme", Workspace: "net-prod", Key: "net-prod", Base: "terraform"},
		"net/legacy.state in default":           {Dir: "net", Base: "legacy.state", Key: "net/legacy.state", Workspace: "default"},
	} {
		if got, err := namer.Naming(place); err != nil || got.Name != want {
			t.Errorf("%s: %q, %v; want %q", place.Key, got.Name, err, want)
		}
	}
}
