package jsonapi

import (
	"net/http"
	"strings"
)

// Origin returns the server's scheme and host as the client addressed it.
func Origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// Includes returns the names in the include parameter.
func Includes(r *http.Request) []string {
	var out []string
	for _, v := range r.URL.Query()["include"] {
		out = append(out, strings.Split(v, ",")...)
	}
	return out
}

// SplitList splits a comma-separated list; "" has no elements.
func SplitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
