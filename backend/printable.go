package backend

import (
	"strconv"
	"unicode/utf8"
)

// Printable returns an address for JSON and HCL. A name that is not valid UTF-8 is quoted;
// otherwise its invalid bytes would all become U+FFFD, and different names would become the
// same.
func Printable(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}
