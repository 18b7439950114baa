package statefile

// A NameKind is what the name of an output, or of a member of its value, says of what it holds.
type NameKind uint8

// The kinds of names.
const (
	NameNeutral   NameKind = iota // says nothing: what is around it decides
	NameAbout                     // what is known of a secret, or where it is
	NameSecret                    // a secret, whatever it looks like
	NameContainer                 // a secret, or the object that keeps one: a text like a name is that
	NameKey                       // a secret if it looks random, as other things are keys, too
)

// A nameScope is a member whose name is not neutral, and how deep it is.
type nameScope struct {
	depth int
	kind  NameKind
}

// An outputValue is the value of an output while it is read.
type outputValue struct {
	empty         bool
	shape         string
	named, within bool

	name   NameKind    // what the output's name says
	scopes []nameScope // the members that the scanner stands in, outermost first
}

// begin prepares to read the value of an output of this name.
func (v *outputValue) begin(name NameKind) {
	*v = outputValue{empty: true, name: name, scopes: v.scopes[:0]}
}

// told completes what the visitor is told of the output.
func (v *outputValue) told(o Output) Output {
	o.Empty, o.SecretShape, o.NamedSecret, o.NamedWithin = v.empty, v.shape, v.named, v.within
	return o
}

// key enters a member that is depth objects and arrays deep.
func (v *outputValue) key(depth int, kind NameKind) {
	v.leave(depth)
	if kind != NameNeutral {
		v.scopes = append(v.scopes, nameScope{depth, kind})
	}
}

// text looks at a string that is depth objects and arrays deep.
func (v *outputValue) text(depth int, text []byte) {
	v.leave(depth + 1)
	kind := v.name
	if n := len(v.scopes); n > 0 {
		kind = v.scopes[n-1].kind
	}
	if !v.named && kind.holds(text) {
		v.named, v.within = true, len(v.scopes) > 0
	}
}

// leave ends the members that are at least as deep.
func (v *outputValue) leave(depth int) {
	for n := len(v.scopes); n > 0 && v.scopes[n-1].depth >= depth; n-- {
		v.scopes = v.scopes[:n-1]
	}
}

// holds reports whether a text under a name of this kind is likely a secret.
func (k NameKind) holds(text []byte) bool {
	switch k {
	case NameSecret:
		return !isReference(text)
	case NameContainer:
		return !isReference(text) && !isPlainName(text)
	case NameKey:
		return !isReference(text) && isRandom(text)
	}
	return false
}

// outputValue reads the value of an output, of any format, for the visitor.
func (d *document) outputValue(name []byte, v *outputValue) error {
	kindOf := d.visitor.NameOfSecret
	if kindOf == nil {
		kindOf = func([]byte) NameKind { return NameNeutral }
	}
	v.begin(kindOf(name))
	kind, at := d.peek(), d.offset()
	err := d.walk(func(text []byte, key bool) {
		switch {
		case v.named:
		case key:
			v.key(d.depth, kindOf(text))
		default:
			v.text(d.depth, text)
		}
		if v.shape == "" {
			v.shape = secretShape(text)
		}
	})
	v.empty = kind == 'n' || kind != '0' && d.offset()-at == int64(len(`""`))
	return err
}
