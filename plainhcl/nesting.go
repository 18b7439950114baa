package plainhcl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits of a file's expressions. HCL parses nested expressions and chains of operators
// by recursion, and Go ends a process whose stack overflows. For lists, its time grows with
// the square of their length.
const (
	maxNesting   = 100
	maxOperators = 1000
	maxElements  = 10_000
)

// Parse parses a file that is not TooLong. Messages refer to it by name, and to writer as the
// command that writes such files. It refuses expressions that are nested or chained too
// deeply for HCL to parse; splitting a file into tokens needs no recursion. The error is one
// line, and begins with the position.
func Parse(src []byte, name, writer string) (*hcl.File, error) {
	if err := CheckNesting(src, name, writer); err != nil {
		return nil, err
	}
	file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, Error(diags, writer)
	}
	return file, nil
}

// Error returns the first problem as one line.
func Error(diags hcl.Diagnostics, writer string) error {
	d := diags.Errs()[0]
	var diag *hcl.Diagnostic
	if errors.As(d, &diag) && diag.Subject != nil {
		detail := strings.TrimPrefix(strings.TrimSpace(strings.ReplaceAll(diag.Detail, "\n", " ")), "Unsuitable value: ")
		at := diag.Subject.Start
		if at.Line == 1 && at.Column == 1 {
			detail += " Is this a file written by " + writer + "?"
		}
		return fmt.Errorf("%s:%d,%d: %s: %s", diag.Subject.Filename, at.Line, at.Column, diag.Summary, detail)
	}
	return d
}

// CheckNesting refuses a file whose expressions are nested or chained too deeply for HCL to
// parse.
func CheckNesting(src []byte, name, writer string) error {
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
			return fmt.Errorf("%s:%d,%d: the expression is nested more than %d levels deep, or has more than %d operators or %d elements: write plain values, as %s does",
				name, t.Range.Start.Line, t.Range.Start.Column, maxNesting, maxOperators, maxElements, writer)
		}
	}
	return nil
}
