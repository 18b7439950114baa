package pairing

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/template"

	"tfhaul/backend"
)

// A ConfigurationFinder finds the directory of the configuration that a state belongs to. It may be
// used by several goroutines at once.
type ConfigurationFinder struct {
	root     string             // "" for beside the state
	template *template.Template // nil where root says it
}

// ParseConfigurationFinder reads --prove-dir: a directory below which configurations lie as the states
// do at their source, or a template as of --workspace-name that gives a directory. The empty text
// stands for the directory in which a local state itself belongs.
func ParseConfigurationFinder(text string) (*ConfigurationFinder, error) {
	if !strings.Contains(text, "{{") {
		return &ConfigurationFinder{root: text}, nil
	}
	t, err := template.New("prove-dir").Option("missingkey=error").Funcs(placeFunctions).Parse(text)
	if err == nil {
		// Some mistakes show only when the template runs.
		if err = t.Execute(io.Discard, backend.Place{}); !isTemplateMistake(err) {
			err = nil // of the place being empty
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the template of configuration directories %q cannot be used: %s (there are .Dir .Base .Key .Bucket .Workspace .Root)", text, templateReason(err))
	}
	return &ConfigurationFinder{template: t}, nil
}

// ErrNoConfiguration says that nobody can know where a state's configuration is.
var ErrNoConfiguration = errors.New("where its configuration lies is not known: say so with --prove-dir")

// Find is the directory of the configuration that a state belongs to; whether there is one is not
// looked at. ErrNoConfiguration is for states that do not lie in the file system, where nothing was
// said of them.
func (f *ConfigurationFinder) Find(s backend.State) (string, error) {
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
