package pairing

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/template"

	"tfhaul/backend"
	"tfhaul/migrate"
)

// A ConfigurationFinder finds the directory of a state's configuration. It is safe for
// concurrent use.
type ConfigurationFinder struct {
	root     string             // "" means the state's own directory
	template *template.Template // nil unless the text is a template
}

// ParseConfigurationFinder parses the value of --prove-dir: a directory whose tree of
// configurations mirrors the source, or a template, as for --workspace-name, that expands
// to a directory. The empty text means the directory of a local state itself.
func ParseConfigurationFinder(text string) (*ConfigurationFinder, error) {
	if !strings.Contains(text, "{{") {
		return &ConfigurationFinder{root: text}, nil
	}
	t, err := template.New("prove-dir").Option("missingkey=error").Funcs(placeFunctions).Parse(text)
	if err == nil {
		// Some mistakes show only when the template is executed.
		if err = t.Execute(io.Discard, backend.Place{}); !isTemplateMistake(err) {
			err = nil // caused by the empty place
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the configuration directory template %q cannot be used: %s (the fields are .Dir .Base .Key .Bucket .Workspace .Root)", text, templateReason(err))
	}
	return &ConfigurationFinder{template: t}, nil
}

// ErrNoConfiguration is returned when the directory of a state's configuration is unknown.
var ErrNoConfiguration = errors.New("the directory of its configuration is unknown: set it with --prove-dir")

// Find returns the directory of the configuration of a move's state, without checking that it
// exists: that of --prove-dir, or else the one that the move knows. It returns
// ErrNoConfiguration for a state that is not a local file and is known only by its address.
func (f *ConfigurationFinder) Find(m migrate.Move) (string, error) {
	s := m.Object
	place := s.Place()
	switch {
	case f.template != nil:
		var b strings.Builder
		if err := f.template.Execute(&b, place); err != nil {
			return "", fmt.Errorf("no configuration directory for %q: %s", place.Key, templateReason(err))
		}
		return filepath.FromSlash(b.String()), nil
	case f.root != "":
		return filepath.Join(f.root, filepath.FromSlash(place.Dir)), nil
	}
	if m.Configuration != "" {
		return m.Configuration, nil
	}
	if !s.Traits().Local || place.Base == "" { // a pipe
		return "", ErrNoConfiguration
	}
	dir := filepath.Dir(s.Address())
	if place.Workspace != backend.DefaultWorkspace {
		// <configuration>/terraform.tfstate.d/<workspace>/terraform.tfstate
		dir = filepath.Join(dir, "..", "..")
	}
	return dir, nil
}
