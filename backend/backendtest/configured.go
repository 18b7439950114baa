package backendtest

import (
	"reflect"
	"testing"

	"tfhaul/backend"
)

// Configured tests that settings become the addresses of the default workspace, of the workspace
// prod and of what is listed, "" for nothing, and that the block for these addresses has the same
// settings.
func Configured(t *testing.T, kinds backend.Kinds, s *backend.Settings, main, prod, container string) {
	t.Helper()
	at, err := kinds.Configured(s)
	if err != nil {
		t.Fatalf("%s: %v", main, err)
	}
	if at.Container != container {
		t.Errorf("%s: the container is %q, want %q", main, at.Container, container)
	}
	for workspace, want := range map[string]string{backend.DefaultWorkspace: main, "prod": prod} {
		address := at.State(workspace)
		if address != want {
			t.Errorf("the state of the workspace %s is at %q, want %q", workspace, address, want)
		}
		if at.Single {
			workspace = ""
		}
		sameSettings(t, kinds, address, workspace, s)
	}
}

// sameSettings fails unless the block for the state at an address has these settings.
func sameSettings(t *testing.T, kinds backend.Kinds, address, workspace string, want *backend.Settings) {
	t.Helper()
	kind, err := kinds.Target(address)
	if err != nil {
		t.Fatal(err)
	}
	container, name, err := kind.Target.SplitState(address)
	if err != nil {
		t.Fatal(err)
	}
	block, err := kind.Target.Block(t.Context(), container, name)
	if err != nil {
		t.Fatal(err)
	}
	if block.Workspace != workspace || block.Type != want.Type || len(block.Arguments) != len(want.Values) {
		t.Errorf("%s: the block is for the workspace %q and has the settings %v, want %q and %v", address, block.Workspace, block.Arguments, workspace, want.Values)
		return
	}
	for _, argument := range block.Arguments {
		value := argument.Value
		if texts, ok := value.(map[string]string); ok {
			object := map[string]any{}
			for name, text := range texts {
				object[name] = text
			}
			value = object
		}
		if !reflect.DeepEqual(value, want.Values[argument.Name]) {
			t.Errorf("%s: the block has %s = %v, want %v", address, argument.Name, value, want.Values[argument.Name])
		}
	}
}
