package tfe

import (
	"github.com/hashicorp/hcl/hcl/scanner"
	"github.com/hashicorp/hcl/hcl/token"
)

// maxConfigNesting limits how deeply a CLI configuration may be nested. HCL parses nesting
// by recursion, and Go ends a process whose stack overflows. Terraform's own configuration
// has three levels.
const maxConfigNesting = 100

// tooDeep reports whether HCL text is nested too deeply to be parsed. Splitting it into
// tokens needs no recursion.
func tooDeep(text []byte) bool {
	tokens := scanner.New(text)
	tokens.Error = func(token.Pos, string) {} // the parser reports it
	for depth := 0; ; {
		switch tokens.Scan().Type {
		case token.EOF, token.ILLEGAL:
			return false // the parser stops here, too
		case token.LBRACE, token.LBRACK:
			if depth++; depth > maxConfigNesting {
				return true
			}
		case token.RBRACE, token.RBRACK:
			depth--
		}
	}
}
