package statefile

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"

	"github.com/zclconf/go-cty/cty"
)

// indexKey reads an "index_key" like Terraform, which truncates numbers to whole ones.
func (d *document) indexKey() error {
	i := &d.instance
	i.keyKind, i.key = d.peek(), i.key.emptied()
	switch i.keyKind {
	case stringKey:
		return d.buffer(format4, "index_key", &i.key)
	case numberKey:
		at := d.offset()
		literal, err := d.readNumber()
		if err != nil {
			return err
		}
		i.key.bytes = append(i.key.bytes, literal...)
		if !plainDigits(literal) {
			n, err := strconv.ParseFloat(string(literal), 64)
			if err != nil {
				d.refuseType(format4, d.refuse(KindWrongType, `"index_key" is out of range`, at))
			}
			i.key.bytes = strconv.AppendInt(i.key.bytes[:0], int64(n), 10)
		}
		return nil
	case nullKey:
		i.keyKind = noKey
	}
	return d.skip()
}

// plainDigits reports whether a number is spelled the way Go prints it.
func plainDigits(literal []byte) bool {
	const exact = 15 // digits that a float64 represents exactly
	for _, c := range literal {
		if !isDigit(c) {
			return false
		}
	}
	return len(literal) <= exact
}

func (d *document) schemaVersion() error {
	if !d.expect('0', format4, "schema_version") {
		return d.skip()
	}
	at := d.offset()
	literal, err := d.readNumber()
	if err != nil {
		return err
	}
	if _, whole := parseUint(literal); !whole {
		d.refuseType(format4, d.refuse(KindWrongType, `"schema_version" is not a whole number`, at))
	}
	return nil
}

// private reads a provider's private data, which is base64. A long text is not checked.
func (d *document) private() error {
	if !d.expect('"', format4, "private") {
		return d.skip()
	}
	at := d.offset()
	text, long, err := d.readText()
	if err != nil {
		return err
	}
	if long || bytes.Equal(text, d.instance.private) { // the same as in the last one, as nearly always
		return nil
	}
	d.scratch = slices.Grow(d.scratch[:0], base64.StdEncoding.DecodedLen(len(text)))
	if _, err := base64.StdEncoding.Decode(d.scratch[:cap(d.scratch)], text); err != nil {
		d.refuseType(format4, d.refuse(KindWrongType, `"private" is not base64`, at))
	}
	d.instance.private = append(d.instance.private[:0], text...)
	return nil
}

// sensitivePaths reads "sensitive_attributes", a list of paths, which are lists of steps.
// A path counts even if Terraform rejects it.
func (d *document) sensitivePaths() error {
	i := &d.instance
	i.sensitives, i.badPath = 0, false
	if !d.pathList('[') {
		return d.skip()
	}
	return d.elements(func() error {
		i.sensitives++
		if !d.pathList('[') {
			return d.skip()
		}
		return d.elements(d.pathStep)
	})
}

// pathList reports whether the next value is of the kind, and records that Terraform
// rejects it if it is neither that nor null.
func (d *document) pathList(kind byte) bool {
	switch d.peek() {
	case kind:
		return true
	case 'n':
	default:
		d.instance.badPath = true
	}
	return false
}

// pathStep reads {"type": "get_attr", "value": "name"} or {"type": "index", "value": KEY}.
func (d *document) pathStep() error {
	i := &d.instance
	if d.peek() != '{' {
		i.badPath = true
		return d.skip()
	}
	i.stepType = i.stepType[:0]
	var valueKind byte
	isKey := false
	err := d.members(func(key []byte) error {
		switch string(fold(key)) {
		case "type":
			if !d.pathList('"') {
				return d.skip()
			}
			text, _, err := d.readText()
			i.stepType = append(i.stepType[:0], text...)
			return err
		case "value":
			valueKind = d.peek()
			if isKey = false; valueKind == '"' { // a name, as nearly always
				return d.skip()
			}
			d.begin(&d.record)
			err := d.skip()
			raw, long := d.end(&d.record)
			isKey = long || valueKind == 'n' || valueKind == '{' && d.parsed.conforms(raw, cty.DynamicPseudoType)
			return err
		}
		return d.skip()
	})
	switch string(i.stepType) {
	case "get_attr":
		i.badPath = i.badPath || valueKind != '"' && valueKind != 'n'
	case "index":
		i.badPath = i.badPath || !isKey
	default:
		i.badPath = true
	}
	return err
}
