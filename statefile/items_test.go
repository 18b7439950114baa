package statefile_test

import (
	"testing"

	"tfhaul/statefile"
)

func TestAuthorizationHeadersLookSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"Bearer abcdefgh12345678":               true,
		"authorization: basic am86aHVudGVyMg==": true,
		"basic auth":                            false,
		"a bearer of news":                      false,
		"t3.micro":                              false,
	} {
		if got := statefile.LooksSecret(text); got != want {
			t.Errorf("LooksSecret(%q) = %v", text, got)
		}
	}
}
