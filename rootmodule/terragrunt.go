package rootmodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"tfhaul/backend"
)

// terragruntFile is the name of Terragrunt's configuration of a unit.
const terragruntFile = "terragrunt.hcl"

var terragruntSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "include", LabelNames: []string{"name"}}, {Type: "remote_state"}, {Type: "generate", LabelNames: []string{"name"}}, {Type: "locals"}, {Type: "terraform"},
}}

// A unit is a Terragrunt file that is being read for the module in dir.
type unit struct {
	*finder
	dir      string // of the module
	child    string // the module's terragrunt.hcl
	parent   string // the included file that is being read; "" for the child itself
	includes int
}

// terragrunt reads the settings of a Terragrunt unit. It returns false for a file that is only
// included by others.
func (f *finder) terragrunt(m *Module) bool {
	m.Origin = FromTerragrunt
	if cached := f.cached(m.Dir); cached != nil {
		m.Settings = cached
		m.Notes = append(m.Notes, "As resolved by Terragrunt's last run.")
		return true
	}
	u := &unit{finder: f, dir: m.Dir, child: filepath.Join(m.Dir, terragruntFile)}
	settings, at, err := u.read(u.child)
	switch {
	case err != nil:
		m.Problem = err.Error()
	case settings == nil && u.includes == 0:
		return false
	case settings == nil:
		m.Problem = "neither terragrunt.hcl nor what it includes has a remote_state block or a generated backend"
	case u.includes == 0 && f.isIncluded(m.Dir):
		return false
	}
	m.Settings, m.At = settings, at
	return true
}

// isIncluded reports whether a terragrunt.hcl is that of a directory above units.
func (f *finder) isIncluded(dir string) bool {
	found := false
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { // stops early by itself
		switch {
		case err != nil:
			return fs.SkipDir
		case e.IsDir() && path != dir && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case e.Name() == terragruntFile && filepath.Dir(path) != dir:
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// cached returns the settings that Terragrunt's last run left in its cache; nil if there are
// none, or if several differ.
func (f *finder) cached(dir string) *backend.Settings {
	var found *backend.Settings
	cache := filepath.Join(dir, terragruntCache)
	if _, err := os.Stat(cache); err != nil {
		return nil
	}
	same := true
	_ = filepath.WalkDir(cache, func(path string, e fs.DirEntry, err error) error { // what cannot be read is not used
		if err != nil || !e.IsDir() || e.Name() != dataDir {
			return nil
		}
		if s := f.pointer(filepath.Dir(path)); s != nil {
			same = same && (found == nil || agree(found, s))
			found = s
		}
		return fs.SkipDir
	})
	if !same {
		return nil
	}
	return found
}

// maxIncludes limits how many files a unit includes.
const maxIncludes = 20

// read reads a Terragrunt file. What the file itself says replaces what it includes.
func (u *unit) read(file string) (*backend.Settings, Position, error) {
	body, err := parse(file)
	if err != nil {
		return nil, Position{}, fmt.Errorf("%s cannot be read: %w", filepath.ToSlash(file), err)
	}
	content, _, diags := body.PartialContent(terragruntSchema)
	if diags.HasErrors() { // an include block without a name
		content, _, _ = body.PartialContent(&hcl.BodySchema{Blocks: append([]hcl.BlockHeaderSchema{{Type: "include"}}, terragruntSchema.Blocks[1:]...)})
	}
	scope := newScope(u.dir)
	scope.functions = u.functions(file)
	scope.addLocals(content)
	scope.resolve()
	var settings *backend.Settings
	var at Position
	for _, b := range content.Blocks {
		var found *backend.Settings
		switch b.Type {
		case "remote_state":
			found, err = u.remoteState(b, scope)
		case "generate":
			found, err = u.generated(b, scope)
		}
		if err != nil {
			return nil, Position{}, fmt.Errorf("%s, %w", filepath.ToSlash(file), err)
		}
		if found != nil {
			settings, at = found, position(b.DefRange)
		}
	}
	if settings != nil {
		return settings, at, nil
	}
	for _, b := range content.Blocks {
		if b.Type != "include" {
			continue
		}
		if u.includes++; u.includes > maxIncludes {
			return nil, Position{}, errors.New("it includes too many files")
		}
		path, err := u.included(b, scope)
		if err != nil {
			return nil, Position{}, fmt.Errorf("%s, line %d: the path of the include is not known: %w", filepath.ToSlash(file), b.DefRange.Start.Line, err)
		}
		u.parent = path
		if settings, at, err = u.read(path); err != nil || settings != nil {
			return settings, at, err
		}
	}
	return nil, Position{}, nil
}

// included returns the path of the file that a block includes.
func (u *unit) included(b *hcl.Block, scope *scope) (string, error) {
	attributes, _ := b.Body.JustAttributes()
	a := attributes["path"]
	if a == nil {
		return "", errors.New("it is not set")
	}
	value, err := scope.value(a.Expr)
	if err != nil {
		return "", err
	}
	path, ok := plainValue(value)
	text, _ := path.(string)
	if !ok || text == "" {
		return "", errors.New("it is not a text")
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(u.dir, text)
	}
	return text, nil
}

// remoteState reads a remote_state block.
func (u *unit) remoteState(b *hcl.Block, scope *scope) (*backend.Settings, error) {
	attributes, _ := b.Body.JustAttributes()
	values := map[string]any{}
	for _, name := range []string{"backend", "config"} {
		a := attributes[name]
		if a == nil {
			return nil, fmt.Errorf("line %d: remote_state has no %s", b.DefRange.Start.Line, name)
		}
		value, err := scope.value(a.Expr)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s is not known: %w", a.Range.Start.Line, name, err)
		}
		values[name], _ = plainValue(value)
	}
	kind, _ := values["backend"].(string)
	config, _ := values["config"].(map[string]any)
	return &backend.Settings{Type: kind, Values: config, Dir: u.dir}, nil
}

// generated reads the backend block in a file that Terragrunt generates; nil if there is none.
func (u *unit) generated(b *hcl.Block, scope *scope) (*backend.Settings, error) {
	attributes, _ := b.Body.JustAttributes()
	a := attributes["contents"]
	if a == nil {
		return nil, nil
	}
	value, err := scope.value(a.Expr)
	if err != nil {
		if slices.Contains([]string{"backend", "remote_state", "cloud"}, b.Labels[0]) {
			return nil, fmt.Errorf("line %d: the generated block is not known: %w", a.Range.Start.Line, err)
		}
		return nil, nil
	}
	text, _ := plainValue(value)
	contents, _ := text.(string)
	body, err := parseSource([]byte(contents), b.DefRange.Filename)
	if err != nil {
		return nil, nil // it is not ours to report
	}
	content, _, _ := body.PartialContent(rootSchema)
	c := &code{}
	for _, inner := range content.Blocks {
		if inner.Type == "terraform" {
			c.terraform(inner.Body, newScope(u.dir))
		}
	}
	if c.block == nil || len(c.block.problems) > 0 {
		return nil, nil
	}
	return &backend.Settings{Type: c.block.kind, Values: c.block.values, Dir: u.dir}, nil
}

// functions returns the functions that can be evaluated without Terragrunt. The others are
// reported.
func (u *unit) functions(file string) map[string]function.Function {
	parent := filepath.Dir(file)
	return map[string]function.Function{
		"path_relative_to_include":   textFunction(0, func([]string) (string, error) { return u.relative(parent, u.dir) }),
		"path_relative_from_include": textFunction(0, func([]string) (string, error) { return u.relative(u.dir, parent) }),
		"get_terragrunt_dir":         textFunction(0, func([]string) (string, error) { return absolute(u.dir), nil }),
		"get_original_terragrunt_dir": textFunction(0, func([]string) (string, error) {
			return absolute(u.dir), nil
		}),
		"get_parent_terragrunt_dir": textFunction(0, func([]string) (string, error) { return absolute(parent), nil }),
		"get_env":                   textFunction(1, u.environment),
		"find_in_parent_folders":    textFunction(0, func(args []string) (string, error) { return u.find(u.dir, args) }),
		"get_repo_root":             textFunction(0, func([]string) (string, error) { return repositoryOf(u.dir), nil }),
		"basename":                  textFunction(1, func(args []string) (string, error) { return filepath.Base(args[0]), nil }),
		"dirname":                   textFunction(1, func(args []string) (string, error) { return filepath.Dir(args[0]), nil }),
		"lower":                     textFunction(1, func(args []string) (string, error) { return strings.ToLower(args[0]), nil }),
		"replace": textFunction(3, func(args []string) (string, error) {
			return strings.ReplaceAll(args[0], args[1], args[2]), nil
		}),
	}
}

func (u *unit) relative(from, to string) (string, error) {
	path, err := filepath.Rel(absolute(from), absolute(to))
	return filepath.ToSlash(path), err
}

func (u *unit) environment(args []string) (string, error) {
	value := backend.Getenv(u.Environ)(args[0])
	switch {
	case value != "":
		return value, nil
	case len(args) > 1:
		return args[1], nil
	}
	return "", errors.New("the variable is not set")
}

// find returns the file with this name in the nearest directory above dir.
func (u *unit) find(dir string, args []string) (string, error) {
	name := terragruntFile
	if len(args) > 0 {
		name = args[0]
	}
	for at := absolute(dir); at != filepath.Dir(at); {
		at = filepath.Dir(at)
		if _, err := os.Stat(filepath.Join(at, name)); err == nil {
			return filepath.Join(at, name), nil
		}
	}
	if len(args) > 1 {
		return args[1], nil
	}
	return "", errors.New("there is no such file in a directory above")
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

// textFunction returns a function of texts with at least so many arguments.
func textFunction(least int, do func(args []string) (string, error)) function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "args", Type: cty.DynamicPseudoType},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(values []cty.Value, _ cty.Type) (cty.Value, error) {
			args := make([]string, len(values))
			for i, v := range values {
				if v.Type() != cty.String || v.IsNull() || !v.IsKnown() {
					return cty.NilVal, errors.New("the argument is not a text")
				}
				args[i] = v.AsString()
			}
			if len(args) < least {
				return cty.NilVal, errors.New("an argument is missing")
			}
			text, err := do(args)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(text), nil
		},
	})
}
