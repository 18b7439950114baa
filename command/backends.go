package command

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/report"
)

// A backendList is the document of tfhaul backends --json.
type backendList struct {
	Backends []backendKind `json:"backends"`
}

// A backendKind is what the command shows about a kind of backend.
type backendKind struct {
	Name        string            `json:"name"`
	Source      string            `json:"source"`
	Target      *backendAddresses `json:"target,omitempty"`
	ReadOnly    string            `json:"read_only,omitempty"`
	Environment string            `json:"environment,omitempty"`
}

// backendAddresses are how the address of a target is written.
type backendAddresses struct {
	State      string `json:"state"`
	ManyStates string `json:"many_states"`
}

func (p *process) backendsCommand() *cli.Command {
	return &cli.Command{
		Name:      "backends",
		Usage:     "list the kinds of backends and how their addresses are written",
		UsageText: "tfhaul backends [--json]",
		Description: `Lists where tfhaul can read and write states, how the addresses of sources and targets are written, and which variables
contain credentials. docs/backends.md describes what each kind can do.

Example:
  tfhaul backends`,
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			var all []backendKind
			for _, kind := range p.backends(backend.Connection{}) {
				all = append(all, describeKind(kind))
			}
			if p.json {
				return report.JSON(p.stdout, backendList{all})
			}
			return p.writeBackends(all)
		},
	}
}

func describeKind(kind backend.Kind) backendKind {
	k := backendKind{Name: kind.Name, Source: kind.Example, ReadOnly: kind.ReadOnly, Environment: kind.Environment}
	if kind.Target != nil {
		k.Target = &backendAddresses{kind.Target.State, kind.Target.Container}
	}
	return k
}

func (p *process) writeBackends(all []backendKind) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i, k := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, k.Name)
		fmt.Fprintf(w, "  source\t%s\n", k.Source)
		if k.Target != nil {
			fmt.Fprintf(w, "  target\t%s\n", k.Target.State)
			fmt.Fprintf(w, "  for many states\t%s\n", k.Target.ManyStates)
		} else {
			fmt.Fprintf(w, "  target\tno: %s\n", k.ReadOnly)
		}
		if k.Environment != "" {
			fmt.Fprintf(w, "  credentials\t%s\n", k.Environment)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(p.stdout, b.String())
	return err
}
