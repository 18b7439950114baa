package backend

import (
	"fmt"
	"slices"
	"strings"
)

// Settings are what a configuration says about its backend: a backend or cloud block, with
// what completes it. They may have credentials, so they are never shown.
type Settings struct {
	// Type is the name of Terraform's backend, or CloudBlock.
	Type string
	// Values are the constant arguments: each is a string, a bool, a float64, a []any or a
	// map[string]any. A nested block is a map. Arguments that are null are absent.
	Values map[string]any
	// Dir is the directory in which Terraform runs, for relative paths.
	Dir string
}

// CloudBlock is the Type of a cloud block, which has no name.
const CloudBlock = "cloud"

// Text returns an argument that is a string; "" if it is absent or something else.
func (s *Settings) Text(name string) string {
	text, _ := s.Values[name].(string)
	return text
}

// Yes reports whether an argument is true.
func (s *Settings) Yes(name string) bool {
	switch value := s.Values[name].(type) {
	case bool:
		return value
	case string:
		return value == "true"
	}
	return false
}

// Within returns an argument that is a nested block or a map; empty settings if it is absent.
func (s *Settings) Within(name string) *Settings {
	values, _ := s.Values[name].(map[string]any)
	return &Settings{Type: s.Type, Values: values, Dir: s.Dir}
}

// Need returns an *IncompleteError if any of these arguments is absent or empty.
func (s *Settings) Need(names ...string) error {
	missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return s.Text(name) != "" })
	if len(missing) == 0 {
		return nil
	}
	return &IncompleteError{Missing: missing}
}

// An IncompleteError is returned when settings lack what is needed to know the state.
type IncompleteError struct{ Missing []string }

func (e *IncompleteError) Error() string {
	verb := "is"
	if len(e.Missing) > 1 {
		verb = "are"
	}
	return fmt.Sprintf("%s %s not set", strings.Join(e.Missing, " and "), verb)
}

// A Configured is where a configuration keeps its states.
type Configured struct {
	// Container is the address of a source whose listing has the states of all workspaces; ""
	// if the configuration has only the one state State(DefaultWorkspace).
	Container string
	// Apart means that the container has only the named workspaces, and not the default one.
	Apart bool
	// Single means that the configuration has one state, whatever the workspace, and Unseen
	// that only reading a state shows whether it exists.
	Single, Unseen bool
	// State returns the address of the state of a workspace. Nil if it cannot be known
	// without a listing.
	State func(workspace string) string
	// Workspace reports whether a state that was found in the container is one of this
	// configuration, and of which workspace.
	Workspace func(s State) (name string, ok bool)
	// Notes are sentences for the user, such as where the credentials come from.
	Notes []string
}

// Configured returns where a configuration keeps its states. The error is an
// *IncompleteError, an *UnsupportedBackendError, or describes the settings.
func (k Kinds) Configured(s *Settings) (*Configured, error) {
	for _, kind := range k {
		if slices.Contains(kind.Backends, s.Type) {
			return kind.Configured(s)
		}
	}
	return nil, &UnsupportedBackendError{Type: s.Type}
}

// An UnsupportedBackendError is returned for a backend of Terraform that no kind knows.
type UnsupportedBackendError struct{ Type string }

func (e *UnsupportedBackendError) Error() string {
	return fmt.Sprintf("tfhaul cannot read the backend %q", e.Type)
}

// A Configuration is the configuration of a state that was found through its code.
type Configuration struct {
	// Dir is the directory of the root module, as a user types it.
	Dir string
	// Place is what the default names are made from. It replaces that of the state.
	Place Place
}
