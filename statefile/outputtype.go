package statefile

import (
	"bytes"
	"errors"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// An outputTypeOf is an output's type. ok reports whether it is a valid one.
type outputTypeOf struct {
	cty.Type
	ok bool
}

// Limits for comparing values with types: Terraform's reader takes quadratic time in the
// depth. Longer values and deeper types are not compared.
const (
	maxTypes     = 256
	maxTypeDepth = 64
)

// judgeOutput records why Terraform rejects the output just read, if it does.
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
			detail = `an output's "type" is not valid`
		case o.longValue || o.valueKind == 'n' || bytes.Count(o.rawValue, []byte{'['})+bytes.Count(o.rawValue, []byte{'{'}) > maxRawNesting:
			return
		case !conforms(o.rawValue, t.Type):
			detail = `an output's "value" does not match its "type"`
		default:
			return
		}
	}
	if d.current.outputRefusal == nil {
		d.current.outputRefusal = d.refuse(KindRefusedContent, detail, at)
	}
}

// maxRawNesting limits the objects and arrays in a value that is compared.
const maxRawNesting = 1024

// outputTypeOf parses a type. Results are kept because few types serve many outputs.
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

// unmarshalType parses a type. cty panics if the type contradicts itself, such as an
// object with an optional attribute that it does not have.
func unmarshalType(raw []byte) (t cty.Type, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the type contradicts itself")
		}
	}()
	return ctyjson.UnmarshalType(raw)
}

// conforms reports whether Terraform can read raw as a value of the type.
func conforms(raw []byte, t cty.Type) (ok bool) {
	// If values do not fit into one list or map, cty panics, and so does Terraform.
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
