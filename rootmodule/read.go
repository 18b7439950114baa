package rootmodule

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"

	"tfhaul/backend"
	"tfhaul/plainhcl"
)

// code is what the files of a module say.
type code struct {
	block  *block
	reads  []Reference
	broken string // a sentence about a file that cannot be parsed
}

// A block is a backend or cloud block.
type block struct {
	kind     string // the backend's, or backend.CloudBlock
	at       Position
	values   map[string]any
	problems []string // sentences about arguments that are not constant
}

// configurationFiles returns the names of a directory's configuration files in the order in
// which they count: overrides last. OpenTofu's files hide those of Terraform with the same
// name.
func configurationFiles(entries []os.DirEntry) []string {
	var plain, overrides []string
	has := map[string]bool{}
	for _, e := range entries {
		has[e.Name()] = true
	}
	for _, e := range entries {
		name := e.Name()
		base, ok := trimConfiguration(name)
		if e.IsDir() || !ok || strings.HasPrefix(name, ".") || hidden(name, has) {
			continue
		}
		if base == "override" || strings.HasSuffix(base, "_override") {
			overrides = append(overrides, name)
		} else {
			plain = append(plain, name)
		}
	}
	return append(plain, overrides...)
}

// hidden reports whether OpenTofu ignores the file because of one of its own.
func hidden(name string, has map[string]bool) bool {
	base, json := strings.CutSuffix(name, ".tf.json")
	if json {
		return has[base+".tofu.json"]
	}
	base, ok := strings.CutSuffix(name, ".tf")
	return ok && has[base+".tofu"]
}

// configurationExts are the extensions of configuration files.
var configurationExts = []string{".tf", ".tf.json", ".tofu", ".tofu.json"}

// trimConfiguration returns the name of a configuration file without its extension.
func trimConfiguration(name string) (base string, ok bool) {
	for _, ext := range configurationExts {
		if base, ok := strings.CutSuffix(name, ext); ok {
			return base, true
		}
	}
	return "", false
}

// maxFile limits how much of a configuration file is read, in bytes.
const maxFile = 16 << 20

// readFile reads a file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	if info, err := file.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	src, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(src) > maxFile {
		err = fmt.Errorf("larger than %d MB", maxFile>>20)
	}
	return src, err
}

// parse parses a configuration file in either syntax.
func parse(path string) (hcl.Body, error) {
	src, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parseSource(src, path)
}

func parseSource(src []byte, path string) (hcl.Body, error) {
	if strings.HasSuffix(path, ".json") {
		if !stdjson.Valid(src) { // which limits nesting
			return nil, errors.New("not valid JSON")
		}
		file, diags := json.Parse(src, path)
		if diags.HasErrors() {
			return nil, firstError(diags)
		}
		return file.Body, nil
	}
	if err := plainhcl.CheckNesting(src, path, "terraform fmt"); err != nil {
		return nil, err
	}
	file, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, firstError(diags)
	}
	return file.Body, nil
}

// firstError returns the first error without source code, which may have secrets.
func firstError(diags hcl.Diagnostics) error {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		if d.Subject != nil {
			return fmt.Errorf("line %d: %s", d.Subject.Start.Line, d.Summary)
		}
		return errors.New(d.Summary)
	}
	return diags
}

var (
	rootSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: "terraform"}, {Type: "locals"}, {Type: "data", LabelNames: []string{"type", "name"}},
	}}
	terraformSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: "backend", LabelNames: []string{"type"}}, {Type: "cloud"},
	}}
)

// read reads the configuration files of a directory.
func (f *finder) read(dir string, files []string) *code {
	c := &code{}
	var bodies []*hcl.BodyContent
	for _, name := range files {
		path := filepath.Join(dir, name)
		body, err := parse(path)
		if err != nil {
			f.unread(path, err)
			c.broken = fmt.Sprintf("%s cannot be parsed, and may have the backend block: %v", filepath.ToSlash(path), err)
			continue
		}
		content, _, diags := body.PartialContent(rootSchema)
		if diags.HasErrors() {
			f.unread(path, firstError(diags))
		}
		bodies = append(bodies, content)
	}
	scope := newScope(dir)
	for _, content := range bodies {
		scope.addLocals(content)
	}
	scope.resolve()
	for _, content := range bodies {
		for _, b := range content.Blocks {
			switch {
			case b.Type == "terraform":
				c.terraform(b.Body, scope)
			case b.Type == "data" && readsState(b.Labels[0]):
				c.reads = append(c.reads, scope.reference(b, dir))
			}
		}
	}
	return c
}

// terraform reads the backend or cloud block of a terraform block. A later one replaces it, as
// in an override file.
func (c *code) terraform(body hcl.Body, scope *scope) {
	content, _, _ := body.PartialContent(terraformSchema) // what is wrong with it, Terraform reports
	for _, b := range content.Blocks {
		found := &block{kind: backend.CloudBlock, at: position(b.DefRange)}
		if b.Type == "backend" {
			found.kind = b.Labels[0]
		}
		found.values, found.problems = scope.arguments(b.Body)
		c.block = found
	}
}

func position(r hcl.Range) Position { return Position{r.Filename, r.Start.Line} }

// readsState reports whether a data source reads a state.
func readsState(kind string) bool {
	return slices.Contains([]string{"terraform_remote_state", "tfe_outputs"}, kind)
}
