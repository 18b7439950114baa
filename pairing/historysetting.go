package pairing

import (
	"errors"
	"strconv"

	"tfhaul/backend"
)

// allVersions is every version, in flags and manifests.
const allVersions = "all"

// ParseHistory reads a number of versions, or "all".
func ParseHistory(text string) (int, error) {
	if text == allVersions {
		return backend.AllVersions, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errors.New("it must be a number of versions, 1 or more, or all")
	}
	return n, nil
}

// FormatHistory writes what ParseHistory reads; "" for 0.
func FormatHistory(n int) string {
	switch n {
	case 0:
		return ""
	case backend.AllVersions:
		return allVersions
	}
	return strconv.Itoa(n)
}
