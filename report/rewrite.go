package report

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"tfhaul/plainwords"
	"tfhaul/rootmodule"
)

// A Rewriting is how configurations are changed to use the states that were moved.
type Rewriting struct {
	// Written reports whether the files were changed.
	Written  bool                `json:"written"`
	Branches []rootmodule.Branch `json:"branches,omitempty"`
	Changes  []FileChange        `json:"changes"`
	Aside    []Renaming          `json:"set_aside"`
	Left     []ByHand            `json:"by_hand"`
	// Configurations are those that use a moved state.
	Configurations []SwitchedConfiguration `json:"configurations"`
	Unread         []rootmodule.Unread     `json:"unread"`
	Notes          []string                `json:"notes,omitempty"`
}

// A FileChange is the change of one file.
type FileChange struct {
	Path string `json:"path"`
	New  bool   `json:"new,omitempty"`
	// Diff is unified. Values that may be secret are hidden in it.
	Diff string `json:"diff"`
}

// A Renaming is a file that is set aside.
type Renaming struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// A ByHand is a place that must be changed by hand.
type ByHand struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Reason string `json:"reason"`
}

// A SwitchedConfiguration is a configuration that uses a moved state.
type SwitchedConfiguration struct {
	Dir       string `json:"dir"`
	Target    string `json:"target"`
	Workspace string `json:"workspace,omitempty"`
	// Already means that the code needed no change.
	Already bool `json:"already,omitempty"`
}

// NewRewriting returns what was decided in the form that is shown.
func NewRewriting(r *rootmodule.Rewriting, unread []rootmodule.Unread, notes []string) Rewriting {
	shown := Rewriting{Changes: []FileChange{}, Aside: []Renaming{}, Left: []ByHand{}, Configurations: []SwitchedConfiguration{}, Unread: append([]rootmodule.Unread{}, unread...), Notes: notes}
	for _, c := range r.Changes {
		name := filepath.ToSlash(c.Path)
		label := strings.TrimPrefix(name, "/")
		before := "a/" + label
		if c.Before == nil {
			before = "/dev/null"
		}
		shown.Changes = append(shown.Changes, FileChange{name, c.Before == nil, udiff.Unified(before, "b/"+label, withoutSecrets(c.Before), withoutSecrets(c.After))})
	}
	for _, a := range r.Aside {
		shown.Aside = append(shown.Aside, Renaming(a))
	}
	for _, l := range r.Left {
		shown.Left = append(shown.Left, ByHand{filepath.ToSlash(l.At.File), l.At.Line, l.Reason})
	}
	for _, s := range r.Switched {
		shown.Configurations = append(shown.Configurations, SwitchedConfiguration(s))
	}
	return shown
}

var (
	// secretArgument matches arguments whose values may be secret, in both syntaxes.
	secretArgument = regexp.MustCompile(`(?i)("?[\w-]*(?:secret|password|passwd|token|access_key|conn_str|credentials|encryption_key|customer_key|private_key|username|authorization|api_?key)[\w-]*"?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|<<.*)`)
	// heredoc matches the beginning of a text of several lines, and names its last one.
	heredoc = regexp.MustCompile(`<<-?\s*([\w-]+)\s*$`)
	// userInfo matches a user and a password in a URL, and signature the one of a signed URL.
	userInfo  = regexp.MustCompile(`://[^/\s"@]*:[^/\s"]*@`)
	signature = regexp.MustCompile(`(?i)([?&](?:sig|x-amz-signature|x-goog-signature)=)[^&\s"]+`)
)

// withoutSecrets hides the values of such arguments in a file, and passwords in URLs. It is
// for files before they are compared: a diff can begin within a text of several lines.
func withoutSecrets(file []byte) string {
	var b strings.Builder
	end := "" // the last line of the text that is hidden
	for line := range strings.Lines(string(file)) {
		switch m := heredoc.FindStringSubmatch(strings.TrimRight(line, "\r\n")); {
		case end != "" && strings.TrimSpace(line) == end:
			end = ""
		case end != "":
			line = "(hidden)\n"
		case m != nil && secretArgument.MatchString(line):
			end = m[1]
		default:
			line = secretArgument.ReplaceAllString(line, `$1"(hidden)"`)
			line = userInfo.ReplaceAllString(line, "://(hidden)@")
			line = signature.ReplaceAllString(line, "$1(hidden)")
		}
		b.WriteString(line)
	}
	return b.String()
}

// ShowRewriting writes it as text: the diff, what is set aside, what must be changed by hand,
// and what each user of the configurations types.
func ShowRewriting(w io.Writer, s Style, r Rewriting) error {
	var b bytes.Buffer
	for _, c := range r.Changes {
		for line := range strings.Lines(c.Diff) {
			b.WriteString(Plain(line))
		}
	}
	group := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		if b.Len() > 0 {
			fmt.Fprintln(&b)
		}
		fmt.Fprintf(&b, "%s:\n", s.Strong(title))
		for _, line := range lines {
			s.hanging(&b, "  - ", PlainLine(line))
		}
	}
	var aside, left []string
	for _, a := range r.Aside {
		aside = append(aside, a.From+" → "+a.To)
	}
	for _, l := range r.Left {
		at := l.File
		if l.Line > 0 {
			at = fmt.Sprintf("%s:%d", at, l.Line)
		}
		left = append(left, at+": "+l.Reason)
	}
	for _, u := range r.Unread {
		left = append(left, u.Path+": "+u.Reason)
	}
	if r.Branches == nil {
		group("Set aside, so that terraform init does not ask about a migration", aside)
	}
	group("To change by hand", left)
	group("Notes", r.Notes)
	s.checkouts(&b, r)
	already := 0
	for _, c := range r.Configurations {
		if c.Already {
			already++
		}
	}
	if b.Len() > 0 {
		fmt.Fprintln(&b)
	}
	verb := "to change"
	if r.Written {
		verb = "changed"
	}
	for _, branch := range r.Branches {
		verb = "committed"
		fmt.Fprintf(&b, "%s: branch %s, commit %s\n", PlainLine(branch.Repository), PlainLine(branch.Name), branch.Commit[:min(12, len(branch.Commit))])
	}
	s.indented(&b, "", fmt.Sprintf("%s %s; %s already changed; %d to change by hand", plainwords.Counted(len(r.Changes), "file"), verb, plainwords.Counted(already, "configuration"), len(left)))
	return flush(w, &b)
}

// checkouts writes what each user types in a directory that was initialized before.
func (s Style) checkouts(b *bytes.Buffer, r Rewriting) {
	workspaces, others, selected := false, false, ""
	for _, c := range r.Configurations {
		switch {
		case c.Already:
		case isOther(c.Target):
			others = true
			if c.Workspace != "" {
				selected = c.Workspace
			}
		default:
			workspaces = true
		}
	}
	if !workspaces && !others {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", s.Strong("In each old checkout, after the change arrived, type in the directory of the configuration"))
	if workspaces {
		fmt.Fprintf(b, "  mv .terraform/terraform.tfstate .terraform/terraform.tfstate.before-tfhaul\n  terraform init -input=false\n")
	} else {
		fmt.Fprintf(b, "  terraform init -input=false -reconfigure\n")
	}
	if selected != "" {
		fmt.Fprintf(b, "  terraform workspace select %s\n", Plain(plainwords.ShellWord(selected)))
	}
	fmt.Fprintf(b, "  terraform plan -detailed-exitcode   # exit code 0: no changes\n")
}
