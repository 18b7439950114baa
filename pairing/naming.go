package pairing

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"

	"tfhaul/backend"
)

// MaxWorkspaceName is the longest workspace name, in characters, that current servers
// accept. The documentation recommends at most 90, and older releases accept fewer
// (https://developer.hashicorp.com/terraform/cloud-docs/workspaces/create).
const MaxWorkspaceName = 260

// Namer makes workspace names out of places. It is safe for concurrent use.
type Namer struct {
	template *template.Template // nil means the default rule
	// byRoot makes the default rule begin with the name of what was searched.
	byRoot bool
}

// rooted returns a namer for states of several directories or buckets: by the default rule,
// names begin with that of the searched directory or bucket.
func (n *Namer) rooted() PlaceNamer { return &Namer{template: n.template, byRoot: true} }

// ParseNamer parses the template of --workspace-name: a text/template over the fields of a Place, with
//
//	lower S                  lower case
//	upper S                  upper case
//	title S                  upper case for the first letter of every word
//	replace OLD NEW S        S with every OLD replaced
//	regexReplace RE NEW S    S with every match of RE replaced; NEW may refer to groups as $1 or ${1}
//	trimPrefix PREFIX S      S without PREFIX
//	trimSuffix SUFFIX S      S without SUFFIX
//	trunc N S                the first N characters of S, or the last -N if N is negative
//	join SEP S…              the non-empty parts with SEP between them
//
// S comes last so that pipes read well: {{ .Dir | trimPrefix "live/" | replace "/" "_" }}. The
// empty template means the default rule: directory and file names joined by "-", without the file
// name if it is "terraform" or "default", and with the Terraform workspace appended unless it is
// "default". If that leaves neither directory nor file, as for ./terraform.tfstate, the name of
// the searched directory is used. Where several directories or buckets are searched, names
// begin with theirs.
func ParseNamer(text string) (*Namer, error) {
	t, err := parseTemplate("workspace name", text)
	return &Namer{template: t}, err
}

// parseTemplate parses a template over the fields of a Place; nil for an empty one.
func parseTemplate(what, text string) (*template.Template, error) {
	if text == "" {
		return nil, nil
	}
	t, err := template.New("name").Option("missingkey=error").Funcs(placeFunctions).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the %s template %q cannot be parsed: %s", what, text, templateReason(err))
	}
	// Some mistakes show only when the template is executed: find them now, not in the
	// middle of a search.
	if err := t.Execute(io.Discard, backend.Place{}); isTemplateMistake(err) {
		return nil, fmt.Errorf("the %s template %q cannot be used: %s (the fields are .Dir .Base .Key .Bucket .Workspace .Root .Organization .Project)", what, text, templateReason(err))
	}
	return t, nil
}

// templateMistakes are parts of the errors that a template causes for any place. Other
// errors may be due to the empty place that it is tried on.
var templateMistakes = []string{"can't evaluate field", "is not a regular expression", "wrong number of args", "expected integer", "expected string", "wrong type for value"}

func isTemplateMistake(err error) bool {
	return err != nil && slices.ContainsFunc(templateMistakes, func(part string) bool { return strings.Contains(err.Error(), part) })
}

// A Naming is a name made by a Namer.
type Naming struct {
	Name string
	// From is the text that the name was made from, if the name is more than its parts
	// joined with "-", because letters were spelled in ASCII or characters were replaced.
	// Otherwise it is empty.
	From string
}

// Name returns only the name of Naming.
func (n *Namer) Name(p backend.Place) (string, error) {
	naming, err := n.Naming(p)
	return naming.Name, err
}

// Naming names the workspace for the state at p. It spells non-ASCII letters in ASCII. A
// letter without a known spelling is an error, because dropping it would give different
// places the same name. A run of any other characters becomes one "-", or nothing at either
// end. A name that is empty or longer than MaxWorkspaceName is an error; names are never
// cut, because that makes them collide. Different places can still get the same name, so
// the caller must check for that.
func (n *Namer) Naming(p backend.Place) (Naming, error) {
	raw, from := n.defaultName(p)
	if n.template != nil {
		var b strings.Builder
		if err := n.template.Execute(&b, p); err != nil {
			return Naming{}, fmt.Errorf("no workspace name for %q: %s", p.Key, templateReason(err))
		}
		raw, from = strings.TrimSpace(b.String()), ""
	}
	spelled, unknown := transliterate(raw)
	name := permitted(spelled)
	switch {
	case !utf8.ValidString(raw):
		return Naming{}, fmt.Errorf("no workspace name for %q: it is not valid UTF-8; rename it", p.Key)
	case unknown != "":
		return Naming{}, fmt.Errorf("no workspace name for %q: a workspace name has only ASCII letters, digits, - and _, and %q has no known ASCII spelling; name the workspace with --map or --workspace-name", p.Key, unknown)
	case name == "" && n.template == nil:
		return Naming{}, fmt.Errorf("no workspace name for %q: its path has no letters or digits; name the workspace with --map or --workspace-name", p.Key)
	case name == "":
		return Naming{}, fmt.Errorf("no workspace name for %q: --workspace-name gives %q, which has no letters, digits, - or _", p.Key, raw)
	case len(name) > MaxWorkspaceName:
		return Naming{}, fmt.Errorf("no workspace name for %q: %q has %d characters, but a workspace name at most %d; shorten it with --workspace-name (trunc, replace, regexReplace) or --map", p.Key, name, len(name), MaxWorkspaceName)
	}
	if from == "" && strings.ContainsFunc(raw, changed) {
		from = raw
	}
	return Naming{Name: name, From: from}, nil
}

// changed reports whether the name loses or changes a character, other than the slash
// between two joined names.
func changed(r rune) bool {
	return r != '/' && (r > unicode.MaxASCII || notPermitted.MatchString(string(r)))
}

// defaultName returns the name by the default rule. If none of the place's names can be
// used, it also returns them and uses the searched directory.
func (n *Namer) defaultName(p backend.Place) (name, instead string) {
	if p.Organization != "" { // a workspace keeps its name
		return p.Workspace, ""
	}
	parts := strings.Split(p.Dir, "/")
	if p.Base != "terraform" && p.Base != backend.DefaultWorkspace {
		parts = append(parts, p.Base)
	}
	name = joinParts("-", parts...)
	if spelled, unknown := transliterate(name); unknown == "" && permitted(spelled) == "" {
		name, instead = p.Root, name
	} else if n.byRoot {
		name = joinParts("-", p.Searched, name)
	}
	if p.Workspace == backend.DefaultWorkspace {
		return name, instead
	}
	return joinParts("-", name, p.Workspace), instead
}

// notPermitted matches a run of characters that a workspace name cannot have, with adjacent
// hyphens.
var notPermitted = regexp.MustCompile(`-*[^A-Za-z0-9_-][^A-Za-z0-9_]*`)

// permitted replaces what a workspace name cannot have. It leaves a valid name unchanged,
// including its hyphens.
func permitted(raw string) string {
	name := notPermitted.ReplaceAllString(raw, "-")
	if name == raw {
		return name
	}
	return strings.Trim(name, "-")
}

// Parts of package text/template's errors.
var (
	templateStart   = regexp.MustCompile(`^template: [a-z-]+:`)
	templateStep    = regexp.MustCompile(`executing "[a-z-]+" `)
	unknownField    = regexp.MustCompile(`can't evaluate field (\w+) in type .*`)
	unknownFunction = regexp.MustCompile(`function "(\w+)" not defined`)
)

// templateReason explains an error in a template to its author: line, column and the
// problem.
func templateReason(err error) string {
	text := templateStart.ReplaceAllString(err.Error(), "")
	text = templateStep.ReplaceAllString(text, "")
	text = unknownField.ReplaceAllString(text, "there is no field .$1")
	return unknownFunction.ReplaceAllString(text, `there is no function "$1", only `+functionNames())
}
