package tfe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"tfhaul/plainwords"
)

// inPlainWords explains a failed connection. It returns "" for what it has no better
// words for, and for a stalledError, which says for how long.
func inPlainWords(err error) string {
	if _, ok := errors.AsType[*stalledError](err); ok {
		return ""
	}
	return plainwords.Explain(err)
}

// An unusableError says what is wrong with an answer that was a success.
type unusableError struct {
	status int
	err    error
}

func (e *unusableError) Error() string {
	return fmt.Sprintf("the server's answer (%d) cannot be used: %s", e.status, e.reason())
}

// Unwrap gives what the reader of the answer said.
func (e *unusableError) Unwrap() error { return e.err }

func (e *unusableError) reason() string {
	atStart, notJSON := notJSON(e.err)
	_, otherType := errors.AsType[*json.UnmarshalTypeError](e.err)
	text := redactText(e.err)
	switch {
	case errors.Is(e.err, io.ErrUnexpectedEOF):
		return "it broke off in the middle"
	case notJSON && atStart:
		return "it is not JSON: does a login page or a proxy answer in its place?"
	case notJSON:
		return "it is not valid JSON"
	case errors.Is(e.err, io.EOF):
		return "it is empty"
	case otherType, strings.HasPrefix(text, "Trying to Unmarshal"), strings.Contains(text, "unmarshal"):
		return "it is not a document as the API describes it"
	}
	if words := inPlainWords(e.err); words != "" {
		return words
	}
	return text
}

// notJSON says whether an error is that something does not follow the grammar of JSON,
// and whether not even its first byte does. It knows the errors of understand, and those
// of go-tfe.
func notJSON(err error) (atStart, is bool) {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntax.ByteOffset == 0, true
	}
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	return ok && syntax.Offset <= 1, ok
}
