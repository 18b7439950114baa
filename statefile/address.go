package statefile

import (
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	svchost "github.com/hashicorp/terraform-svchost"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/gocty"
	"golang.org/x/net/idna"
)

// Addresses in a state are parsed with the parser that Terraform uses.

// canonicalModule returns the canonical spelling of a module instance's address, such as
// module.a["b"].module.c[0], or nil if Terraform cannot parse the address.
func canonicalModule(text []byte) (canonical []byte) {
	traversal, ok := parseTraversal(text)
	if !ok {
		return nil
	}
	if _, rest, ok := cutModules(traversal); !ok || len(rest) > 0 {
		return nil
	}
	for _, step := range traversal {
		index, is := step.(hcl.TraverseIndex)
		switch {
		case !is:
			canonical = append(append(canonical, '.'), nameOf(step)...)
		case index.Key.Type() == cty.String:
			canonical = append(strconv.AppendQuote(append(canonical, '['), index.Key.AsString()), ']')
		default:
			canonical = append(index.Key.AsBigFloat().Append(append(canonical, '['), 'f', -1), ']')
		}
	}
	return canonical[1:] // without the leading dot
}

// reservedTypes are words that Terraform does not accept as a resource type.
var reservedTypes = map[string]bool{
	"count": true, "each": true, "local": true, "module": true, "path": true, "self": true,
	"terraform": true, "var": true, "template": true, "lazy": true, "arg": true,
}

// isResourceAddress reports whether Terraform can parse text as a resource address
// without an instance key, as in "dependencies".
func isResourceAddress(text []byte) bool {
	traversal, ok := parseTraversal(text)
	if !ok {
		return false
	}
	_, rest, ok := cutModules(traversal)
	return ok && resourceSteps(rest) == 0
}

// resourceSteps takes the part of an address after its modules, and returns the number of
// steps after the resource's type and name, or -1 if it is not a resource address.
func resourceSteps(rest hcl.Traversal) int {
	if rest.IsRelative() {
		return -1
	}
	switch word := rest.RootName(); {
	case word == "data", word == "ephemeral", word == "resource":
		rest = rest[1:]
	case reservedTypes[word]:
		return -1
	}
	if len(rest) < 2 || !isName(rest[0]) || !isName(rest[1]) {
		return -1
	}
	return len(rest) - 2
}

// isCheckable reports whether Terraform can parse the address of something with
// conditions. It skips kinds that it does not know. Only objects may have keys.
func isCheckable(kind, text []byte, object bool) bool {
	keyword := string(kind)
	switch keyword {
	case "resource", "output", "check", "var":
	default:
		return true
	}
	traversal, ok := parseTraversal(text)
	if !ok {
		return false
	}
	keyed, rest, ok := cutModules(traversal)
	if !ok || rest.IsRelative() || keyed && !object {
		return false
	}
	if keyword != "resource" {
		return len(rest) == 2 && rest.RootName() == keyword && isName(rest[1])
	}
	switch resourceSteps(rest) {
	case 0:
		return true
	case 1:
		key, ok := rest[len(rest)-1].(hcl.TraverseIndex)
		return object && ok && isKey(key.Key)
	}
	return false
}

// parseTraversal parses text with hcl, which accepts only names, dots and keys.
func parseTraversal(text []byte) (hcl.Traversal, bool) {
	traversal, diags := hclsyntax.ParseTraversalAbs(text, "", hcl.InitialPos)
	return traversal, !diags.HasErrors()
}

// cutModules removes the modules from the front of an address, and reports whether one of
// them has a key. The rest starts with a root.
func cutModules(t hcl.Traversal) (keyed bool, rest hcl.Traversal, ok bool) {
	for len(t) > 0 {
		if !isName(t[0]) {
			return keyed, t, false
		}
		if nameOf(t[0]) != "module" {
			break
		}
		if len(t) < 2 {
			return keyed, t, false
		}
		if attr, named := t[1].(hcl.TraverseAttr); !named || attr.Name == "" {
			return keyed, t, false
		}
		t = t[2:]
		if len(t) == 0 {
			break
		}
		if index, is := t[0].(hcl.TraverseIndex); is {
			if !isKey(index.Key) {
				return keyed, t, false
			}
			keyed, t = true, t[1:]
		}
	}
	if len(t) > 0 {
		if attr, is := t[0].(hcl.TraverseAttr); is {
			t = append(hcl.Traversal{hcl.TraverseRoot(attr)}, t[1:]...)
		}
	}
	return keyed, t, true
}

// isName reports whether a step of an address is a name.
func isName(step hcl.Traverser) bool {
	switch step.(type) {
	case hcl.TraverseRoot, hcl.TraverseAttr:
		return true
	}
	return false
}

func nameOf(step hcl.Traverser) string {
	switch step := step.(type) {
	case hcl.TraverseRoot:
		return step.Name
	case hcl.TraverseAttr:
		return step.Name
	}
	return ""
}

// isKey reports whether a value can be an instance key: a string or a whole number.
func isKey(key cty.Value) bool {
	switch key.Type() {
	case cty.String:
		return true
	case cty.Number:
		var n int
		return gocty.FromCtyValue(key, &n) == nil
	}
	return false
}

// isProviderSource reports whether Terraform can parse source as a provider's source
// address, [[HOST/]NAMESPACE/]TYPE. legacy is the type of a provider without a namespace.
func isProviderSource(source string) (ok bool, legacy string) {
	parts := strings.Split(source, "/")
	if len(parts) > 3 {
		return false, ""
	}
	kind, ok := providerPart(parts[len(parts)-1])
	if !ok || strings.HasPrefix(kind, "terraform-") {
		return false, ""
	}
	host := "registry.terraform.io"
	if len(parts) == 3 {
		given, err := svchost.ForComparison(parts[0])
		if err != nil {
			return false, ""
		}
		host = given.String()
	}
	if len(parts) == 1 {
		return true, ""
	}
	namespace := parts[len(parts)-2]
	if namespace == "-" {
		if host != "registry.terraform.io" {
			return false, ""
		}
		return true, kind
	}
	_, ok = providerPart(namespace)
	return ok, ""
}

// providerPart normalizes a provider's namespace or type the way Terraform does before it
// compares them.
func providerPart(given string) (normal string, ok bool) {
	if given == "" || strings.Contains(given, ".") || strings.Contains(given, "--") {
		return "", false
	}
	normal, err := idna.Lookup.ToUnicode(given)
	return normal, err == nil
}
