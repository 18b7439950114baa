package statefile

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/zclconf/go-cty/cty"
)

// parsed keeps the results of parsing texts, which takes longer than all else. Most files
// repeat a few of them, so it is kept for the next file like the buffers.
type parsed struct {
	verdicts     memo[providerVerdict] // by address of the provider configuration
	modules      memo[[]byte]          // in Terraform's spelling
	dependencies memo[bool]            // whether they are resource addresses
	versions     memo[bool]            // whether Terraform can parse them
	types        memo[cty.Type]        // of outputs

	// For the values of outputs.
	decoder jsontext.Decoder
	raw     bytes.Reader
}

// A memo holds results of parsing, the latest ones if there are many.
type memo[T any] map[string]T

// Limits of a memo, and of the texts in it.
const (
	maxParsed      = 1024
	maxParsedBytes = 1024
)

// of returns the result for a text.
func (m *memo[T]) of(text []byte, parse func([]byte) T) T {
	if result, ok := (*m)[string(text)]; ok {
		return result
	}
	result := parse(text)
	if len(text) > maxParsedBytes {
		return result
	}
	if *m == nil {
		*m = memo[T]{}
	}
	if len(*m) == maxParsed {
		clear(*m)
	}
	(*m)[string(text)] = result
	return result
}
