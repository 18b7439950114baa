package tfesim

import (
	"net/http"
	"strings"
)

// origin is the server's address as the client wrote it.
func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// includes returns what the include parameter asks for.
func includes(r *http.Request) []string {
	var out []string
	for _, v := range r.URL.Query()["include"] {
		out = append(out, strings.Split(v, ",")...)
	}
	return out
}

// splitList reads a comma-separated list; nothing for "".
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
