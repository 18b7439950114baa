package tfesim

import (
	"encoding/json"
	"slices"
)

// The kinds of a plain attribute's value. All but a bool may be null.
type valueKind int

const (
	kindBool valueKind = iota
	kindString
	kindStrings
	kindNumber
	kindObject
)

// A setting is an attribute that the server keeps and gives back without acting on it.
type setting struct {
	name string
	kind valueKind
	def  any
}

func (k valueKind) accepts(raw json.RawMessage) bool {
	if string(raw) == "null" {
		return true
	}
	switch k {
	case kindBool:
		return json.Unmarshal(raw, new(bool)) == nil
	case kindString:
		return json.Unmarshal(raw, new(string)) == nil
	case kindStrings:
		return json.Unmarshal(raw, new([]string)) == nil
	case kindNumber:
		return json.Unmarshal(raw, new(json.Number)) == nil
	}
	return json.Unmarshal(raw, new(map[string]json.RawMessage)) == nil
}

func (k valueKind) String() string {
	return [...]string{"a boolean", "a string", "a list of strings", "a number", "an object"}[k]
}

// applySettings checks the settings that a document brings and returns the record's with
// them applied. The record itself is not changed.
func applySettings(known []setting, have map[string]json.RawMessage, it item) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for k, v := range have {
		out[k] = v
	}
	for name, raw := range it.Attributes {
		i := slices.IndexFunc(known, func(s setting) bool { return s.name == name })
		if i < 0 {
			continue // unknown attributes are ignored, as Rails does
		}
		if !known[i].kind.accepts(raw) {
			return nil, errInvalid(name, "%s must be %s", name, known[i].kind)
		}
		if string(raw) == "null" {
			delete(out, name)
			continue
		}
		out[name] = raw
	}
	return out, nil
}

// showSettings writes all settings into the attributes of an answer.
func showSettings(known []setting, have map[string]json.RawMessage, attributes map[string]any) {
	for _, s := range known {
		attributes[s.name] = s.def
		if raw, ok := have[s.name]; ok {
			attributes[s.name] = raw
		}
	}
}

// textSetting is a string setting's value, or its default.
func textSetting(have map[string]json.RawMessage, name, def string) string {
	var v string
	if raw, ok := have[name]; ok && json.Unmarshal(raw, &v) == nil {
		return v
	}
	return def
}

// boolSetting is a bool setting's value, or its default.
func boolSetting(have map[string]json.RawMessage, name string, def bool) bool {
	var v bool
	if raw, ok := have[name]; ok && json.Unmarshal(raw, &v) == nil {
		return v
	}
	return def
}

func setText(have map[string]json.RawMessage, name, value string) {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string always marshals
	}
	have[name] = b
}
