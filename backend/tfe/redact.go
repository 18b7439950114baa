package tfe

import (
	"errors"
	"regexp"
	"strings"

	"tfhaul/plainwords"
)

// userinfo matches the name and password in a URL.
var userinfo = regexp.MustCompile(`//[^\s"]*@`)

// address matches a URL in a text.
var address = regexp.MustCompile(`(?i)\bhttps?://[^\s"'<>]+`)

// redact returns the text of a connection failure, in plain words if possible, without its
// URL and a proxy's password.
func redact(err error) string {
	if unusable, ok := errors.AsType[*unusableError](err); ok {
		return unusable.Error()
	}
	if words := plainwords.Explain(err); words != "" {
		return words
	}
	text := plainwords.WithoutURL(err).Error()
	if strings.Contains(text, "invalid proxy address") {
		// net/http repeats all of it, in several notations.
		return "the proxy address in the environment (HTTPS_PROXY or HTTP_PROXY) is not valid"
	}
	return plainwords.Plain(text)
}

// secretsRepeated matches what a careless server may repeat from a request: tokens, paths of signed
// URLs, and base64 text. No name or ID has 40 such characters.
var secretsRepeated = regexp.MustCompile(`\S*\.atlasv1\.\S*|(?i:\b(?:bearer|basic)[\s\[:]+)\S+|\S*/_archivist/\S*|[A-Za-z0-9+/=_]{40,}`)

// withoutSecretText makes the text of a server's error safe to show: it removes the bearer, URLs and
// anything that may be state content.
func withoutSecretText(s, bearer string) string {
	if bearer != "" {
		s = strings.ReplaceAll(s, bearer, "[hidden]")
	}
	s = address.ReplaceAllString(s, "(URL)")
	return strings.TrimSpace(clean(secretsRepeated.ReplaceAllString(s, "[hidden]")))
}

// clean makes text from a server safe to show.
func clean(s string) string { return plainwords.Clean(s) }
