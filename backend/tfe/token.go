package tfe

import (
	"fmt"
	"io"
	"log/slog"
)

// Token is an API token that prints as the place it came from. Only Secret gives its value. The zero
// Token is none.
type Token struct {
	// A function, because fmt shows the fields of a struct it reaches through an unexported field
	// of another without calling any method; of a function it shows the address.
	reveal func() string
	origin string
}

func newToken(secret, origin string) Token {
	return Token{reveal: func() string { return secret }, origin: origin}
}

// Secret is the token itself, for the Authorization header and nothing else.
func (t Token) Secret() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// Origin says where the token came from: "TFE_TOKEN", a file, a credentials helper.
func (t Token) Origin() string { return t.origin }

// String is "[token from ORIGIN]".
func (t Token) String() string {
	if t.reveal == nil {
		return "[no token]"
	}
	return "[token from " + t.origin + "]"
}

// Format prints String for every verb.
func (t Token) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, t.String()) // fmt.State keeps its writer's errors to itself
}

// LogValue logs String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText gives String, to JSON and to everything else that encodes text.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
