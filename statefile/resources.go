package statefile

import "bytes"

// A resource is one of format 4 while it is read.
type resource struct {
	module, mode, kind, name, provider      []byte
	instances, deposed, tainted, sensitives int
	visited                                 []Instance
}

// An instance is one of format 4 while it is read.
type instance struct {
	status, deposed, id []byte
	sensitives          int
}

// readResource reads one element of format 4's "resources".
func (d *document) readResource() error {
	r := &d.resource
	*r = resource{
		module: r.module[:0], mode: r.mode[:0], kind: r.kind[:0], name: r.name[:0], provider: r.provider[:0],
		visited: r.visited[:0],
	}
	if err := d.objectOf(format4, "resources", d.resourceField); err != nil {
		return err
	}
	t := &d.current
	switch string(r.mode) {
	case "managed":
		t.managed++
	case "data":
		t.data++
	default:
		t.other++
	}
	t.instances += r.instances
	t.deposed += r.deposed
	t.tainted += r.tainted
	t.sensitiveAttributes += r.sensitives
	if len(r.module) > 0 {
		t.modules.add(r.module)
	}
	address := providerAddress(r.provider)
	if len(address) > 0 {
		t.provider(address)
	}
	if d.visitor.Resource != nil {
		d.told = Resource{
			Module: again(d.told.Module, r.module), Mode: again(d.told.Mode, r.mode), Type: again(d.told.Type, r.kind),
			Name: string(r.name), Provider: again(d.told.Provider, address), Instances: r.visited,
		}
		d.visitor.Resource(d.told)
	}
	return nil
}

// again is the text as a string: the same one as before, if that says it.
func again(before string, text []byte) string {
	if before == string(text) {
		return before
	}
	return string(text)
}

func (d *document) resourceField(key []byte) error {
	r := &d.resource
	switch string(fold(key)) {
	case "module":
		return d.bytesOf(format4, "module", &r.module)
	case "mode":
		return d.bytesOf(format4, "mode", &r.mode)
	case "type":
		return d.bytesOf(format4, "type", &r.kind)
	case "name":
		return d.bytesOf(format4, "name", &r.name)
	case "provider":
		return d.bytesOf(format4, "provider", &r.provider)
	case "each":
		return d.check('"', format4, "each")
	case "instances":
		r.instances, r.deposed, r.tainted, r.sensitives, r.visited = 0, 0, 0, 0, r.visited[:0]
		return d.arrayOf(format4, "instances", d.readInstance)
	}
	return d.skip()
}

// readInstance reads one element of a resource's "instances".
func (d *document) readInstance() error {
	i, r := &d.instance, &d.resource
	*i = instance{status: i.status[:0], deposed: i.deposed[:0], id: i.id[:0]}
	if err := d.objectOf(format4, "instances", d.instanceField); err != nil {
		return err
	}
	deposed, tainted := len(i.deposed) > 0, string(i.status) == "tainted"
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
		return d.bytesOf(format4, "status", &i.status)
	case "deposed":
		return d.bytesOf(format4, "deposed", &i.deposed)
	case "attributes":
		if d.visitor.Resource != nil && d.peek() == '{' {
			return d.find("id", d.readID)
		}
	case "attributes_flat":
		return d.objectOf(format4, "attributes_flat", d.flatAttribute)
	case "sensitive_attributes":
		i.sensitives = 0
		return d.arrayOf(format4, "sensitive_attributes", d.sensitivePath)
	case "schema_version":
		return d.check('0', format4, "schema_version")
	case "private":
		return d.check('"', format4, "private")
	case "dependencies":
		return d.arrayOf(format4, "dependencies", d.dependency)
	case "create_before_destroy":
		return d.check('t', format4, "create_before_destroy")
	}
	return d.skip()
}

// flatAttribute reads an attribute as Terraform before 0.12 kept it.
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

func (d *document) sensitivePath() error {
	d.instance.sensitives++
	return d.skip()
}

func (d *document) dependency() error { return d.check('"', format4, "dependencies") }

// An output is one of format 4 while it is read.
type output struct {
	name, kind  []byte
	sensitive   bool
	empty       bool
	secretShape string
}

// readOutput reads one member of format 4's "outputs".
func (d *document) readOutput(name []byte) error {
	o := &d.output
	*o = output{name: append(o.name[:0], name...), kind: o.kind[:0], empty: true}
	if err := d.objectOf(format4, "outputs", d.outputField); err != nil {
		return err
	}
	d.current.outputs.all++
	if o.sensitive {
		d.current.outputs.sensitive++
	}
	if d.visitor.Output != nil {
		d.visitor.Output(Output{Name: string(o.name), Sensitive: o.sensitive, Type: string(o.kind), Empty: o.empty, SecretShape: o.secretShape})
	}
	return nil
}

func (d *document) outputField(key []byte) error {
	o := &d.output
	switch string(fold(key)) {
	case "sensitive":
		return d.flag(format4, "sensitive", &o.sensitive)
	case "type":
		return d.outputType()
	case "value":
		if d.visitor.Output != nil {
			return d.outputValue(&o.empty, &o.secretShape)
		}
	}
	return d.skip()
}

// outputValue reads the value of an output, of any format, and says whether it is empty
// and which credential the first text in it that looks like one has the shape of.
func (d *document) outputValue(empty *bool, shape *string) error {
	kind, at := d.peek(), d.offset()
	*shape = ""
	err := d.walk(func(text []byte) {
		if *shape == "" {
			*shape = secretShape(text)
		}
	})
	*empty = kind == 'n' || kind != '0' && d.offset()-at == int64(len(`""`))
	return err
}

// outputType reads a type as cty writes it: "string", or ["list","string"].
func (d *document) outputType() error {
	o := &d.output
	switch d.peek() {
	case '"':
		return d.bytesOf(0, "type", &o.kind)
	case '[':
		first := true
		return d.elements(func() error {
			if first && d.peek() == '"' {
				first = false
				return d.bytesOf(0, "type", &o.kind)
			}
			first = false
			return d.skip()
		})
	}
	return d.skip()
}

// providerAddress is the source address in a provider configuration's address:
// of module.a.provider["registry.terraform.io/hashicorp/aws"].west it is what the
// quotes enclose, of the older provider.aws.west it is aws.
func providerAddress(configuration []byte) []byte {
	if _, rest, ok := bytes.Cut(configuration, []byte(`provider["`)); ok {
		address, _, _ := bytes.Cut(rest, []byte(`"`))
		return address
	}
	rest := configuration
	if i := bytes.LastIndex(rest, []byte("provider.")); i >= 0 {
		rest = rest[i+len("provider."):]
	}
	name, _, _ := bytes.Cut(rest, []byte("."))
	return name
}
