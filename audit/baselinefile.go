package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"tfhaul/plainhcl"
	"tfhaul/plainwords"
)

// maxBaseline limits the size of a baseline, in bytes.
const maxBaseline = 16 << 20

// baselineWriter is the command that writes baselines.
const baselineWriter = "tfhaul audit --write-baseline"

// ReadBaseline reads a baseline. Messages refer to it by name. The error says where the
// problem is and what to do.
func ReadBaseline(r io.Reader, name string) (*Baseline, error) {
	src, err := io.ReadAll(io.LimitReader(r, maxBaseline+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the baseline %q cannot be read: %w", name, plainwords.WithoutPath(err))
	case len(src) > maxBaseline || plainhcl.TooLong(src):
		return nil, fmt.Errorf("the baseline %s is too large: use globs, so that one entry covers many findings", name)
	}
	file, err := plainhcl.Parse(src, name, baselineWriter)
	if err != nil {
		return nil, err
	}
	b := &Baseline{File: name}
	if diags := gohcl.DecodeBody(file.Body, nil, b); diags.HasErrors() {
		return nil, plainhcl.Error(diags, baselineWriter)
	}
	for n, entry := range b.Entries {
		if err := entry.check(); err != nil {
			return nil, fmt.Errorf("%s: entry %d, of %q: %w", name, n+1, entry.Code, err)
		}
	}
	return b, nil
}

// check finds problems that HCL's grammar allows.
func (a *Accepted) check() error {
	switch {
	case !slices.Contains(append([]Severity{""}, Severities...), a.Severity):
		return fmt.Errorf("severity cannot be %q: use error, warning or info", a.Severity)
	case strings.TrimSpace(a.Reason) == "":
		return errors.New("reason must not be empty: write why the finding is accepted")
	case a.Fingerprint == "" && len(a.Sources) == 0:
		return errors.New(`it has neither sources nor a fingerprint, so it would cover every state: write sources = ["**"] if you mean that`)
	}
	for _, glob := range slices.Concat(a.Sources, a.Resources) {
		if !doublestar.ValidatePattern(glob) {
			return fmt.Errorf(`%q is not a valid glob: close every "[ab]" and "{a,b}", or write a backslash before the bracket`, glob)
		}
	}
	if _, err := time.Parse(dayForm, a.Expires); a.Expires != "" && err != nil {
		return fmt.Errorf("expires cannot be %q: write a date such as 2026-12-31", a.Expires)
	}
	return nil
}

// BaselineHead begins every baseline that Write writes.
const BaselineHead = "# Known findings of tfhaul audit."

// Write writes a baseline for people to review, one block at a time, because HCL's writer
// needs about 20 KB for each.
func (b *Baseline) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s Review them like code: give each a reason and,\n# if it must be solved by a date, expires = \"2006-01-02\". To run: tfhaul audit --baseline FILE SOURCE…\n", BaselineHead)
	for _, entry := range b.Entries {
		file := hclwrite.NewEmptyFile()
		file.Body().AppendNewline()
		entry.write(file.Body().AppendNewBlock("finding", []string{string(entry.Code)}).Body())
		if _, err := file.WriteTo(out); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (a *Accepted) write(b *hclwrite.Body) {
	text := func(name, value string) {
		if value != "" {
			b.SetAttributeValue(name, cty.StringVal(value))
		}
	}
	list := func(name string, values []string) {
		var elements []cty.Value
		for _, v := range values {
			elements = append(elements, cty.StringVal(v))
		}
		if len(elements) > 0 {
			b.SetAttributeValue(name, cty.TupleVal(elements))
		}
	}
	text("severity", string(a.Severity))
	list("sources", a.Sources)
	list("resources", a.Resources)
	text("fingerprint", a.Fingerprint)
	text("reason", a.Reason)
	text("expires", a.Expires)
}
