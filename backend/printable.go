package backend

import (
	"strconv"
	"unicode/utf8"
)

// Printable returns the address of a state as documents carry it. A name that is not
// valid UTF-8 is quoted, because JSON and HCL would put U+FFFD in the place of its
// bytes, and different names would become the same.
func Printable(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}
