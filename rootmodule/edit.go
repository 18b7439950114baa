package rootmodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"tfhaul/backend"
)

// edits are changes of one file, as replacements of bytes: what is not replaced stays as it is.
type edits struct {
	path, repository string // path has the extension of the syntax
	at               string // the file to change: path, or what that links to
	mode             fs.FileMode
	src              []byte
	created          []byte // the content of a new file
	list             []edit
	err              error
}

// An edit replaces the bytes from start to end.
type edit struct {
	start, end int
	text       string
}

func (e *edits) replace(start, end int, text string) {
	// The same block can be found through several modules.
	one := edit{start, end, text}
	if slices.Contains(e.list, one) {
		return
	}
	if slices.ContainsFunc(e.list, func(other edit) bool { return other.start == start && other.end == end }) {
		e.err = errors.New("several configurations share this file, and need different blocks: change it by hand")
	}
	e.list = append(e.list, one)
}

// apply returns the file with the edits, with its own line ends.
func (e *edits) apply() []byte {
	if e.created != nil {
		return e.created
	}
	slices.SortFunc(e.list, func(a, b edit) int { return a.start - b.start })
	var out bytes.Buffer
	at := 0
	for _, one := range e.list {
		if one.start < at {
			continue // inside of one that was replaced
		}
		out.Write(e.src[at:one.start])
		text := one.text
		if bytes.Contains(e.src, []byte("\r\n")) {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		out.WriteString(text)
		at = one.end
	}
	out.Write(e.src[at:])
	return out.Bytes()
}

// isJSON reports whether the file has JSON syntax.
func (e *edits) isJSON() bool { return strings.HasSuffix(e.path, ".json") }

// body parses the file in HCL's own syntax.
func (e *edits) body() (*hclsyntax.Body, error) {
	body, err := parseSource(e.src, e.path)
	if err != nil {
		return nil, err
	}
	native, ok := body.(*hclsyntax.Body)
	if !ok {
		return nil, errors.New("the file has an unknown syntax")
	}
	return native, nil
}

// block replaces the backend or cloud block that begins in a line.
func (e *edits) block(line int, b *backend.Block) error {
	if e.isJSON() {
		return e.blockJSON(b)
	}
	body, err := e.body()
	if err != nil {
		return err
	}
	for _, outer := range body.Blocks {
		if outer.Type != "terraform" {
			continue
		}
		for _, inner := range outer.Body.Blocks {
			if inner.TypeRange.Start.Line == line && (inner.Type == "backend" || inner.Type == "cloud") {
				start := inner.TypeRange.Start.Byte
				e.replace(start, inner.CloseBraceRange.End.Byte, indented(e.indent(start), blockText(b)))
				return nil
			}
		}
	}
	return errors.New("the block is no longer there")
}

// insert adds a block to the first terraform block; false if there is none.
func (e *edits) insert(b *backend.Block) bool {
	body, err := e.body()
	if err != nil {
		return false
	}
	for _, outer := range body.Blocks {
		if outer.Type != "terraform" {
			continue
		}
		indent := e.indent(outer.TypeRange.Start.Byte)
		text := "\n" + indent + "  " + indented(indent+"  ", blockText(b))
		if outer.OpenBraceRange.Start.Line == outer.CloseBraceRange.Start.Line {
			// terraform {}
			if len(outer.Body.Attributes) > 0 {
				// One attribute can share the line with the braces, but no block can.
				inner := string(bytes.TrimSpace(e.src[outer.OpenBraceRange.End.Byte:outer.CloseBraceRange.Start.Byte]))
				text += "\n" + indent + "  " + inner
			}
			e.replace(outer.OpenBraceRange.End.Byte, outer.CloseBraceRange.Start.Byte, text+"\n"+indent)
			return true
		}
		at := outer.OpenBraceRange.End.Byte
		e.replace(at, at, text)
		return true
	}
	return false
}

// reference makes a data source read the state where it is now.
func (e *edits) reference(ref *Reference, b *backend.Block) error {
	kind, config, workspace := referenceTo(b)
	if e.isJSON() {
		return e.referenceJSON(ref, kind, config, workspace)
	}
	body, err := e.body()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(body.Blocks, func(b *hclsyntax.Block) bool {
		return b.Type == "data" && b.TypeRange.Start.Line == ref.At.Line
	})
	if i < 0 {
		return errors.New("the data source is no longer there")
	}
	data := body.Blocks[i]
	attributes := data.Body.Attributes
	if attributes["backend"] == nil {
		return errors.New("it has no backend")
	}
	indent := e.indent(attributes["backend"].NameRange.Start.Byte)
	value := func(name string, v cty.Value) string {
		return indented(indent, string(hclwrite.Format(hclwrite.TokensForValue(v).Bytes())))
	}
	backendText := value("backend", cty.StringVal(kind))
	configText := value("config", config)
	if a := attributes["config"]; a != nil {
		e.replace(a.Expr.Range().Start.Byte, a.Expr.Range().End.Byte, configText)
	} else {
		backendText += "\n" + indent + "config = " + configText
	}
	switch a := attributes["workspace"]; {
	case a != nil && workspace != "":
		e.replace(a.Expr.Range().Start.Byte, a.Expr.Range().End.Byte, value("workspace", cty.StringVal(workspace)))
	case a != nil:
		start, end := e.lines(a.SrcRange)
		e.replace(start, end, "")
	case workspace != "":
		backendText += "\n" + indent + "workspace = " + value("workspace", cty.StringVal(workspace))
	}
	at := attributes["backend"].Expr.Range()
	e.replace(at.Start.Byte, at.End.Byte, backendText)
	return nil
}

// indent returns the white space at the beginning of the line of a byte.
func (e *edits) indent(at int) string {
	start := bytes.LastIndexByte(e.src[:at], '\n') + 1
	line := e.src[start:at]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// lines returns the whole lines of a range, if nothing else is in them.
func (e *edits) lines(r hcl.Range) (start, end int) {
	start, end = r.Start.Byte, r.End.Byte
	first := bytes.LastIndexByte(e.src[:start], '\n') + 1
	last := bytes.IndexByte(e.src[end:], '\n')
	if last >= 0 && len(bytes.TrimSpace(e.src[first:start])) == 0 && len(bytes.TrimSpace(e.src[end:end+last])) == 0 {
		return first, end + last + 1
	}
	return start, end
}

// indented indents all lines of a text but the first.
func indented(indent, text string) string {
	return strings.ReplaceAll(text, "\n", "\n"+indent)
}

// blockText returns a backend or cloud block.
func blockText(b *backend.Block) string {
	file := hclwrite.NewEmptyFile()
	labels := []string{b.Type}
	name := "backend"
	if b.Type == backend.CloudBlock {
		name, labels = backend.CloudBlock, nil
	}
	body := file.Body().AppendNewBlock(name, labels).Body()
	for _, a := range b.Arguments {
		if nested, ok := a.Value.(map[string]string); ok && a.Name == "workspaces" {
			inner := body.AppendNewBlock(a.Name, nil).Body()
			for key, text := range nested {
				inner.SetAttributeValue(key, cty.StringVal(text))
			}
			continue
		}
		body.SetAttributeValue(a.Name, a.Cty())
	}
	return strings.TrimRight(string(hclwrite.Format(file.Bytes())), "\n")
}

// oneLine returns a block for messages.
func oneLine(b *backend.Block) string {
	return strings.Join(strings.Fields(blockText(b)), " ")
}

// referenceTo returns the arguments of a terraform_remote_state that reads the state of a
// block. That of a workspace has the backend "remote".
func referenceTo(b *backend.Block) (kind string, config cty.Value, workspace string) {
	kind = b.Type
	if kind == backend.CloudBlock {
		kind = "remote"
	}
	values := map[string]cty.Value{}
	for _, a := range b.Arguments {
		values[a.Name] = a.Cty()
	}
	if b.Named() {
		workspace = b.Workspace
	}
	return kind, cty.ObjectVal(values), workspace
}

// A span is where a member of a JSON object is: from its key to the end of its value.
type span struct{ key, value, end int }

// find returns the members with a path of names, also in objects that are elements of lists.
func find(src []byte, path ...string) []span {
	d := json.NewDecoder(bytes.NewReader(src))
	s := &jsonScanner{d: d, src: src, path: path}
	if err := s.value(0, span{}, true); err != nil {
		return nil
	}
	return s.found
}

type jsonScanner struct {
	d     *json.Decoder
	src   []byte
	path  []string
	found []span
}

// next returns where the next token begins.
func (s *jsonScanner) next() int {
	at := int(s.d.InputOffset())
	for at < len(s.src) && strings.IndexByte(" \t\r\n,:", s.src[at]) >= 0 {
		at++
	}
	return at
}

// value reads a value. depth names of the path have been met; on reports whether it is on the
// path.
func (s *jsonScanner) value(depth int, at span, on bool) error {
	at.value = s.next()
	token, err := s.d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		for s.d.More() {
			member := span{key: s.next()}
			name, err := s.d.Token()
			if err != nil {
				return err
			}
			here := on && depth < len(s.path) && name == s.path[depth]
			next := depth
			if here {
				next++
			}
			if err := s.value(next, member, here); err != nil {
				return err
			}
		}
		_, err = s.d.Token()
	case json.Delim('['):
		for s.d.More() {
			if err := s.value(depth, span{}, on && depth < len(s.path)); err != nil {
				return err
			}
		}
		_, err = s.d.Token()
	}
	if at.end = int(s.d.InputOffset()); on && depth == len(s.path) && at.key != at.value && err == nil {
		s.found = append(s.found, at)
	}
	return err
}

// member returns a member of a JSON object, indented for where its key is.
func (e *edits) member(at int, name string, value any) string {
	text, err := json.MarshalIndent(value, e.indent(at), "  ")
	if err != nil {
		panic(err) // strings, bools and maps of them
	}
	return fmt.Sprintf("%q: %s", name, text)
}

// blockJSON replaces the block in JSON syntax.
func (e *edits) blockJSON(b *backend.Block) error {
	found := append(find(e.src, "terraform", "backend"), find(e.src, "terraform", "cloud")...)
	if len(found) != 1 {
		return errors.New("the file has no or several blocks")
	}
	values := map[string]any{}
	for _, a := range b.Arguments {
		values[a.Name] = a.Value
	}
	at := found[0]
	if b.Type == backend.CloudBlock {
		e.replace(at.key, at.end, e.member(at.key, "cloud", values))
	} else {
		e.replace(at.key, at.end, e.member(at.key, "backend", map[string]any{b.Type: values}))
	}
	return nil
}

// referenceJSON changes a data source in JSON syntax.
func (e *edits) referenceJSON(ref *Reference, kind string, config cty.Value, workspace string) error {
	path := append(strings.Split(ref.Name, "."), "")
	at := func(name string) []span {
		path[len(path)-1] = name
		return find(e.src, path...)
	}
	kinds, configs, workspaces := at("backend"), at("config"), at("workspace")
	if len(kinds) != 1 || len(configs) != 1 || len(workspaces) > 0 || workspace != "" {
		return errors.New("change it by hand")
	}
	plain, _ := plainValue(config)
	e.replace(kinds[0].key, kinds[0].end, e.member(kinds[0].key, "backend", kind))
	e.replace(configs[0].key, configs[0].end, e.member(configs[0].key, "config", plain))
	return nil
}
