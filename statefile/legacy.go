package statefile

import (
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// readModule reads one element of "modules", where formats 1 to 3 keep everything.
// Terraform reads the path, outputs, resources and depends_on of a module; the type,
// depends_on, primary, deposed and provider of a resource; and the id, attributes, meta
// and, since format 2, tainted of an instance.
func (d *document) readModule() error {
	m := legacyModule{document: d}
	d.peek()
	m.at = d.offset()
	if err := d.objectOf(formats123, "modules", m.field); err != nil {
		return err
	}
	m.judge()
	t := &d.legacy
	// Outputs of modules other than the root are not the state's own.
	if m.depth <= 1 {
		t.Outputs += m.outputs
		t.SensitiveOutputs += m.sensitiveOutputs
	} else if m.resources.count > 0 {
		t.modules.count++
	}
	for _, r := range m.visited {
		r.Module = m.address
		d.visitor.Resource(r)
	}
	if d.visitor.Output != nil && m.depth <= 1 {
		for _, o := range m.visitedOutputs {
			d.visitor.Output(o)
		}
	}
	return nil
}

// A legacyModule is the module of formats 1 to 3 being read.
type legacyModule struct {
	*document
	address                   string
	depth                     int // length of the path: 1 for the root
	outputs, sensitiveOutputs int
	resources                 distinct

	at      int64         // offset of its start
	root    bool          // the path starts with "root"
	badStep bool          // a step of the path is not a name
	entries []legacyEntry // judged once the path is known

	visited        []Resource
	visitedOutputs []Output
}

func (m *legacyModule) field(key []byte) error {
	switch string(fold(key)) {
	case "path":
		m.depth, m.address, m.root, m.badStep = 0, "", false, false
		return m.arrayOf(formats123, "path", m.step)
	case "outputs":
		return m.objectOf(formats123, "outputs", m.output)
	case "resources":
		return m.objectOf(formats123, "resources", m.entry)
	case "depends_on":
		return m.arrayOf(formats123, "depends_on", m.dependency)
	}
	return m.skip()
}

func (m *legacyModule) step() error {
	name := ""
	err := m.text(formats123, "path", &name)
	if m.depth++; m.depth == 1 {
		m.root = name == "root"
	} else {
		m.badStep = m.badStep || !hclsyntax.ValidIdentifier(name)
		m.address = strings.TrimPrefix(m.address+".module."+name, ".")
	}
	return err
}

func (m *legacyModule) dependency() error { return m.check('"', formats123, "depends_on") }

// output reads one output: a string in format 1, an object in later ones.
func (m *legacyModule) output(name []byte) error {
	o := Output{Type: "string"}
	var value outputValue
	value.begin(NameNeutral)
	if m.visitor.Output != nil {
		o.Name = string(name)
	}
	m.outputs++
	var err error
	if m.peek() == '{' {
		m.expect('"', format1, "outputs")
		err = m.members(func(key []byte) error {
			switch string(fold(key)) {
			case "sensitive":
				return m.flag(formats23, "sensitive", &o.Sensitive)
			case "type":
				return m.text(formats23, "type", &o.Type)
			case "value":
				return m.readOutputValue(o.Name, &value)
			}
			return m.skip()
		})
	} else {
		m.expect('{', formats23, "outputs")
		m.expect('"', format1, "outputs")
		err = m.readOutputValue(o.Name, &value)
	}
	if o.Sensitive {
		m.sensitiveOutputs++
	}
	if m.visitor.Output != nil {
		m.visitedOutputs = append(m.visitedOutputs, value.complete(o))
	}
	return err
}

func (m *legacyModule) readOutputValue(name string, v *outputValue) error {
	if m.visitor.Output == nil {
		return m.skip()
	}
	return m.outputValue([]byte(name), v)
}

// A legacyResource is the entry of a module's "resources" being read. Each entry is one
// instance of a resource.
type legacyResource struct {
	*document
	kind, provider string
	noted          string // the provider as the file spells it
	current        bool
	instances      []Instance
	deposed        int
	tainted        int
}

// entry reads one member of a module's "resources". Its key is the address within the
// module: aws_instance.web, aws_instance.web.0, data.aws_ami.base.
func (m *legacyModule) entry(key []byte) error {
	mode, kind, name := splitLegacyAddress(string(key))
	raw := m.hashOf(key)
	index, reason := legacyIndex(string(key))
	isNew := m.resources.add([]byte(mode + "." + kind + "." + name))
	r := legacyResource{document: m.document, kind: kind}
	if err := m.objectOf(formats123, "resources", r.field); err != nil {
		return err
	}
	t := &m.legacy
	switch {
	case !isNew:
	case mode == "data":
		t.Data++
	default:
		t.Managed++
	}
	if r.current {
		t.Instances++
	}
	t.Deposed += r.deposed
	t.Tainted += r.tainted
	r.noted = r.provider
	if r.provider == "" {
		// The default provider is the prefix of the type.
		r.provider, _, _ = strings.Cut(r.kind, "_")
	}
	m.entries = append(m.entries, newLegacyEntry(m.document, raw, mode, kind, name, index, reason, &r))
	provider := providerAddress([]byte(r.provider))
	if isNew && len(provider) > 0 {
		t.provider(provider)
	}
	if m.visitor.Resource != nil {
		m.visited = append(m.visited, Resource{Mode: mode, Type: kind, Name: name, Provider: string(provider), Instances: r.instances})
	}
	return nil
}

// splitLegacyAddress splits an address such as data.aws_ami.base.0. It drops the index.
func splitLegacyAddress(address string) (mode, kind, name string) {
	mode = "managed"
	if rest, ok := strings.CutPrefix(address, "data."); ok {
		mode, address = "data", rest
	}
	kind, name, _ = strings.Cut(address, ".")
	name, _, _ = strings.Cut(name, ".")
	return mode, kind, name
}

func (r *legacyResource) field(key []byte) error {
	switch string(fold(key)) {
	case "type":
		return r.text(formats123, "type", &r.kind)
	case "provider":
		return r.text(formats123, "provider", &r.provider)
	case "depends_on":
		return r.arrayOf(formats123, "depends_on", func() error { return r.check('"', formats123, "depends_on") })
	case "primary":
		r.current = r.peek() == '{'
		return r.readObject(formats123, "primary", Instance{})
	case "deposed":
		return r.arrayOf(formats123, "deposed", func() error {
			r.deposed++
			return r.readObject(formats123, "deposed", Instance{Deposed: true})
		})
	case "tainted":
		// Terraform ignores this key in later formats.
		return r.arrayOf(format1, "tainted", func() error {
			return r.readObject(format1, "tainted", Instance{Tainted: true})
		})
	}
	return r.skip()
}

// readObject reads one instance for the formats f. i holds what is known of it already.
func (r *legacyResource) readObject(f formats, name string, i Instance) error {
	isObject := r.peek() == '{'
	err := r.objectOf(f, name, func(key []byte) error {
		switch string(fold(key)) {
		case "id":
			r.expect('"', f, "id")
			r.instance.id = r.instance.id[:0]
			err := r.readID()
			if r.visitor.Resource != nil {
				i.ID = string(r.instance.id)
			}
			return err
		case "attributes":
			return r.objectOf(f, "attributes", func([]byte) error { return r.check('"', f, "attributes") })
		case "meta":
			return r.objectOf(f, "meta", func([]byte) error { return r.check('"', f&format1, "meta") })
		case "tainted":
			return r.flag(f&formats23, "tainted", &i.Tainted)
		}
		return r.skip()
	})
	if i.Tainted {
		r.tainted++
	}
	if isObject && r.visitor.Resource != nil {
		r.instances = append(r.instances, i)
	}
	return err
}
