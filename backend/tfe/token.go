package tfe

import (
	"fmt"
	"io"
	"log/slog"
)

// Token is an API token that prints as the place it came from. Only Secret returns its
// value. The zero Token has no value.
type Token struct {
	// A function, because fmt prints an unexported field's struct without calling its
	// methods; of a function it prints only the address.
	reveal func() string
	origin string
}

func newToken(secret, origin string) Token {
	return Token{reveal: func() string { return secret }, origin: origin}
}

// Secret returns the token for the Authorization header, its only use.
func (t Token) Secret() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// Origin returns where the token came from: "TFE_TOKEN", a file, a credentials helper.
func (t Token) Origin() string { return t.origin }

// String returns "[token from ORIGIN]".
func (t Token) String() string {
	if t.reveal == nil {
		return "[no token]"
	}
	return "[token from " + t.origin + "]"
}

// Format prints String for every verb.
func (t Token) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, t.String()) // fmt.State reports no errors
}

// LogValue logs String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText returns String, for JSON and every other text encoding.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
