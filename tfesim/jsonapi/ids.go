package jsonapi

import "crypto/rand"

const idAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz123456789"

// NewID returns a new id in the API's form: a prefix, a hyphen and 16 letters and digits.
func NewID(prefix string) string {
	return prefix + "-" + RandomText(16)
}

// RandomText returns n random letters and digits.
func RandomText(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = idAlphabet[int(b[i])%len(idAlphabet)]
	}
	return string(b)
}

// NewUUID returns a random UUID.
func NewUUID() string {
	const digits = "0123456789abcdef"
	b := make([]byte, 36)
	rand.Read(b)
	for i := range b {
		switch i {
		case 8, 13, 18, 23:
			b[i] = '-'
		case 14:
			b[i] = '4'
		default:
			b[i] = digits[int(b[i])%16]
		}
	}
	return string(b)
}
