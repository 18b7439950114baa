package pairing

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits of a manifest's expressions. HCL parses nested expressions and chains of operators
// by recursion, and Go ends a process whose stack overflows. For lists, its time grows with
// the square of their length.
const (
	maxNesting   = 100
	maxOperators = 1000
	maxElements  = 10_000
)

// checkNesting refuses a manifest whose expressions are nested or chained too deeply for
// HCL to parse. Splitting a file into tokens needs no recursion.
func checkNesting(src []byte, name string) error {
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos) // the parser reports the problem
	type level struct {
		operators, elements int
		block               bool // here a newline ends an expression
	}
	levels := []level{{block: true}}
	for _, t := range tokens {
		top := &levels[len(levels)-1]
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			top.operators++ // also an index or a directive
			levels = append(levels, level{block: t.Type == hclsyntax.TokenOBrace})
		case hclsyntax.TokenCBrace, hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenTemplateSeqEnd:
			if len(levels) > 1 {
				levels = levels[:len(levels)-1]
			}
		case hclsyntax.TokenComma:
			top.operators = 0
			top.elements++
		case hclsyntax.TokenNewline:
			if top.block {
				top.operators = 0
			}
		case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit,
			hclsyntax.TokenOQuote, hclsyntax.TokenCQuote, hclsyntax.TokenOHeredoc, hclsyntax.TokenCHeredoc, hclsyntax.TokenComment, hclsyntax.TokenEOF:
		default:
			top.operators++
		}
		if len(levels) > maxNesting || levels[len(levels)-1].operators > maxOperators || top.elements > maxElements {
			return fmt.Errorf("%s:%d,%d: the expression is nested more than %d levels deep, or has more than %d operators or %d elements: write plain values, as tfhaul plan --out does",
				name, t.Range.Start.Line, t.Range.Start.Column, maxNesting, maxOperators, maxElements)
		}
	}
	return nil
}
