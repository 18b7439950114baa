package plainhcl

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// TestCountTokensIsAnUpperBound compares the count with HCL's own tokens, in
// texts made of the beginnings and ends of strings, templates, heredocs and comments.
func TestCountTokensIsAnUpperBound(t *testing.T) {
	parts := []string{`"`, `"`, `\`, `$`, `${`, `$${`, `%{`, `%%{`, `}`, `{`, "\n", "\n", " ", "\t", "\r", "\r\n", "<<E\n", "<<-E\n", "E\n", "/*", "*/", "//", "#",
		"a", "a1", "1", "1a", "1.5e3", "1e", "_", "-", "+", ".", "...", "==", "é", "日本", "\xff", "\xc3", "~}", "${~", "'", "`", ";", "a = \"b\"\n", "\x00", "\ufeff", "\u0301"}
	const cases = 200_000
	for seed := range uint64(cases) {
		r := rand.New(rand.NewPCG(seed, 13))
		var b strings.Builder
		for range 1 + r.IntN(24) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		src := []byte(b.String())
		tokens, _ := hclsyntax.LexConfig(src, "m", hcl.InitialPos)
		if n := countTokens(src); n < len(tokens)-1 { // without the end of the file
			t.Fatalf("%q has %d tokens, but %d are counted", src, len(tokens)-1, n)
		}
	}
}

// movesOf returns a manifest with n moves.
func movesOf(n int, source, workspace string) []byte {
	const head = "target {\n  hostname     = \"app.terraform.io\"\n  organization = \"acme\"\n}\n"
	const move = "\nmove \"%s%d\" {\n  workspace = \"%s-%[2]d\"\n  serial    = 41\n  md5       = \"9e107d9d372bb6826bd81d3542a419d6\"\n  relation  = \"fresh\" # seen\n}\n"
	b := []byte(head)
	for i := range n {
		b = fmt.Appendf(b, move, source, i, workspace)
	}
	return b
}

func TestCountTokensOfPlainManifestsIsClose(t *testing.T) {
	src := movesOf(100, "s3://bucket/prod-eu-west-1/*/[x]//", "prod-eu-west-1")
	tokens, _ := hclsyntax.LexConfig(src, "m", hcl.InitialPos)
	if n := countTokens(src); n > len(tokens)+len(tokens)/10 {
		t.Errorf("%d tokens are counted as %d", len(tokens), n)
	}
}
