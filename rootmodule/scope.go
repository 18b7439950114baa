package rootmodule

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"tfhaul/backend"
)

// A scope evaluates what is constant in a module: literals, and locals made of them. OpenTofu
// allows locals in backend blocks; Terraform allows them in data sources.
type scope struct {
	dir       string
	locals    map[string]hcl.Expression
	known     map[string]cty.Value
	functions map[string]function.Function
}

func newScope(dir string) *scope {
	return &scope{dir: dir, locals: map[string]hcl.Expression{}, known: map[string]cty.Value{}}
}

func (s *scope) addLocals(content *hcl.BodyContent) {
	for _, b := range content.Blocks {
		if b.Type != "locals" {
			continue
		}
		attributes, _ := b.Body.JustAttributes() // what is wrong with them, Terraform reports
		for name, a := range attributes {
			s.locals[name] = a.Expr
		}
	}
}

// maxRounds limits how deeply locals can depend on each other.
const maxRounds = 20

// resolve evaluates the locals, round by round, as long as more of them become known.
func (s *scope) resolve() {
	for range maxRounds {
		before := len(s.known)
		for name, expression := range s.locals {
			if _, done := s.known[name]; done {
				continue
			}
			if value, err := s.value(expression); err == nil {
				s.known[name] = value
			}
		}
		if len(s.known) == before {
			return
		}
	}
}

// value evaluates an expression. The error is a sentence without values.
func (s *scope) value(expression hcl.Expression) (cty.Value, error) {
	for _, t := range expression.Variables() {
		if problem := s.unknown(t); problem != "" {
			return cty.NilVal, fmt.Errorf("it depends on %s", problem)
		}
	}
	variables := map[string]cty.Value{
		"local": cty.ObjectVal(s.known),
		"path":  cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal("."), "root": cty.StringVal(".")}),
	}
	value, diags := expression.Value(&hcl.EvalContext{Variables: variables, Functions: s.functions})
	if diags.HasErrors() {
		if call := firstCall(expression); call != "" {
			return cty.NilVal, fmt.Errorf("it calls the function %s, which only Terraform can evaluate", call)
		}
		return cty.NilVal, fmt.Errorf("it is not a constant")
	}
	if !value.IsWhollyKnown() {
		return cty.NilVal, fmt.Errorf("it is not a constant")
	}
	return value, nil
}

// unknown returns the name of a variable that is not known; "" if it is.
func (s *scope) unknown(t hcl.Traversal) string {
	name := t.RootName()
	if name == "path" {
		return ""
	}
	if name == "local" && len(t) > 1 {
		if attribute, ok := t[1].(hcl.TraverseAttr); ok {
			if _, known := s.known[attribute.Name]; known {
				return ""
			}
		}
	}
	for _, step := range t[1:min(len(t), 2)] {
		if attribute, ok := step.(hcl.TraverseAttr); ok {
			name += "." + attribute.Name
		}
	}
	return name
}

// firstCall returns the name of a function that an expression calls; "" if it calls none.
func firstCall(expression hcl.Expression) string {
	node, ok := expression.(hclsyntax.Node)
	if !ok {
		return ""
	}
	name := ""
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics { // which has no errors of its own
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && name == "" {
			name = call.Name
		}
		return nil
	})
	return name
}

// arguments returns the constant arguments of a block, and sentences about the others.
func (s *scope) arguments(body hcl.Body) (map[string]any, []string) {
	values, problems := map[string]any{}, []string(nil)
	// These nested blocks exist in backend and cloud blocks; the rest are arguments.
	content, rest, _ := body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: "workspaces"}, {Type: "assume_role"}, {Type: "endpoints"}, {Type: "assume_role_with_web_identity"}, {Type: "exec"},
	}})
	for _, b := range content.Blocks {
		nested, bad := s.arguments(b.Body)
		values[b.Type], problems = nested, append(problems, bad...)
	}
	attributes, _ := rest.JustAttributes()
	for name, a := range attributes {
		value, err := s.value(a.Expr)
		if err != nil {
			problems = append(problems, fmt.Sprintf("line %d: %s is not known: %v", a.Range.Start.Line, name, err))
			continue
		}
		if plain, ok := plainValue(value); ok {
			values[name] = plain
		}
	}
	return values, problems
}

// plainValue returns a value as backend.Settings have it; false for null.
func plainValue(v cty.Value) (any, bool) {
	switch {
	case v.IsNull() || !v.IsKnown():
		return nil, false
	case v.Type() == cty.String:
		return v.AsString(), true
	case v.Type() == cty.Bool:
		return v.True(), true
	case v.Type() == cty.Number:
		number, _ := v.AsBigFloat().Float64()
		return number, true
	case v.Type().IsObjectType() || v.Type().IsMapType():
		object := map[string]any{}
		for name, element := range v.AsValueMap() {
			if plain, ok := plainValue(element); ok {
				object[name] = plain
			}
		}
		return object, true
	case v.CanIterateElements():
		list := []any{}
		for _, element := range v.AsValueSlice() {
			if plain, ok := plainValue(element); ok {
				list = append(list, plain)
			}
		}
		return list, true
	}
	return nil, false
}

var referenceSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "backend"}, {Name: "config"}, {Name: "workspace"}, {Name: "organization"}, {Name: "for_each"}, {Name: "count"},
}}

// reference reads a data source that reads a state.
func (s *scope) reference(b *hcl.Block, dir string) Reference {
	r := Reference{At: position(b.DefRange), Name: "data." + strings.Join(b.Labels, "."), Workspace: backend.DefaultWorkspace}
	content, _, _ := b.Body.PartialContent(referenceSchema)
	values := map[string]any{}
	for _, name := range []string{"backend", "config", "workspace", "organization"} {
		a := content.Attributes[name]
		if a == nil {
			continue
		}
		value, err := s.value(a.Expr)
		if err != nil {
			r.Problem = fmt.Sprintf("%s is not known: %v", name, err)
			return r
		}
		values[name], _ = plainValue(value)
	}
	if b.Labels[0] == "tfe_outputs" {
		workspace, _ := values["workspace"].(string)
		r.Settings = &backend.Settings{Type: "remote", Dir: dir, Values: map[string]any{
			"organization": values["organization"], "workspaces": map[string]any{"name": workspace},
		}}
		return r
	}
	kind, _ := values["backend"].(string)
	config, _ := values["config"].(map[string]any)
	if workspace, ok := values["workspace"].(string); ok {
		r.Workspace = workspace
	}
	r.Settings = &backend.Settings{Type: kind, Values: config, Dir: dir}
	return r
}
