package source

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/template"
)

// MaxWorkspaceName is the longest name a workspace may have, in characters
// (https://developer.hashicorp.com/terraform/cloud-docs/workspaces/create).
const MaxWorkspaceName = 90

// Namer makes workspace names out of places. It may be used by several goroutines at once.
type Namer struct {
	template *template.Template // nil for the default rule
}

// ParseNamer reads the template of --workspace-name: text/template over the fields of a Place, with
//
//	lower S                the lower-case form
//	replace OLD NEW S      every OLD in S replaced
//	trimPrefix PREFIX S    S without PREFIX, where it begins with it
//	join SEP S…            the parts that are not empty, with SEP between them
//
// S comes last so that pipes read well: {{ .Dir | trimPrefix "live/" | replace "/" "_" }}. The empty
// template stands for the default rule: directory and file names joined by "-", the file name
// dropped when it is "terraform" or "default", the Terraform workspace appended unless it is
// "default". Where that leaves no directory and no file, as for ./terraform.tfstate, the name of the
// searched directory stands for them.
func ParseNamer(text string) (*Namer, error) {
	if text == "" {
		return &Namer{}, nil
	}
	t, err := template.New("workspace-name").Option("missingkey=error").Funcs(placeFunctions).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the workspace name template %q cannot be read: %s", text, templateReason(err))
	}
	// A field that does not exist shows only when the template runs: let it run now, not in the
	// middle of a search. Other errors may come of the place being empty.
	if err := t.Execute(io.Discard, Place{}); err != nil && strings.Contains(err.Error(), "can't evaluate field") {
		return nil, fmt.Errorf("the workspace name template %q cannot be used: %s (there are .Dir .Base .Key .Bucket .Workspace .Root)", text, templateReason(err))
	}
	return &Namer{template: t}, nil
}

// placeFunctions are what templates over a Place can use.
var placeFunctions = template.FuncMap{
	"lower":      strings.ToLower,
	"replace":    func(from, to, s string) string { return strings.ReplaceAll(s, from, to) },
	"trimPrefix": func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
	"join":       joinParts,
}

// Name is the name of the workspace for what stands at p. A run of characters that a workspace name
// cannot have becomes one "-", and none at either end; a name that is empty or longer than
// MaxWorkspaceName is an error and never cut, because cutting makes names collide. Different places
// can get one name: the caller has to look for that.
func (n *Namer) Name(p Place) (string, error) {
	raw := defaultName(p)
	if n.template != nil {
		var b strings.Builder
		if err := n.template.Execute(&b, p); err != nil {
			return "", fmt.Errorf("no workspace name for %q: %s", p.Key, templateReason(err))
		}
		raw = b.String()
	}
	name := permitted(raw)
	switch {
	case name == "" && n.template == nil:
		return "", fmt.Errorf("no workspace name for %q: its path holds nothing to name it by; give one with --workspace-name", p.Key)
	case name == "":
		return "", fmt.Errorf("no workspace name for %q: --workspace-name gives %q, which has no letter, digit, - or _", p.Key, raw)
	case len(name) > MaxWorkspaceName:
		return "", fmt.Errorf("no workspace name for %q: %q has %d characters, and a workspace name at most %d; shorten it with --workspace-name", p.Key, name, len(name), MaxWorkspaceName)
	}
	return name, nil
}

func defaultName(p Place) string {
	parts := strings.Split(p.Dir, "/")
	if p.Base != "terraform" && p.Base != DefaultWorkspace {
		parts = append(parts, p.Base)
	}
	name := joinParts("-", parts...)
	if permitted(name) == "" {
		name = p.Root
	}
	if p.Workspace == DefaultWorkspace {
		return name
	}
	return joinParts("-", name, p.Workspace)
}

func joinParts(sep string, parts ...string) string {
	kept := make([]string, 0, len(parts))
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, sep)
}

// notPermitted is a run of what a workspace name cannot have, together with the hyphens around it.
var notPermitted = regexp.MustCompile(`-*[^A-Za-z0-9_-][^A-Za-z0-9_]*`)

// permitted replaces what a workspace name cannot have. A name that is permitted stays as it is,
// hyphens and all.
func permitted(raw string) string {
	name := notPermitted.ReplaceAllString(raw, "-")
	if name == raw {
		return name
	}
	return strings.Trim(name, "-")
}

// What package text/template says of a template among its own kind.
var (
	templateStart   = regexp.MustCompile(`^template: [a-z-]+:`)
	templateStep    = regexp.MustCompile(`executing "[a-z-]+" `)
	unknownField    = regexp.MustCompile(`can't evaluate field (\w+) in type .*`)
	unknownFunction = regexp.MustCompile(`function "(\w+)" not defined`)
)

// templateReason is what went wrong in a template, for who wrote it: line, column and what stands there.
func templateReason(err error) string {
	text := templateStart.ReplaceAllString(err.Error(), "")
	text = templateStep.ReplaceAllString(text, "")
	text = unknownField.ReplaceAllString(text, "there is no field .$1")
	return unknownFunction.ReplaceAllString(text, `there is no function "$1", but lower, replace, trimPrefix and join`)
}
