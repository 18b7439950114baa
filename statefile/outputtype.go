package statefile

import (
	"bytes"
	"errors"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// An outputTypeOf is the type of an output, and whether it is one.
type outputTypeOf struct {
	cty.Type
	ok bool
}

// The bounds of what is compared with a type: Terraform's reader takes time in the square
// of the depth. Values that are longer, or types that are deeper, are not compared.
const (
	maxTypes     = 256
	maxTypeDepth = 64
)

// judgeOutput says why Terraform refuses the output that was read.
func (d *document) judgeOutput(at int64) {
	o := &d.output
	detail := ""
	switch {
	case len(o.rawType) == 0:
		detail = `an output has no "type"`
	case o.valueKind == 0:
		detail = `an output has no "value"`
	case bytes.Equal(o.rawType, []byte(`"string"`)) && o.valueKind == '"',
		bytes.Equal(o.rawType, []byte(`"bool"`)) && (o.valueKind == 't' || o.valueKind == 'f'),
		bytes.Equal(o.rawType, []byte(`"number"`)) && o.valueKind == '0' && !o.longValue && plainDigits(o.rawValue),
		o.longType, bytes.Count(o.rawType, []byte{'['}) > maxTypeDepth:
		return
	default:
		switch t := d.outputTypeOf(o.rawType); {
		case !t.ok:
			detail = `the "type" of an output is not a type`
		case o.longValue || o.valueKind == 'n' || bytes.Count(o.rawValue, []byte{'['})+bytes.Count(o.rawValue, []byte{'{'}) > maxRawNesting:
			return
		case !conforms(o.rawValue, t.Type):
			detail = `the "value" of an output is not of its "type"`
		default:
			return
		}
	}
	if d.current.outputRefusal == nil {
		d.current.outputRefusal = d.refuse(KindRefusedContent, detail, at)
	}
}

// maxRawNesting bounds how many objects and arrays a value has that is compared.
const maxRawNesting = 1024

// outputTypeOf is the type that the file says, kept because few types serve many outputs.
func (d *document) outputTypeOf(raw []byte) outputTypeOf {
	if t, ok := d.types[string(raw)]; ok {
		return t
	}
	t, err := unmarshalType(raw)
	result := outputTypeOf{t, err == nil && t != cty.NilType}
	if d.types == nil {
		d.types = make(map[string]outputTypeOf)
	}
	if len(d.types) < maxTypes {
		d.types[string(raw)] = result
	}
	return result
}

// unmarshalType reads a type. Of one that contradicts itself, such as an object with an
// optional attribute that it does not have, cty panics.
func unmarshalType(raw []byte) (t cty.Type, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the type contradicts itself")
		}
	}()
	return ctyjson.UnmarshalType(raw)
}

// conforms reports whether Terraform can read the JSON as a value of the type.
func conforms(raw []byte, t cty.Type) (ok bool) {
	// Of values that do not agree with one another no list or map can be made: there cty
	// panics, and Terraform with it.
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if plainlyConforms(raw, t) {
		return true
	}
	_, err := ctyjson.Unmarshal(raw, t)
	return err == nil
}
