package file_test

import (
	"path/filepath"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/file"
)

// Terraform's local backend finds a file by its path, and a file in its layout as the state
// of a workspace.
func TestBlocksOfFiles(t *testing.T) {
	dir := t.TempDir()
	slashed := filepath.ToSlash(dir)
	for name, want := range map[string]struct {
		workspace string
		arguments []backend.Argument
	}{
		"network.tfstate":       {"", []backend.Argument{{Name: "path", Value: slashed + "/network.tfstate"}}},
		"net/terraform.tfstate": {"", []backend.Argument{{Name: "path", Value: slashed + "/net/terraform.tfstate"}}},
		"net/terraform.tfstate.d/prod/terraform.tfstate": {"prod", []backend.Argument{
			{Name: "path", Value: slashed + "/net/terraform.tfstate"}, {Name: "workspace_dir", Value: slashed + "/net/terraform.tfstate.d"},
		}},
		"net/terraform.tfstate.d/prod/other.tfstate":         {"", []backend.Argument{{Name: "path", Value: slashed + "/net/terraform.tfstate.d/prod/other.tfstate"}}},
		"net/terraform.tfstate.d/with a b/terraform.tfstate": {"", []backend.Argument{{Name: "path", Value: slashed + "/net/terraform.tfstate.d/with a b/terraform.tfstate"}}},
	} {
		b, err := file.Kind(backend.Connection{}).Target.Block(t.Context(), dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if b.Named() != (want.workspace != "") || b.Named() && b.Workspace != want.workspace || b.HCL() != (&backend.Block{Type: "local", Arguments: want.arguments}).HCL() {
			t.Errorf("%s: workspace %q\n%s", name, b.Workspace, b.HCL())
		}
	}
}

// What is special in HCL is written so that Terraform reads it as it is.
func TestBlocksAreQuoted(t *testing.T) {
	b := &backend.Block{Type: "local", Arguments: []backend.Argument{{Name: "path", Value: "/a\"b\\c${d}%{e}\n"}}}
	if want := "terraform {\n  backend \"local\" {\n    path = \"/a\\\"b\\\\c$${d}%%{e}\\n\"\n  }\n}\n"; b.HCL() != want {
		t.Errorf("got\n%swant\n%s", b.HCL(), want)
	}
}
