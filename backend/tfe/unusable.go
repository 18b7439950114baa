package tfe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// An unusableError explains what is wrong with a successful response.
type unusableError struct {
	status int
	err    error
}

func (e *unusableError) Error() string {
	return fmt.Sprintf("the server's response (%d) cannot be used: %s", e.status, e.reason())
}

// Unwrap returns the decoder's error.
func (e *unusableError) Unwrap() error { return e.err }

func (e *unusableError) reason() string {
	atStart, notJSON := notJSON(e.err)
	_, otherType := errors.AsType[*json.UnmarshalTypeError](e.err)
	switch {
	case errors.Is(e.err, io.ErrUnexpectedEOF):
		return "it broke off in the middle"
	case notJSON && atStart:
		return "it is not JSON: is there a login page or a proxy in front of the server?"
	case notJSON:
		return "it is not valid JSON"
	case errors.Is(e.err, io.EOF):
		return "it is empty"
	case otherType, strings.HasPrefix(e.err.Error(), "Trying to Unmarshal"), strings.Contains(e.err.Error(), "unmarshal"):
		return errNoDocument.Error()
	}
	return redact(e.err)
}

// notJSON reports whether an error is about JSON syntax, and whether it is about the very
// first byte. It knows the errors of understand and of go-tfe.
func notJSON(err error) (atStart, is bool) {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntax.ByteOffset == 0, true
	}
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	return ok && syntax.Offset <= 1, ok
}
