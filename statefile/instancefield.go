package statefile

import (
	"encoding/base64"
	"strconv"

	"github.com/zclconf/go-cty/cty"
)

// indexKey reads an "index_key" like Terraform, which truncates numbers to whole ones.
func (d *document) indexKey() error {
	i := &d.instance
	switch d.peek() {
	case '"':
		text, _, err := d.readText()
		i.keyKind, i.key, i.keyTail = stringKey, append(i.key[:0], text...), d.tailSum()
		return err
	case '0':
		at := d.offset()
		literal, err := d.readNumber()
		if err != nil {
			return err
		}
		i.keyKind, i.key, i.keyTail = numberKey, append(i.key[:0], literal...), 0
		if !plainDigits(literal) {
			n, err := strconv.ParseFloat(string(literal), 64)
			if err != nil {
				d.refuseType(format4, d.refuse(KindWrongType, `"index_key" is out of range`, at))
			}
			i.key = strconv.AppendInt(i.key[:0], int64(n), 10)
		}
		return nil
	case 'n':
		i.keyKind, i.key, i.keyTail = noKey, i.key[:0], 0
	default:
		i.keyKind = otherKey
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

// instanceProvider reads an instance's provider, which Terraform ignores.
func (d *document) instanceProvider() error {
	if d.peek() != '"' {
		return d.skip()
	}
	return d.bytesOf(0, "provider", &d.instance.provider)
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

// private reads a provider's private data, which is base64. Only the beginning of a long
// text is checked.
func (d *document) private() error {
	if !d.expect('"', format4, "private") {
		return d.skip()
	}
	at := d.offset()
	text, long, err := d.readText()
	if err != nil {
		return err
	}
	if long {
		text = text[:len(text)&^3]
	}
	if !isBase64(text, long) {
		d.refuseType(format4, d.refuse(KindWrongType, `"private" is not base64`, at))
	}
	return nil
}

// isBase64 reports whether encoding/json accepts text, or the beginning of a longer one,
// as bytes.
func isBase64(text []byte, more bool) bool {
	n := base64Length(text)
	if n == len(text) && (more || n%4 == 0) {
		return true
	}
	if padding := text[n:]; !more && len(text)%4 == 0 && (string(padding) == "=" || string(padding) == "==") {
		return true
	}
	// The library ignores line breaks, so let it decide.
	_, err := base64.StdEncoding.Decode(make([]byte, base64.StdEncoding.DecodedLen(len(text))), text)
	return err == nil || more
}

// base64Length returns how many bytes at the start of text are base64 digits. It checks
// eight bytes at a time because much of a state is base64.
func base64Length(text []byte) (n int) {
	for ; n+8 <= len(text); n += 8 {
		b := text[n : n+8 : n+8]
		if !(base64Bytes[b[0]] && base64Bytes[b[1]] && base64Bytes[b[2]] && base64Bytes[b[3]] &&
			base64Bytes[b[4]] && base64Bytes[b[5]] && base64Bytes[b[6]] && base64Bytes[b[7]]) {
			break
		}
	}
	for n < len(text) && base64Bytes[text[n]] {
		n++
	}
	return n
}

var base64Bytes = func() (table [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		table[c] = true
	}
	return table
}()

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
			d.record()
			err := d.skip()
			raw, whole := d.recorded()
			isKey = !whole || valueKind == 'n' || valueKind == '{' && conforms(raw, cty.DynamicPseudoType)
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
