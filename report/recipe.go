package report

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"tfhaul/plainwords"
)

// A Recipe is how a configuration uses a workspace after its state was moved there.
type Recipe struct {
	// Target is the workspace, [HOST/]ORG/WORKSPACE; of a haul an example.
	Target string
	// Many says that it is for every configuration of a haul.
	Many bool
	// Dir is the configuration's directory; "" if it is not known.
	Dir string
	// States are what Terraform would offer to migrate again, and Pointer is the file with the
	// old backend's settings, which has the same effect; as far as they are in Dir.
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
	block := fmt.Sprintf("terraform {\n  cloud {\n%s    organization = %q\n    workspaces {\n      name = %q\n    }\n  }\n}\n",
		host, parts[n-2], parts[n-1])
	var b strings.Builder
	for line := range strings.Lines(block) {
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

// WriteRecipe writes the steps.
func WriteRecipe(w io.Writer, s Style, r Recipe) error {
	const step, command = "  ", "       "
	var b bytes.Buffer
	workspace := r.Target[strings.LastIndexByte(r.Target, '/')+1:]
	where, whose, block := "the configuration", "the", "this one"
	switch {
	case r.Many:
		where, whose, block = "each configuration", "its", "this one and its own workspace's name"
	case r.Dir != "":
		where = "the configuration in " + PlainLine(r.Dir)
	}
	s.indented(&b, "", fmt.Sprintf("Next: make %s use %s workspace, and check that Terraform plans no changes.", where, whose))
	s.indented(&b, step, fmt.Sprintf("1. Replace the backend block, if there is one, with %s. Copy the name: if it is mistyped, Terraform creates another workspace without asking.", block))
	b.WriteString(Plain(r.cloudBlock(command)))
	switch {
	case r.Dir == "":
		s.indented(&b, step, "2. Move terraform.tfstate and .terraform/terraform.tfstate out of its directory, if they exist: otherwise Terraform offers to migrate again.")
	case len(r.States) > 0 || r.Pointer != "":
		s.indented(&b, step, "2. Move aside what makes Terraform offer to migrate again:")
		for _, state := range r.States {
			fmt.Fprintf(&b, "%smv %s ~/%s-serial-%d-%s\n", command, Plain(plainwords.ShellWord(state)), PlainLine(workspace), r.Serial, filepath.Base(state))
		}
		if r.Pointer != "" {
			pointer := Plain(plainwords.ShellWord(r.Pointer))
			fmt.Fprintf(&b, "%smv %s %s\n", command, pointer, Plain(plainwords.ShellWord(r.Pointer+".before")))
		}
	default:
		s.indented(&b, step, "2. If you have not yet, log in: terraform login "+PlainLine(r.host()))
	}
	s.indented(&b, step, "3. Initialize and plan. Exit code 0 of the plan means no changes:")
	fmt.Fprintf(&b, "%s%s\n%[1]s%[3]s\n", command, Plain(r.terraform("init -input=false")), Plain(r.terraform("plan -detailed-exitcode")))
	s.indented(&b, step, `With backend "remote" instead of cloud, use init -reconfigure.`)
	return flush(w, &b)
}
