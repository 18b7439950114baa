package pairing_test

import (
	"fmt"
	"strings"
	"testing"

	"tfhaul/pairing"
)

// Anything that HCL parses by recursion, even because of a bug, is refused before parsing:
// a stack overflow cannot be caught.
func TestManifestsNestedTooDeeplyAreRefused(t *testing.T) {
	const n = 50_000
	for name, expression := range map[string]string{
		"parentheses":                strings.Repeat("(", n) + "1" + strings.Repeat(")", n),
		"open parentheses":           strings.Repeat("(", n),
		"lists":                      strings.Repeat("[", n) + strings.Repeat("]", n),
		"objects":                    strings.Repeat("{a=", n) + "1" + strings.Repeat("}", n),
		"templates":                  strings.Repeat(`"${`, n) + "1" + strings.Repeat(`}"`, n),
		"directives":                 `"` + strings.Repeat(`%{if true}`, n) + strings.Repeat(`%{endif}`, n) + `"`,
		"negations":                  strings.Repeat("!", n) + "true",
		"minus signs":                strings.Repeat("- ", n) + "1",
		"sums":                       "1" + strings.Repeat("+1", n),
		"sums across lines":          "(1" + strings.Repeat("\n+1", n) + ")",
		"conditions":                 strings.Repeat("true ? 1 : ", n) + "1",
		"indexes":                    "a" + strings.Repeat("[0]", n),
		"elements":                   "[" + strings.Repeat(`"",`, n) + "]",
		"strings that close nothing": strings.Repeat(`(")" == `, n) + "1" + strings.Repeat(")", n),
	} {
		t.Run(name, func(t *testing.T) {
			text := "target {\n  hostname = \"h\"\n  organization = " + expression + "\n}\n"
			if _, err := pairing.ReadManifest(strings.NewReader(text), "haul.hcl"); err == nil || !strings.Contains(err.Error(), "nested more than") {
				t.Errorf("got %.200v", err)
			}
		})
	}
}

func TestLongManifestsAreNotNested(t *testing.T) {
	var b strings.Builder
	b.WriteString("target {\n  hostname = \"h\"\n  organization = \"o\"\n}\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "move \"a[%d](%d)/terraform.tfstate\" {\n  workspace = \"w%d\" # (((\n  serial = -1\n  md5 = \"x\"\n}\n", i, i, i)
	}
	m, err := pairing.ReadManifest(strings.NewReader(b.String()), "haul.hcl")
	if err != nil || len(m.Moves) != 5000 {
		t.Errorf("got %v", err)
	}
}
