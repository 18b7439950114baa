package statefile

import "bytes"

// A resource is the resource of format 4 being read.
type resource struct {
	module, mode, kind, name, provider      textBuffer
	instances, deposed, tainted, sensitives int
	visited                                 []Instance

	at                int64    // offset of its start
	objects           []uint64 // one hash per instance, to identify it
	instanceProvider  []byte   // of the first instance that has one
	instanceProviders int
	dropped           bool   // by Terraform
	refusal           *Error // why Terraform rejects an instance
}

// An instance is the instance of format 4 being read.
type instance struct {
	status, deposed textBuffer
	id              []byte
	sensitives      int

	keyKind                keyKind
	key                    textBuffer // index_key
	provider               textBuffer // OpenTofu records it here if the provider has for_each
	badPath, badDependency bool
	stepType               []byte // type of the path step being read
	private                []byte // the last one, which was checked
}

// A keyKind is the type of an index_key, as peek returns it. Terraform accepts no others.
type keyKind = byte

const (
	noKey     keyKind = 0
	stringKey keyKind = '"'
	numberKey keyKind = '0'
	nullKey   keyKind = 'n'
)

// readResource reads one element of format 4's "resources".
func (d *document) readResource() error {
	r := &d.resource
	*r = resource{
		module: r.module.emptied(), mode: r.mode.emptied(), kind: r.kind.emptied(), name: r.name.emptied(), provider: r.provider.emptied(),
		visited: r.visited[:0], objects: r.objects[:0], instanceProvider: r.instanceProvider[:0],
	}
	d.peek()
	r.at = d.offset()
	if err := d.objectOf(format4, "resources", d.resourceField); err != nil {
		return err
	}
	d.judgeResource()
	t := &d.current
	switch string(r.mode.bytes) {
	case "managed":
		t.Managed++
	case "data":
		t.Data++
	default:
		t.Other++
	}
	t.Instances += r.instances
	t.Deposed += r.deposed
	t.Tainted += r.tainted
	t.SensitiveAttributes += r.sensitives
	if len(r.module.bytes) > 0 {
		t.modules.add(r.module.bytes)
	}
	address := providerAddress(r.provider.bytes)
	if len(address) == 0 {
		address = providerAddress(r.instanceProvider)
	}
	if len(address) > 0 {
		t.provider(address)
		if r.dropped {
			t.drop(address)
		}
	}
	if d.visitor.Resource != nil {
		d.lastVisited = Resource{
			Module: reuse(d.lastVisited.Module, r.module.bytes), Mode: reuse(d.lastVisited.Mode, r.mode.bytes), Type: reuse(d.lastVisited.Type, r.kind.bytes),
			Name: string(r.name.bytes), Provider: reuse(d.lastVisited.Provider, address), Instances: r.visited,
		}
		d.visitor.Resource(d.lastVisited)
	}
	return nil
}

// reuse returns text as a string: before, if they are equal.
func reuse(before string, text []byte) string {
	if before == string(text) {
		return before
	}
	return string(text)
}

func (d *document) resourceField(key []byte) error {
	r := &d.resource
	switch string(fold(key)) {
	case "module":
		return d.buffer(format4, "module", &r.module)
	case "mode":
		return d.buffer(format4, "mode", &r.mode)
	case "type":
		return d.buffer(format4, "type", &r.kind)
	case "name":
		return d.buffer(format4, "name", &r.name)
	case "provider":
		return d.buffer(format4, "provider", &r.provider)
	case "each":
		return d.check('"', format4, "each")
	case "instances":
		r.instances, r.deposed, r.tainted, r.sensitives, r.visited = 0, 0, 0, 0, r.visited[:0]
		r.objects, r.instanceProvider, r.instanceProviders, r.refusal = r.objects[:0], r.instanceProvider[:0], 0, nil
		return d.arrayOf(format4, "instances", d.readInstance)
	}
	return d.skip()
}

// readInstance reads one element of a resource's "instances".
func (d *document) readInstance() error {
	i, r := &d.instance, &d.resource
	*i = instance{status: i.status.emptied(), deposed: i.deposed.emptied(), id: i.id[:0], key: i.key.emptied(), provider: i.provider.emptied(), stepType: i.stepType[:0], private: i.private}
	d.peek()
	at := d.offset()
	if err := d.objectOf(format4, "instances", d.instanceField); err != nil {
		return err
	}
	d.judgeInstance(at)
	deposed, tainted := len(i.deposed.bytes) > 0, string(i.status.bytes) == "tainted"
	if deposed {
		r.deposed++
	} else {
		r.instances++
	}
	if tainted {
		r.tainted++
	}
	r.sensitives += i.sensitives
	if d.visitor.Resource != nil {
		r.visited = append(r.visited, Instance{ID: string(i.id), Deposed: deposed, Tainted: tainted})
	}
	return nil
}

func (d *document) instanceField(key []byte) error {
	i := &d.instance
	switch string(fold(key)) {
	case "status":
		return d.buffer(format4, "status", &i.status)
	case "deposed":
		return d.buffer(format4, "deposed", &i.deposed)
	case "attributes":
		if d.visitor.Resource != nil && d.peek() == '{' {
			return d.skipObject("id", d.readID)
		}
	case "attributes_flat":
		return d.objectOf(format4, "attributes_flat", d.flatAttribute)
	case "sensitive_attributes":
		return d.sensitivePaths()
	case "index_key":
		return d.indexKey()
	case "provider":
		return d.buffer(0, "provider", &i.provider) // Terraform ignores it
	case "schema_version":
		return d.schemaVersion()
	case "private":
		return d.private()
	case "dependencies":
		i.badDependency = false
		return d.arrayOf(format4, "dependencies", d.dependency)
	case "create_before_destroy":
		return d.check('t', format4, "create_before_destroy")
	}
	return d.skip()
}

// flatAttribute reads an attribute as Terraform before 0.12 stored it.
func (d *document) flatAttribute(key []byte) error {
	if string(key) == "id" && d.visitor.Resource != nil && d.peek() == '"' {
		return d.readID()
	}
	return d.check('"', format4, "attributes_flat")
}

func (d *document) readID() error {
	if d.peek() != '"' {
		return d.skip()
	}
	i := &d.instance
	id, long, err := d.readText()
	if long {
		id = nil
	}
	i.id = append(i.id[:0], id...)
	return err
}

func (d *document) dependency() error {
	if !d.expect('"', format4, "dependencies") {
		// Terraform rejects null as an address.
		d.instance.badDependency = true
		return d.skip()
	}
	address, long, err := d.readText()
	if err == nil && !long && !d.parsed.dependencies.of(address, isResourceAddress) {
		d.instance.badDependency = true
	}
	return err
}

// An output is the output of format 4 being read.
type output struct {
	name      []byte
	kind      textBuffer
	sensitive bool
	value     outputValue

	rawType, rawValue   []byte // as written, or their beginning
	longType, longValue bool   // only the beginning is kept
	valueKind           byte
}

// readOutput reads one member of format 4's "outputs".
func (d *document) readOutput(name []byte) error {
	o := &d.output
	*o = output{name: append(o.name[:0], name...), kind: o.kind.emptied(), value: o.value, rawType: o.rawType[:0], rawValue: o.rawValue[:0]}
	o.value.begin(NameNeutral)
	d.peek()
	at := d.offset()
	if err := d.objectOf(format4, "outputs", d.outputField); err != nil {
		return err
	}
	d.judgeOutput(at)
	d.current.Outputs++
	if o.sensitive {
		d.current.SensitiveOutputs++
	}
	if d.visitor.Output != nil {
		d.visitor.Output(o.value.complete(Output{Name: string(o.name), Sensitive: o.sensitive, Type: string(o.kind.bytes)}))
	}
	return nil
}

func (d *document) outputField(key []byte) error {
	o := &d.output
	switch string(fold(key)) {
	case "sensitive":
		return d.flag(format4, "sensitive", &o.sensitive)
	case "type":
		d.peek()
		d.begin(&d.record)
		err := d.outputType()
		raw, long := d.end(&d.record)
		o.rawType, o.longType = append(o.rawType[:0], raw...), long
		return err
	case "value":
		o.valueKind = d.peek()
		d.begin(&d.record)
		var err error
		if d.visitor.Output != nil {
			err = d.outputValue(o.name, &o.value)
		} else {
			err = d.skip()
		}
		raw, long := d.end(&d.record)
		o.rawValue, o.longValue = append(o.rawValue[:0], raw...), long
		return err
	}
	return d.skip()
}

// outputType reads a type in cty's notation: "string", or ["list","string"].
func (d *document) outputType() error {
	o := &d.output
	switch d.peek() {
	case '"':
		return d.buffer(0, "type", &o.kind)
	case '[':
		first := true
		return d.elements(func() error {
			if first && d.peek() == '"' {
				first = false
				return d.buffer(0, "type", &o.kind)
			}
			first = false
			return d.skip()
		})
	}
	return d.skip()
}

// providerAddress returns the source address in a provider configuration's address: the
// quoted part of module.a.provider["registry.terraform.io/hashicorp/aws"].west, or aws in
// the older provider.aws.west.
func providerAddress(configuration []byte) []byte {
	rest, quoted := bytes.CutPrefix(configuration, []byte(`provider["`))
	if !quoted { // in a module
		_, rest, quoted = bytes.Cut(configuration, []byte(`provider["`))
	}
	if quoted {
		if end := bytes.IndexByte(rest, '"'); end >= 0 {
			rest = rest[:end]
		}
		return rest
	}
	rest = configuration
	if i := bytes.LastIndex(rest, []byte("provider.")); i >= 0 {
		rest = rest[i+len("provider."):]
	}
	name, _, _ := bytes.Cut(rest, []byte("."))
	return name
}
