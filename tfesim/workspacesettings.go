package tfesim

import (
	"encoding/json"

	"tfhaul/tfesim/jsonapi"
)

// exclusiveTriggers keeps one of trigger-patterns and trigger-prefixes: setting one clears
// the other, as the real server does.
func exclusiveTriggers(settings map[string]json.RawMessage, it jsonapi.Item) error {
	patterns, prefixes := listsSomething(it, "trigger-patterns"), listsSomething(it, "trigger-prefixes")
	switch {
	case patterns && prefixes:
		return jsonapi.Invalid("trigger-patterns", "Trigger patterns and trigger prefixes cannot be set at the same time")
	case patterns:
		delete(settings, "trigger-prefixes")
	case prefixes:
		delete(settings, "trigger-patterns")
	}
	return nil
}

// listsSomething reports whether a document sets the attribute to a non-empty list.
func listsSomething(it jsonapi.Item, attribute string) bool {
	var list []string
	raw, sent := it.Attributes[attribute]
	return sent && json.Unmarshal(raw, &list) == nil && len(list) > 0
}

// shareNewState applies the server's default for global-remote-state to a new workspace:
// false, as documented, unless Options.GlobalRemoteState or an old server's personality
// changes it.
func (s *Server) shareNewState(w *workspace) {
	if s.options.GlobalRemoteState || s.options.Personality == OldTFE {
		w.Settings["global-remote-state"] = json.RawMessage("true")
	}
}

// keepSource keeps which application created the workspace, which is set only on creation.
func keepSource(settings, before map[string]json.RawMessage) {
	for _, name := range []string{"source", "source-name", "source-url"} {
		if was, set := before[name]; set {
			settings[name] = was
		} else {
			delete(settings, name)
		}
	}
}
