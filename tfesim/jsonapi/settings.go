package jsonapi

import (
	"encoding/json"
	"slices"
)

// A Kind is the type of a setting's value.
type Kind int

// The kinds of settings. Every setting may be null, which means its default.
const (
	Bool Kind = iota
	String
	Strings
	Number
)

// A Setting is an attribute that the server keeps and returns without acting on it.
type Setting struct {
	Name    string
	Kind    Kind
	Default any
}

func (k Kind) accepts(raw json.RawMessage) bool {
	if string(raw) == "null" {
		return true
	}
	switch k {
	case Bool:
		return json.Unmarshal(raw, new(bool)) == nil
	case String:
		return json.Unmarshal(raw, new(string)) == nil
	case Strings:
		return json.Unmarshal(raw, new([]string)) == nil
	}
	return json.Unmarshal(raw, new(json.Number)) == nil
}

// String names the kind as error texts do.
func (k Kind) String() string {
	return [...]string{"a boolean", "a string", "a list of strings", "a number"}[k]
}

// ApplySettings returns the settings of a record with those of a document applied, or says which
// one has a wrong type. The record itself does not change.
func ApplySettings(known []Setting, have map[string]json.RawMessage, it Item) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for k, v := range have {
		out[k] = v
	}
	for name, raw := range it.Attributes {
		i := slices.IndexFunc(known, func(s Setting) bool { return s.Name == name })
		if i < 0 {
			continue // unknown attributes are ignored, as Rails does
		}
		if !known[i].Kind.accepts(raw) {
			return nil, Invalid(name, "%s must be %s", name, known[i].Kind)
		}
		if string(raw) == "null" {
			delete(out, name)
			continue
		}
		out[name] = raw
	}
	return out, nil
}

// ShowSettings adds all settings to the attributes of an answer.
func ShowSettings(known []Setting, have map[string]json.RawMessage, attributes map[string]any) {
	for _, s := range known {
		attributes[s.Name] = s.Default
		if raw, ok := have[s.Name]; ok {
			attributes[s.Name] = raw
		}
	}
}

// TextSetting returns a string setting, or def when it is not set.
func TextSetting(have map[string]json.RawMessage, name, def string) string {
	var v string
	if raw, ok := have[name]; ok && json.Unmarshal(raw, &v) == nil {
		return v
	}
	return def
}

// BoolSetting returns a boolean setting, or def when it is not set.
func BoolSetting(have map[string]json.RawMessage, name string, def bool) bool {
	var v bool
	if raw, ok := have[name]; ok && json.Unmarshal(raw, &v) == nil {
		return v
	}
	return def
}

// SetText sets a string setting.
func SetText(have map[string]json.RawMessage, name, value string) {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string always marshals
	}
	have[name] = b
}
