package statefile

// A NameKind is what the name of an output, or of a member of its value, implies about
// the content.
type NameKind uint8

// Kinds of names.
const (
	NameNeutral   NameKind = iota // implies nothing: the surrounding names decide
	NameAbout                     // facts about a secret, or where it is
	NameSecret                    // a secret, whatever it looks like
	NameContainer                 // a secret, or the object that holds one: then a name-like text is just a name
	NameKey                       // a secret if it looks random, because other things are called keys, too
)

// A nameScope is a member whose name is not neutral, and its depth.
type nameScope struct {
	depth int
	kind  NameKind
}

// An outputValue is the value of the output being read.
type outputValue struct {
	empty         bool
	shape         string
	named, within bool

	name   NameKind    // from the output's name
	scopes []nameScope // the members around the current position, outermost first
}

// begin prepares to read the value of an output whose name is of this kind.
func (v *outputValue) begin(name NameKind) {
	*v = outputValue{empty: true, name: name, scopes: v.scopes[:0]}
}

// complete adds the findings to the Output for the visitor.
func (v *outputValue) complete(o Output) Output {
	o.Empty, o.SecretShape, o.NamedSecret, o.NamedWithin = v.empty, v.shape, v.named, v.within
	return o
}

// key enters a member at this depth of objects and arrays.
func (v *outputValue) key(depth int, kind NameKind) {
	v.leave(depth)
	if kind != NameNeutral {
		v.scopes = append(v.scopes, nameScope{depth, kind})
	}
}

// text checks a string at this depth of objects and arrays.
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

// leave ends the members at this depth or deeper.
func (v *outputValue) leave(depth int) {
	for n := len(v.scopes); n > 0 && v.scopes[n-1].depth >= depth; n-- {
		v.scopes = v.scopes[:n-1]
	}
}

// holds reports whether a text under a name of this kind is probably a secret.
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

// outputValue reads an output's value, in any format, for the visitor.
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
