package statefile

import (
	"encoding/json"
	"hash/maphash"
	"io"
	"regexp"
	"strconv"
)

// An Item is something in a state of format 4 that has an address: an object of a resource,
// or an output. It is valid only during the call.
type Item struct {
	// Address is that of the object: module.a.aws_vpc.main["x"], with " (deposed KEY)" for a
	// deposed one; output.NAME for an output.
	Address string
	// Digest is that of all parts. It does not depend on their order or formatting, and can
	// only be compared within one process.
	Digest uint64
	Parts  []Part

	sensitive    map[string]bool
	allSensitive bool
}

// A Part is an attribute of an object, or something else that a state records about it: its
// name is then in parentheses.
type Part struct {
	Name   string
	Digest uint64
	// Value is the JSON text of a value that is a string, a number, a bool or null, if values
	// were asked for; "" for others, and for texts longer than 16 KiB.
	Value string
}

// Sensitive reports whether the state marks a part, or something in it, as sensitive.
func (i *Item) Sensitive(part string) bool { return i.allSensitive || i.sensitive[part] }

// ReadItems reads a state of format 4 to its end and calls visit for its items, in the file's
// order. It returns the other members of the state. Like [Read], it makes one pass in flat
// memory. It returns an [*Error] if the file is not JSON, or r's error.
func ReadItems(r io.Reader, values bool, visit func(*Item)) ([]Part, error) {
	s := newScanner(r)
	defer s.release()
	d := &itemReader{digester: digester{scanner: s, content: new(Content)}, values: values, visit: visit, names: map[string]string{}}
	d.hash.SetSeed(distinctSeed)
	refusal := d.read()
	s.in.drain(maxRefused)
	switch {
	case s.in.err != nil && s.in.err != io.EOF:
		return nil, s.in.err
	case refusal != nil:
		return nil, refusal
	}
	if d.after != 0 {
		d.others = append(d.others, Part{Name: "resources", Digest: d.after})
	}
	return d.others, nil
}

// An itemReader reads items.
type itemReader struct {
	digester
	values bool
	visit  func(*Item)
	names  map[string]string // of parts, so that each is held once
	others []Part
	after  uint64 // digest of what follows the instances of resources

	item Item // the one being read
}

// Limits of what a hostile file can make an itemReader hold.
const (
	maxParts = 10_000
	maxNames = 1 << 16
)

func (d *itemReader) read() error {
	if refusal := sniff(d.scanner.buf); refusal != nil {
		return refusal
	}
	if d.next() != '{' {
		return d.broken()
	}
	if err := d.members(d.top); err != nil {
		return err
	}
	if d.next(); !d.ended() {
		return d.refuse(KindTrailingGarbage, "", d.offset())
	}
	return nil
}

func (d *itemReader) top(key []byte) error {
	name := string(fold(key))
	switch kind := d.peek(); {
	case name == "resources" && kind == '[':
		return d.elements(d.resource)
	case name == "outputs" && kind == '{':
		return d.members(d.output)
	case kind == 'n': // the same as none
		return d.skip()
	}
	digest, err := d.value()
	if len(d.others) < maxParts {
		d.others = append(d.others, Part{Name: name, Digest: digest})
	}
	return err
}

func (d *itemReader) output(name []byte) error {
	d.item = Item{Address: "output." + string(name), Parts: d.item.Parts[:0]}
	if d.peek() != '{' {
		return d.skip()
	}
	err := d.members(func(key []byte) error {
		part := d.name(string(key))
		if part == "sensitive" && d.peek() == 't' {
			d.item.allSensitive = true
		}
		return d.part(part)
	})
	if err == nil {
		d.visit(&d.item)
	}
	return err
}

// An itemResource is a resource whose items are being read.
type itemResource struct {
	module, mode, kind, name string
	provider                 bool   // it is among the parts
	parts                    []Part // of the resource itself
	late                     []Item // read before its name and provider were known
	visited                  bool   // some items were not late
}

// address returns the address of an object.
func (r *itemResource) address(key string) string {
	address := r.kind + "." + r.name
	if r.mode == "data" {
		address = "data." + address
	}
	if r.module != "" {
		address = r.module + "." + address
	}
	return address + key
}

func (d *itemReader) resource() error {
	if d.peek() != '{' {
		return d.skip()
	}
	var r itemResource
	texts := map[string]*string{"module": &r.module, "mode": &r.mode, "type": &r.kind, "name": &r.name}
	err := d.members(func(key []byte) error {
		name := string(fold(key))
		text := texts[name]
		switch kind := d.peek(); {
		case text != nil && kind == '"':
			said, _, err := d.readText()
			*text = string(said)
			return err
		case name == "instances" && kind == '[':
			return d.elements(func() error { return d.instance(&r) })
		case name == "each":
			return d.skip()
		}
		digest, err := d.value()
		if r.visited { // Terraform writes nothing there
			d.after += d.pair(maphash.String(distinctSeed, r.address("")+" "+name), digest)
			return err
		}
		r.provider = r.provider || name == "provider"
		if len(r.parts) < maxParts {
			r.parts = append(r.parts, Part{Name: d.name("(" + name + ")"), Digest: digest})
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, late := range r.late {
		d.item = late
		d.item.Address = r.address(late.Address)
		for _, p := range r.parts {
			d.add(p)
		}
		d.visit(&d.item)
	}
	return nil
}

func (d *itemReader) instance(r *itemResource) error {
	if d.peek() != '{' {
		return d.skip()
	}
	d.item = Item{Parts: d.item.Parts[:0]}
	key, deposed := "", ""
	err := d.members(func(member []byte) error {
		name := string(fold(member))
		switch kind := d.peek(); {
		case name == "index_key" && kind == '"':
			said, _, err := d.readText()
			key = "[" + strconv.Quote(string(said)) + "]"
			return err
		case name == "index_key" && kind == '0':
			literal, err := d.readNumber()
			key = "[" + string(literal) + "]"
			return err
		case name == "deposed" && kind == '"':
			said, _, err := d.readText()
			deposed = string(said)
			return err
		case (name == "attributes" || name == "attributes_flat") && kind == '{':
			return d.members(func(attribute []byte) error { return d.part(d.name(string(attribute))) })
		case name == "sensitive_attributes":
			return d.sensitive()
		}
		digest, err := d.value()
		d.add(Part{Name: d.name("(" + name + ")"), Digest: digest})
		return err
	})
	if err != nil {
		return err
	}
	if deposed != "" {
		key += " (deposed " + deposed + ")"
	}
	if r.mode != "" && r.kind != "" && r.name != "" && r.provider && len(r.late) == 0 { // as Terraform writes them
		r.visited = true
		d.item.Address = r.address(key)
		for _, p := range r.parts {
			d.add(p)
		}
		d.visit(&d.item)
		return nil
	}
	late := d.item
	late.Address, late.Parts = key, append([]Part(nil), d.item.Parts...)
	r.late = append(r.late, late)
	return nil
}

// part reads the value of a part.
func (d *itemReader) part(name string) error {
	kind := d.peek()
	scalar := d.values && kind != '{' && kind != '['
	if scalar {
		d.begin(&d.record)
	}
	digest, err := d.value()
	p := Part{Name: name, Digest: digest}
	if scalar {
		if raw, long := d.end(&d.record); !long {
			p.Value = string(raw)
		}
	}
	d.add(p)
	return err
}

// add adds a part. The digest of an item is a sum, so that the order does not count.
func (d *itemReader) add(p Part) {
	d.item.Digest += d.pair(maphash.String(distinctSeed, p.Name), p.Digest)
	if len(d.item.Parts) < maxParts {
		d.item.Parts = append(d.item.Parts, p)
	}
}

// sensitive reads the paths of what is sensitive. If it cannot tell, all is.
func (d *itemReader) sensitive() error {
	d.begin(&d.record)
	digest, err := d.value()
	raw, long := d.end(&d.record)
	d.add(Part{Name: "(sensitive_attributes)", Digest: digest})
	var paths [][]struct{ Value any }
	if err != nil || long || json.Unmarshal(raw, &paths) != nil {
		d.item.allSensitive = true
		return err
	}
	for _, path := range paths {
		if len(path) == 0 {
			d.item.allSensitive = true
			continue
		}
		name, ok := path[0].Value.(string)
		if !ok {
			d.item.allSensitive = true
		}
		if d.item.sensitive == nil {
			d.item.sensitive = map[string]bool{}
		}
		d.item.sensitive[name] = true
	}
	return nil
}

// name returns a name that is held once.
func (d *itemReader) name(name string) string {
	if known, ok := d.names[name]; ok {
		return known
	}
	if len(d.names) == maxNames {
		clear(d.names)
	}
	d.names[name] = name
	return name
}

// authorization matches the value of an Authorization header.
var authorization = regexp.MustCompile(`(?i)\b(?:bearer|basic)\s+\S{8}`)

// LooksSecret reports whether a text looks like a secret, by its shape, as an Authorization
// header, or because it looks random.
func LooksSecret(text string) bool {
	return secretShape([]byte(text)) != "" || authorization.MatchString(text) || isRandom([]byte(text))
}
