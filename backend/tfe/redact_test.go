package tfe

import (
	"strings"
	"testing"
)

// TestTextsOfServersRepeatNoSecret covers what a careless server may repeat.
func TestTextsOfServersRepeatNoSecret(t *testing.T) {
	t.Parallel()
	const bearer = "odd-token"
	for text, want := range map[string]string{
		"Serial is not a number": "Serial is not a number",
		"This workspace is locked by Run run-CZcmD7eagjhyX0vN and will only accept state uploads from them while locked.": "This workspace is locked by Run run-CZcmD7eagjhyX0vN and will only accept state uploads from them while locked.",
		"lineage 5a1e0c7e-0000-4000-8000-000000000001":                                                                    "lineage 5a1e0c7e-0000-4000-8000-000000000001",
		"the token odd-token is not ours":                                                                                 "the token [hidden] is not ours",
		"Authorization: Bearer something":                                                                                 "Authorization: [hidden]",
		"map[Authorization:[Bearer something] Accept:[x]]":                                                                "map[Authorization:[[hidden] Accept:[x]]",
		"abc.atlasv1.def failed":                                                                                          "[hidden] failed",
		"PUT https://host/path?sig=1 failed":                                                                              "PUT (URL) failed",
		"PUT /_archivist/v1/object/dmF1 failed":                                                                           "PUT [hidden] failed",
		"state: " + strings.Repeat("bGluZWFnZS", 900) + " is too long":                                                    "state: [hidden] is too long",
	} {
		if got := withoutSecretText(text, bearer); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
