package tfesim

import (
	"bufio"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// A stateHeader holds the attributes of a state that its version has, too.
type stateHeader struct {
	Serial  int64  `json:"serial"`
	Lineage string `json:"lineage"`
}

func readStateHeader(raw []byte) (h stateHeader, err error) {
	err = json.Unmarshal(raw, &h)
	return h, err
}

// contents is what the server extracts from a state when it processes it. Bytes that are
// not a state have no contents, but are kept, because the server checks only the
// attributes.
type contents struct {
	Format           int
	TerraformVersion string
	Resources        []contentResource
	Outputs          []contentOutput
	// ManagedCount counts the managed instances, including those left out of Resources.
	ManagedCount int
	described    int
}

type contentResource struct {
	Name, Type, Module, Provider string
	Managed                      bool
	Count                        int
	Keys                         []string // of the instance: "", "[0]" or `["a"]`
}

// maxDescribed limits how many resource instances and outputs are described, so that a huge
// state does not become a huge record.
const maxDescribed = 10_000

type contentOutput struct {
	ID        string
	Name      string
	Sensitive bool
	Value     json.RawMessage
	Type      json.RawMessage
}

// readContents reads a blob in constant memory, one resource instance at a time.
func (s *Server) readContents(b *blobs.Blob) contents {
	f, err := s.blobs.Open(b.ID)
	if err != nil {
		s.options.Logger.Warn("a state could not be read", "error", err)
		return contents{}
	}
	defer f.Close()
	var read contents
	if err := read.read(bufio.NewReaderSize(f, 64<<10)); err != nil {
		return contents{}
	}
	return read
}

func (t *contents) read(r io.Reader) error {
	d := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return eachMember(d, func(name string) error {
		switch name {
		case "version":
			return decode(d, &t.Format)
		case "terraform_version":
			return decode(d, &t.TerraformVersion)
		case "resources":
			return eachElement(d, func() error { return t.readResource(d) })
		case "outputs":
			return t.readOutputs(d)
		}
		return d.SkipValue()
	})
}

func (t *contents) readResource(d *jsontext.Decoder) error {
	var r contentResource
	var mode string
	err := eachMember(d, func(name string) error {
		switch name {
		case "mode":
			return decode(d, &mode)
		case "type":
			return decode(d, &r.Type)
		case "name":
			return decode(d, &r.Name)
		case "module":
			return decode(d, &r.Module)
		case "provider":
			return decode(d, &r.Provider)
		case "instances":
			return eachElement(d, func() error { return t.readInstance(d, &r) })
		}
		return d.SkipValue()
	})
	if r.Module == "" {
		r.Module = "root"
	}
	if r.Managed = mode != "data"; r.Managed {
		t.ManagedCount += r.Count
	} else {
		r.Type = "data." + r.Type
	}
	if t.described < maxDescribed {
		t.described++
		t.Resources = append(t.Resources, r)
	}
	return err
}

func (t *contents) readInstance(d *jsontext.Decoder, r *contentResource) error {
	var index json.RawMessage
	err := eachMember(d, func(name string) error {
		if name == "index_key" {
			return decode(d, &index)
		}
		return d.SkipValue()
	})
	r.Count++
	if t.described < maxDescribed {
		t.described++
		key := ""
		if len(index) > 0 && string(index) != "null" {
			key = "[" + string(index) + "]"
		}
		r.Keys = append(r.Keys, key)
	}
	return err
}

func (t *contents) readOutputs(d *jsontext.Decoder) error {
	err := eachMember(d, func(name string) error {
		o := contentOutput{ID: jsonapi.NewID("wsout"), Name: name}
		err := eachMember(d, func(field string) error {
			switch field {
			case "value":
				return decode(d, &o.Value)
			case "type":
				return decode(d, &o.Type)
			case "sensitive":
				return decode(d, &o.Sensitive)
			}
			return d.SkipValue()
		})
		if t.described < maxDescribed {
			t.described++
			t.Outputs = append(t.Outputs, o)
		}
		return err
	})
	slices.SortFunc(t.Outputs, func(a, b contentOutput) int { return strings.Compare(a.Name, b.Name) })
	return err
}

// eachMember visits an object's members; it skips any other value.
func eachMember(d *jsontext.Decoder, visit func(name string) error) error {
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		if err := visit(name.String()); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// eachElement visits an array's elements; it skips any other value.
func eachElement(d *jsontext.Decoder, visit func() error) error {
	if d.PeekKind() != '[' {
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if err := visit(); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// decode reads one value; a value of another type leaves the target unchanged.
func decode(d *jsontext.Decoder, into any) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	if raw, isRaw := into.(*json.RawMessage); isRaw {
		*raw = json.RawMessage(v.Clone())
		return nil
	}
	// Values of unexpected types do not matter to the server.
	_ = json.Unmarshal(v, into)
	return nil
}

// describe sets the attributes of a processed version.
func (t contents) describe(attributes map[string]any) {
	attributes["resources-processed"] = true
	if t.Format > 0 {
		attributes["state-version"] = t.Format
	}
	if t.TerraformVersion != "" {
		attributes["terraform-version"] = t.TerraformVersion
	}
	resources := []map[string]any{}
	modules := map[string]map[string]int{}
	providers := map[string]map[string]int{}
	for _, r := range t.Resources {
		resources = append(resources, map[string]any{
			"name": r.Name, "type": r.Type, "count": r.Count, "module": r.Module, "provider": r.Provider,
		})
		kind := strings.ReplaceAll(r.Type, "_", "-")
		addTo(modules, r.Module, kind, r.Count)
		addTo(providers, r.Provider, kind, r.Count)
	}
	attributes["resources"] = resources
	attributes["modules"] = modules
	attributes["providers"] = providers
	attributes["billable-rum-count"] = t.ManagedCount
}

func addTo(m map[string]map[string]int, key, kind string, n int) {
	if m[key] == nil {
		m[key] = map[string]int{}
	}
	m[key][kind] += n
}
