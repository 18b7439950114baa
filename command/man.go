package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/report"
)

func (p *process) manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "print a manual page",
		UsageText: "tfhaul man [COMMAND]\n  tfhaul man --dir DIR",
		Description: `Prints the manual page of tfhaul or of a command, in roff format. With --dir, writes all manual pages, for packages.

Examples:
  tfhaul man migrate | man -l -
  tfhaul man --dir /usr/local/share/man/man1`,
		Flags: []cli.Flag{textFlag("dir", "", "write all pages to `DIR`, which must exist, as tfhaul.1 and tfhaul-COMMAND.1")},
		Action: func(c *cli.Context) error {
			given, dir := c.Args().Slice(), c.String("dir")
			switch {
			case len(given) > 1 || len(given) == 1 && dir != "":
				return usagef("unexpected argument %q: %s", given[len(given)-1], c.Command.UsageText)
			case dir != "":
				return writePages(c.App, dir)
			case len(given) == 0:
				_, err := io.WriteString(p.stdout, programPage(c.App))
				return err
			}
			command := c.App.Command(given[0])
			if command == nil || command.Hidden {
				return unknownCommand(c.App, given[0])
			}
			_, err := io.WriteString(p.stdout, commandPage(c.App, command))
			return err
		},
	}
}

// writePages writes all manual pages to a directory.
func writePages(app *cli.App, dir string) error {
	pages := map[string]string{"tfhaul.1": programPage(app)}
	for _, c := range app.VisibleCommands() {
		pages["tfhaul-"+c.Name+".1"] = commandPage(app, c)
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644); err != nil {
			return fmt.Errorf("cannot write the manual page %s: %w", filepath.Join(dir, name), plainwords.WithoutPath(err))
		}
	}
	return nil
}

// A manPage is a manual page being written. That of urfave/cli has one page for all commands, and
// takes * and <> in texts for markup.
type manPage struct{ strings.Builder }

func newPage(name, usage string) *manPage {
	p := &manPage{}
	fmt.Fprintf(p, ".TH %s 1 \"\" tfhaul \"tfhaul manual\"\n", strings.ToUpper(roff(name)))
	p.section("NAME")
	fmt.Fprintf(p, "%s \\- %s\n", roff(name), roff(usage))
	return p
}

func (p *manPage) section(title string) { fmt.Fprintf(p, ".SH %s\n", title) }

// entries writes a section that is a list, unless the list is empty.
func (p *manPage) entries(title string, list []report.Entry) {
	if len(list) > 0 {
		p.section(title)
	}
	for _, e := range list {
		fmt.Fprintf(p, ".TP\n\\fB%s\\fR\n%s\n", roff(e.Term), roff(e.Text))
	}
}

// prose writes paragraphs. Lines that are indented stay as they are.
func (p *manPage) prose(text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			p.WriteString(".PP\n")
		}
		asIs := strings.HasPrefix(paragraph, "  ") || strings.Contains(paragraph, "\n  ")
		if asIs {
			p.WriteString(".nf\n")
		}
		fmt.Fprintln(p, roff(paragraph))
		if asIs {
			p.WriteString(".fi\n")
		}
	}
}

func (p *manPage) seeAlso(pages []string) {
	p.section("SEE ALSO")
	for i, name := range pages {
		after := " ,"
		if i == len(pages)-1 {
			after = ""
		}
		fmt.Fprintf(p, ".BR %s (1)%s\n", roff(name), after)
	}
}

// programPage returns the manual page of the program.
func programPage(app *cli.App) string {
	p := newPage(app.Name, app.Usage)
	p.section("SYNOPSIS")
	fmt.Fprintf(p, ".B %s\n", roff(app.UsageText))
	p.section("DESCRIPTION")
	p.prose(app.Description)
	var commands []report.Entry
	var pages []string
	for _, c := range app.VisibleCommands() {
		commands = append(commands, report.Entry{Term: c.Name, Text: c.Usage})
		pages = append(pages, app.Name+"-"+c.Name)
	}
	p.entries("COMMANDS", commands)
	p.entries("OPTIONS", entriesOf(app.VisibleFlags()))
	p.entries("EXIT STATUS", exitStatus)
	p.entries("ENVIRONMENT", entriesFor(environment(), nil))
	p.entries("FILES", entriesFor(usedFiles, nil))
	p.section("EXAMPLES")
	p.prose("  tfhaul demo\n  tfhaul move --dry-run terraform.tfstate acme/network\n  tfhaul plan s3://acme-tfstate/ --target acme --out haul.hcl")
	p.seeAlso(pages)
	return p.String()
}

// commandPage returns the manual page of a command.
func commandPage(app *cli.App, c *cli.Command) string {
	name := app.Name + "-" + c.Name
	about := describe(c)
	p := newPage(name, c.Usage)
	p.section("SYNOPSIS")
	p.WriteString(".nf\n")
	for usage := range strings.Lines(c.UsageText) {
		fmt.Fprintf(p, "\\fB%s\\fR\n", roff(strings.TrimSpace(usage)))
	}
	p.WriteString(".fi\n")
	p.section("DESCRIPTION")
	p.prose(about.text)
	p.section("OPTIONS")
	for _, g := range grouped(c.VisibleFlags()) {
		fmt.Fprintf(p, ".SS %s\n", g.title)
		for _, e := range entriesOf(g.flags) {
			fmt.Fprintf(p, ".TP\n\\fB%s\\fR\n%s\n", roff(e.Term), roff(e.Text))
		}
	}
	p.entries("EXIT STATUS", about.exitStatus)
	p.entries("ENVIRONMENT", entriesFor(environment(), c))
	p.entries("FILES", entriesFor(usedFiles, c))
	p.section("EXAMPLES")
	p.prose(about.examples)
	pages := []string{app.Name}
	for _, other := range app.VisibleCommands() {
		if other != c {
			pages = append(pages, app.Name+"-"+other.Name)
		}
	}
	p.seeAlso(pages)
	return p.String()
}

// A described command has the parts of its description.
type described struct {
	text, examples string
	exitStatus     []report.Entry
}

// exitCode matches a code in the exit codes of a description: "1 failed".
var exitCode = regexp.MustCompile(`(?:^|; )(\d+) `)

// describe splits a command's description.
func describe(c *cli.Command) described {
	var d described
	for paragraph := range strings.SplitSeq(c.Description, "\n\n") {
		title, content, _ := strings.Cut(paragraph, ":")
		switch content = strings.Trim(content, "\n"); title {
		case "Example", "Examples":
			d.examples = content
		case "Exit codes":
			content = strings.Join(strings.Fields(content), " ")
			codes := exitCode.FindAllStringSubmatchIndex(content, -1)
			for i, at := range codes {
				end := len(content)
				if i+1 < len(codes) {
					end = codes[i+1][0]
				}
				d.exitStatus = append(d.exitStatus, report.Entry{Term: content[at[2]:at[3]], Text: strings.TrimSuffix(content[at[1]:end], ".")})
			}
		default:
			d.text = strings.TrimPrefix(d.text+"\n\n"+paragraph, "\n\n")
		}
	}
	if d.exitStatus == nil {
		d.exitStatus = exitStatus
	}
	return d
}

// exitStatus is what the exit codes mean for all commands.
var exitStatus = []report.Entry{
	{Term: "0", Text: "success: moved, or already there"},
	{Term: "1", Text: "at least one move failed, or the command could not do its work"},
	{Term: "2", Text: "only with --detailed-exitcode on a dry run: there is work to do"},
	{Term: "3", Text: "nothing failed, but something was refused and needs a decision"},
	{Term: "4", Text: "usage or configuration error: nothing was attempted"},
	{Term: "130", Text: "interrupted"},
}

// A used thing is a variable or file of the commands that have a flag; of all without one.
type used struct {
	flag string
	report.Entry
}

// environment lists the variables that commands use.
func environment() []used {
	all := slices.Clone(generalEnvironment)
	for _, kind := range kinds(backend.Connection{}) {
		if kind.Environment != "" {
			all = append(all, used{"include", report.Entry{Term: kind.Environment, Text: "access to " + kind.Scheme + ":// addresses, as for Terraform's own backend"}})
		}
	}
	return all
}

var generalEnvironment = []used{
	{"", report.Entry{Term: "TFHAUL_FLAG", Text: "sets the flag of that name where the command line does not: TFHAUL_LOCK_TIMEOUT is --lock-timeout. A repeatable flag takes one value from each line"}},
	{"", report.Entry{Term: settingsVariable, Text: "settings file to use instead of " + settingsName}},
	{"token-file", report.Entry{Term: "TFE_TOKEN, TF_TOKEN_<host>", Text: "API token"}},
	{"token-file", report.Entry{Term: "TFE_ADDRESS, TFE_HOSTNAME", Text: "host, where a target names none; otherwise app.terraform.io"}},
	{"token-file", report.Entry{Term: "TF_CLI_CONFIG_FILE", Text: "configuration of the Terraform CLI, with the credentials that terraform login stores"}},
	{"ca-file", report.Entry{Term: "SSL_CERT_FILE", Text: "certificate authorities to trust; --ca-file adds others"}},
	{"ca-file", report.Entry{Term: "HTTPS_PROXY, HTTP_PROXY, NO_PROXY", Text: "proxy for requests"}},
	{"", report.Entry{Term: "NO_COLOR, TERM=dumb", Text: "disable colors"}},
}

var usedFiles = []used{
	{"", report.Entry{Term: settingsName, Text: "settings file, in the current directory or above: see tfhaul-settings(1)"}},
	{"token-file", report.Entry{Term: "~/.terraformrc, ~/.terraform.d/credentials.tfrc.json", Text: "configuration and credentials of the Terraform CLI; on Windows, terraform.rc and terraform.d in %APPDATA%"}},
	{"journal", report.Entry{Term: "$XDG_STATE_HOME/tfhaul/", Text: "journals of moves without --journal; ~/.local/state/tfhaul/ without the variable. A journal is removed when no lock is left"}},
	{"fail-fast", report.Entry{Term: "tfhaul-<time>.jsonl", Text: "journal of a haul without --journal, in the current directory"}},
	{"backup-dir", report.Entry{Term: "tfhaul-backup/", Text: "backups of replaced states"}},
}

// entriesFor returns what a command uses, or all for nil.
func entriesFor(all []used, c *cli.Command) []report.Entry {
	var entries []report.Entry
	for _, u := range all {
		if c == nil || u.flag == "" || slices.ContainsFunc(c.VisibleFlags(), func(f cli.Flag) bool { return f.Names()[0] == u.flag }) {
			entries = append(entries, u.Entry)
		}
	}
	return entries
}

// roff quotes what means something to roff, and writes what is not ASCII as it wants it.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "", "…", `\[u2026]`).Replace(text)
	for _, control := range []string{".", "'"} {
		text = strings.ReplaceAll("\n"+text, "\n"+control, "\n\\&"+control)[1:]
	}
	return text
}
