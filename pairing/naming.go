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

// MaxWorkspaceName is the longest name that today's servers give a workspace, in characters. Their
// documentation recommends at most 90, and older releases refuse more
// (https://developer.hashicorp.com/terraform/cloud-docs/workspaces/create).
const MaxWorkspaceName = 260

// Namer makes workspace names out of places. It may be used by several goroutines at once.
type Namer struct {
	template *template.Template // nil for the default rule
}

// ParseNamer reads the template of --workspace-name: text/template over the fields of a Place, with
//
//	lower S                  the lower-case form
//	upper S                  the upper-case form
//	title S                  the first letter of every word in upper case
//	replace OLD NEW S        every OLD in S replaced
//	regexReplace RE NEW S    every match of RE replaced; NEW may name groups as $1 or ${1}
//	trimPrefix PREFIX S      S without PREFIX, where it begins with it
//	trimSuffix SUFFIX S      S without SUFFIX, where it ends with it
//	trunc N S                the first N characters of S; with a negative N, the last ones
//	join SEP S…              the parts that are not empty, with SEP between them
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
	// Some mistakes show only when the template runs: run it now, not in the middle of a search.
	if err := t.Execute(io.Discard, backend.Place{}); isTemplateMistake(err) {
		return nil, fmt.Errorf("the workspace name template %q cannot be used: %s (there are .Dir .Base .Key .Bucket .Workspace .Root)", text, templateReason(err))
	}
	return &Namer{template: t}, nil
}

// templateMistakes are parts of errors that a template causes whatever the place is. Other errors may
// be due to the empty place that it is tried on.
var templateMistakes = []string{"can't evaluate field", "is not a regular expression", "wrong number of args", "expected integer", "expected string", "wrong type for value"}

func isTemplateMistake(err error) bool {
	return err != nil && slices.ContainsFunc(templateMistakes, func(part string) bool { return strings.Contains(err.Error(), part) })
}

// A Naming is the name that a Namer made.
type Naming struct {
	Name string
	// From is the text that the name was made from, if more was done to it than to join its parts
	// with "-": letters were spelled in ASCII, or other characters replaced. Otherwise it is empty.
	From string
}

// Name returns the name of Naming alone.
func (n *Namer) Name(p backend.Place) (string, error) {
	naming, err := n.Naming(p)
	return naming.Name, err
}

// Naming names the workspace for what is at p. Letters that a workspace name cannot have are spelled
// in ASCII; a letter without a known spelling is an error, because dropping it would give different
// places one name. A run of other characters becomes one "-", with none at either end. A name that is
// empty or longer than MaxWorkspaceName is an error too, and never cut, because cutting makes names
// collide. Different places can still get one name: the caller has to look for that.
func (n *Namer) Naming(p backend.Place) (Naming, error) {
	raw, from := defaultName(p)
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
		return Naming{}, fmt.Errorf("no workspace name for %q: a workspace name holds only ASCII letters, digits, - and _, and %q has no known ASCII spelling; name the workspace with --map or --workspace-name", p.Key, unknown)
	case name == "" && n.template == nil:
		return Naming{}, fmt.Errorf("no workspace name for %q: its path has no letter or digit; name the workspace with --map or --workspace-name", p.Key)
	case name == "":
		return Naming{}, fmt.Errorf("no workspace name for %q: --workspace-name gives %q, which has no letter, digit, - or _", p.Key, raw)
	case len(name) > MaxWorkspaceName:
		return Naming{}, fmt.Errorf("no workspace name for %q: %q has %d characters, and a workspace name at most %d; shorten it with --workspace-name (trunc, replace, regexReplace) or --map", p.Key, name, len(name), MaxWorkspaceName)
	}
	if from == "" && strings.ContainsFunc(raw, changed) {
		from = raw
	}
	return Naming{Name: name, From: from}, nil
}

// changed reports whether a character does not reach the workspace's name, other than the slash
// between two names that are joined.
func changed(r rune) bool {
	return r != '/' && (r > unicode.MaxASCII || notPermitted.MatchString(string(r)))
}

// defaultName returns the name by the default rule. If the place has names of which nothing can be
// used, it also returns them: the searched directory then stands for them.
func defaultName(p backend.Place) (name, instead string) {
	parts := strings.Split(p.Dir, "/")
	if p.Base != "terraform" && p.Base != backend.DefaultWorkspace {
		parts = append(parts, p.Base)
	}
	name = joinParts("-", parts...)
	if spelled, unknown := transliterate(name); unknown == "" && permitted(spelled) == "" {
		name, instead = p.Root, name
	}
	if p.Workspace == backend.DefaultWorkspace {
		return name, instead
	}
	return joinParts("-", name, p.Workspace), instead
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
	return unknownFunction.ReplaceAllString(text, `there is no function "$1", but `+functionNames())
}
