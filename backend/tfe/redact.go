package tfe

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"tfhaul/plainwords"
)

// userinfo matches the name and password of a URL inside a text.
var userinfo = regexp.MustCompile(`//[^\s"]*@`)

// address matches a URL inside a text.
var address = regexp.MustCompile(`(?i)\bhttps?://[^\s"'<>]+`)

// withoutURL takes the URL off an error, which net/http puts into it: it may be a
// signed one.
func withoutURL(err error) error {
	for {
		u, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = u.Err
	}
}

// redact gives the text of a connection's failure, in plain words where there are
// some, without its URL and without the password of a proxy.
func redact(err error) string {
	if unusable, ok := errors.AsType[*unusableError](err); ok {
		return unusable.Error()
	}
	if words := inPlainWords(err); words != "" {
		return words
	}
	return redactText(err)
}

func redactText(err error) string {
	text := withoutURL(err).Error()
	if strings.Contains(text, "invalid proxy address") {
		// net/http repeats all of it, in more than one notation.
		return "the address of the proxy in the environment (HTTPS_PROXY or HTTP_PROXY) is not valid"
	}
	return plainwords.Plain(text)
}

// told matches what a careless server may repeat of what it was sent: tokens, the
// paths of signed addresses, and text in base64, of which 40 letters are more than
// any name or id has.
var told = regexp.MustCompile(`\S*\.atlasv1\.\S*|(?i:\b(?:bearer|basic)[\s\[:]+)\S+|\S*/_archivist/\S*|[A-Za-z0-9+/=_]{40,}`)

// tame makes the text of a server's error fit to be shown: it repeats neither the
// bearer it was sent, nor an address, nor what may be a state.
func tame(s, bearer string) string {
	if bearer != "" {
		s = strings.ReplaceAll(s, bearer, "[hidden]")
	}
	s = address.ReplaceAllString(s, "(an address)")
	return strings.TrimSpace(clean(told.ReplaceAllString(s, "[hidden]")))
}

// clean makes a text that a server sent fit to be shown.
func clean(s string) string { return plainwords.Clean(s) }
