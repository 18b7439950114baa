package statefile

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// maxTypeDepth limits the types that values are compared with: Terraform's reader takes
// quadratic time in the depth.
const maxTypeDepth = 64

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
		switch t := d.parsed.types.of(o.rawType, typeOf); {
		case t == cty.NilType:
			detail = `an output's "type" is not valid`
		case o.longValue || o.valueKind == 'n' || bytes.Count(o.rawValue, []byte{'['})+bytes.Count(o.rawValue, []byte{'{'}) > maxRawNesting:
			return
		case !d.parsed.conforms(o.rawValue, t):
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

// typeOf parses a type. It returns cty.NilType for an invalid one: cty panics if the type
// contradicts itself, such as an object with an optional attribute that it does not have.
func typeOf(raw []byte) (t cty.Type) {
	defer func() {
		if recover() != nil {
			t = cty.NilType
		}
	}()
	t, err := ctyjson.UnmarshalType(raw)
	if err != nil {
		return cty.NilType
	}
	return t
}

// conforms reports whether Terraform can read raw as a value of the type.
func (p *parsed) conforms(raw []byte, t cty.Type) (ok bool) {
	// If values do not fit into one list or map, cty panics, and so does Terraform.
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	p.raw.Reset(raw)
	p.decoder.Reset(&p.raw)
	if plainlyConforms(&p.decoder, t) {
		return true
	}
	_, err := ctyjson.Unmarshal(raw, t)
	return err == nil
}

// plainlyConforms reports whether the next value is evidently of the type. Most are, and
// building a cty value takes ten times as long.
func plainlyConforms(d *jsontext.Decoder, t cty.Type) bool {
	switch kind := d.PeekKind(); {
	case t == cty.DynamicPseudoType:
		return false
	case kind == 'n', kind == '"' && t == cty.String, (kind == 't' || kind == 'f') && t == cty.Bool:
		return d.SkipValue() == nil
	case kind == '0' && t == cty.Number:
		literal, err := d.ReadValue()
		return err == nil && plainDigits(literal)
	case kind == '[' && (t.IsListType() || t.IsSetType()), kind == '{' && t.IsMapType():
		return plainMembers(d, func(string) (cty.Type, bool) { return t.ElementType(), true }) >= 0
	case kind == '{' && t.IsObjectType():
		types := t.AttributeTypes()
		return plainMembers(d, func(name string) (cty.Type, bool) { of, ok := types[name]; return of, ok }) == len(types)
	}
	return false
}

// plainMembers returns the number of members of an object or array, or -1 unless all are
// evidently of the types that typeOf returns. It accepts no name twice.
func plainMembers(d *jsontext.Decoder, typeOf func(name string) (cty.Type, bool)) (n int) {
	token, err := d.ReadToken()
	isObject := token.Kind() == '{'
	for ; err == nil && d.PeekKind() != ']' && d.PeekKind() != '}'; n++ {
		if isObject {
			if token, err = d.ReadToken(); err != nil {
				break
			}
		}
		if t, ok := typeOf(token.String()); !ok || !plainlyConforms(d, t) {
			return -1
		}
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	if err != nil {
		return -1
	}
	return n
}
