package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

func (p *process) manCommand() *cli.Command {
	return &cli.Command{
		Name:        "man",
		Usage:       "print the manual page",
		UsageText:   "tfhaul man",
		Description: "Prints the manual page in roff format, for packages.\n\nExample:\n  tfhaul man > tfhaul.1",
		Hidden:      true,
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			_, err := io.WriteString(p.stdout, manual(p.app()))
			return err
		},
	}
}

// manual returns the manual page. That of urfave/cli has no variables and no names of values,
// and takes * and <> in texts for markup.
func manual(app *cli.App) string {
	var b strings.Builder
	name, form, _ := strings.Cut(app.UsageText, " ")
	fmt.Fprintf(&b, ".TH TFHAUL 1\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.B %s\n%s\n.SH DESCRIPTION\n", name, roff(app.Usage), name, roff(form))
	writeProse(&b, app.Description)
	b.WriteString(".SH COMMANDS\n")
	for _, c := range app.VisibleCommands() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(c.Name), roff(c.Usage))
	}
	b.WriteString(".SH FLAGS OF ALL COMMANDS\n")
	writeFlags(&b, app.VisibleFlags())
	b.WriteString(".SH ENVIRONMENT\nEvery flag can also be set with the environment variable shown in brackets.\n")
	for _, c := range app.VisibleCommands() {
		fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper(roff(c.Name)))
		for i, usage := range strings.Split(c.UsageText, "\n") {
			if i > 0 {
				b.WriteString(".br\n")
			}
			fmt.Fprintf(&b, ".B %s\n", roff(strings.TrimSpace(usage)))
		}
		b.WriteString(".PP\n")
		writeProse(&b, c.Description)
		writeFlags(&b, c.VisibleFlags())
	}
	return b.String()
}

// writeProse writes paragraphs. Lines that are indented, such as examples, stay as they are.
func writeProse(b *strings.Builder, text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		asIs := strings.Contains(paragraph, "\n  ")
		if asIs {
			b.WriteString(".nf\n")
		}
		fmt.Fprintln(b, roff(paragraph))
		if asIs {
			b.WriteString(".fi\n")
		}
	}
}

// writeFlags writes a paragraph for each flag: what help prints in two columns.
func writeFlags(b *strings.Builder, flags []cli.Flag) {
	for _, f := range flags {
		names, usage, _ := strings.Cut(f.String(), "\t")
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR\n%s\n", roff(names), roff(usage))
	}
}

// roff quotes what means something to roff, and writes what is not ASCII as it wants it.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "", "…", `\[u2026]`).Replace(text)
	for _, control := range []string{".", "'"} {
		text = strings.ReplaceAll("\n"+text, "\n"+control, "\n\\&"+control)[1:]
	}
	return text
}
