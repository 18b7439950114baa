package backend

import (
	"net/url"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// A Block is how a configuration uses a state: the backend block, and what belongs to it. It
// has no credentials.
type Block struct {
	// Type is the name of Terraform's backend.
	Type string
	// Arguments are the block's, in the order in which they are shown.
	Arguments []Argument
	// Workspace is the workspace of the configuration whose state it is; "" or
	// DefaultWorkspace for the default one.
	Workspace string
	// Terraform is the oldest version that knows the argument Newest; "" if every version
	// knows all of them.
	Terraform, Newest string
	// Notes are sentences for the user about what the block leaves to the environment.
	Notes []string
}

// An Argument is an argument of a backend block. Value is a string, a bool or a
// map[string]string.
type Argument struct {
	Name  string
	Value any
}

// Named reports whether the state is that of a workspace that must be selected.
func (b *Block) Named() bool { return b.Workspace != "" && b.Workspace != DefaultWorkspace }

// HCL returns the block as a configuration has it.
func (b *Block) HCL() string {
	file := hclwrite.NewEmptyFile()
	body := file.Body().AppendNewBlock("terraform", nil).Body().AppendNewBlock("backend", []string{b.Type}).Body()
	for _, a := range b.Arguments {
		body.SetAttributeValue(a.Name, a.Cty())
	}
	return string(hclwrite.Format(file.Bytes()))
}

// Cty returns the value as HCL has it.
func (a Argument) Cty() cty.Value {
	switch value := a.Value.(type) {
	case bool:
		return cty.BoolVal(value)
	case map[string]string:
		object := map[string]cty.Value{}
		for name, text := range value {
			object[name] = cty.StringVal(text)
		}
		return cty.ObjectVal(object)
	case string:
		return cty.StringVal(value)
	}
	panic("an argument of a backend block is a string, a bool or a map")
}

// IsWorkspaceName reports whether Terraform accepts the name of a workspace: it must stay as
// it is in a URL.
func IsWorkspaceName(name string) bool { return name != "" && name == url.PathEscape(name) }
