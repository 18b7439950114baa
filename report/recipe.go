package report

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"tfhaul/plainwords"
)

// A Recipe is how a configuration uses a state after it was moved.
type Recipe struct {
	// Target is the workspace, [HOST/]ORG/WORKSPACE, or the address of the state; of a haul
	// an example.
	Target string
	// Block is the backend block for a state that is not in a workspace, Workspace the
	// Terraform workspace to select with it, and Notes are sentences about it; else "".
	Block, Workspace string
	Notes            []string
	// Many says that it is for every configuration of a haul.
	Many bool
	// Dir is the configuration's directory; "" if it is not known.
	Dir string
	// States are what Terraform would offer to migrate again, and Pointer is the file with the
	// old backend's settings, which has the same effect, or with the workspace that was
	// selected there; as far as they are in Dir.
	States  []string
	Pointer string
	// Serial is the state's.
	Serial int64
}

// hcpHost is the host that a cloud block need not name.
const hcpHost = "app.terraform.io"

// host returns the workspace's host.
func (r Recipe) host() string {
	if parts := strings.Split(r.Target, "/"); len(parts) > 2 {
		return parts[len(parts)-3]
	}
	return hcpHost
}

// cloudBlock returns the configuration's new block, indented.
func (r Recipe) cloudBlock(indent string) string {
	parts := strings.Split(r.Target, "/")
	n := len(parts)
	host := ""
	if r.host() != hcpHost {
		host = fmt.Sprintf("    hostname     = %q\n", r.host())
	}
	return indentedLines(indent, fmt.Sprintf("terraform {\n  cloud {\n%s    organization = %q\n    workspaces {\n      name = %q\n    }\n  }\n}\n",
		host, parts[n-2], parts[n-1]))
}

func indentedLines(indent, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(indent + line)
	}
	return b.String()
}

// terraform returns a command in the configuration's directory.
func (r Recipe) terraform(args string) string {
	if r.Dir == "" || r.Dir == "." {
		return "terraform " + args
	}
	return "terraform " + plainwords.ShellWord("-chdir="+r.Dir) + " " + args
}

// In a recipe, steps and commands are indented.
const step, command = "  ", "       "

// WriteRecipe writes the steps.
func WriteRecipe(w io.Writer, s Style, r Recipe) error {
	var b bytes.Buffer
	if r.Block == "" {
		r.useWorkspace(&b, s)
	} else {
		r.useBackend(&b, s)
	}
	return flush(w, &b)
}

// useWorkspace writes the steps after a move into a workspace.
func (r Recipe) useWorkspace(b *bytes.Buffer, s Style) {
	whose, block := "the", "this one"
	if r.Many {
		whose, block = "its", "this one and its own workspace's name"
	}
	s.indented(b, "", fmt.Sprintf("Next: make %s use %s workspace, and check that Terraform plans no changes.", r.where(), whose))
	s.indented(b, step, fmt.Sprintf("1. Replace the backend block, if there is one, with %s. Copy the name: if it is mistyped, Terraform creates another workspace without asking.", block))
	b.WriteString(Plain(r.cloudBlock(command)))
	switch {
	case r.Dir == "":
		s.indented(b, step, "2. Move terraform.tfstate and .terraform/terraform.tfstate out of its directory, if they exist: otherwise Terraform offers to migrate again.")
	case len(r.States) > 0 || r.Pointer != "":
		s.indented(b, step, "2. Move aside what makes Terraform offer to migrate again:")
		r.moveAside(b, r.Target[strings.LastIndexByte(r.Target, '/')+1:])
	default:
		s.indented(b, step, "2. If you have not yet, log in: terraform login "+PlainLine(r.host()))
	}
	s.indented(b, step, "3. Initialize and plan. Exit code 0 of the plan means no changes:")
	r.run(b, "init -input=false", "plan -detailed-exitcode")
	s.indented(b, step, `With backend "remote" instead of cloud, use init -reconfigure.`)
}

// useBackend writes the steps after a move into a bucket or a file.
func (r Recipe) useBackend(b *bytes.Buffer, s Style) {
	whose, block := "the moved state", "this one"
	if r.Many {
		whose, block = "its moved state", "this one and the key or path of its own state"
	}
	s.indented(b, "", fmt.Sprintf("Next: make %s use %s, and check that Terraform plans no changes.", r.where(), whose))
	s.indented(b, step, fmt.Sprintf("1. Replace the backend or cloud block, if there is one, with %s:", block))
	b.WriteString(Plain(indentedLines(command, r.Block)))
	for _, note := range r.Notes {
		s.indented(b, step+"   ", note)
	}
	next := 2
	switch {
	case r.Dir == "":
		s.indented(b, step, "2. Move terraform.tfstate and .terraform/environment out of its directory, if they exist: Terraform would still use them.")
		next++
	case len(r.States) > 0 || r.Pointer != "":
		s.indented(b, step, "2. Move aside what Terraform would still use:")
		r.moveAside(b, r.configuration())
		next++
	}
	s.indented(b, step, fmt.Sprintf("%d. Initialize without migrating, and plan. Exit code 0 of the plan means no changes:", next))
	commands := []string{"init -input=false -reconfigure", "plan -detailed-exitcode"}
	if r.Workspace != "" {
		commands = slices.Insert(commands, 1, "workspace select "+plainwords.ShellWord(r.Workspace))
	}
	r.run(b, commands...)
}

// where names the configuration.
func (r Recipe) where() string {
	switch {
	case r.Many:
		return "each configuration"
	case r.Dir != "":
		return "the configuration in " + PlainLine(r.Dir)
	}
	return "the configuration"
}

// configuration returns the name of the configuration's directory.
func (r Recipe) configuration() string {
	if dir, err := filepath.Abs(r.Dir); err == nil {
		return filepath.Base(dir)
	}
	return filepath.Base(r.Dir)
}

// moveAside writes the commands that move the old state and the old settings aside. The new
// name of the state begins with the name in of.
func (r Recipe) moveAside(b *bytes.Buffer, of string) {
	for _, state := range r.States {
		to := plainwords.ShellWord(fmt.Sprintf("%s-serial-%d-%s", of, r.Serial, filepath.Base(state)))
		fmt.Fprintf(b, "%smv %s ~/%s\n", command, Plain(plainwords.ShellWord(state)), Plain(to))
	}
	if r.Pointer != "" {
		fmt.Fprintf(b, "%smv %s %s\n", command, Plain(plainwords.ShellWord(r.Pointer)), Plain(plainwords.ShellWord(r.Pointer+".before")))
	}
}

// run writes commands of terraform.
func (r Recipe) run(b *bytes.Buffer, commands ...string) {
	for _, args := range commands {
		fmt.Fprintf(b, "%s%s\n", command, Plain(r.terraform(args)))
	}
}
