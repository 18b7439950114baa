package target

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"
	"unicode"
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
	op, ok := errors.AsType[*net.OpError](err)
	proxy := ok && op.Op == "proxyconnect"
	switch words := inPlainWords(err); {
	case words != "" && proxy:
		return "the proxy of the environment (HTTPS_PROXY or HTTP_PROXY) cannot be reached: " + words
	case words != "":
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
	return clean(userinfo.ReplaceAllString(text, "//…@"))
}

// withoutAddresses is clean for what a blob store says: it may repeat the URL
// that it was asked for.
func withoutAddresses(s string) string { return address.ReplaceAllString(clean(s), "(an address)") }

// clean bounds a text that a server sent and strips what a terminal would obey
// and what nobody would see.
func clean(s string) string {
	const most = 500
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
