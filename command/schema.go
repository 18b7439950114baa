package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"tfhaul/docs/schemas"
	"tfhaul/report"
)

// A schemaList is the document of tfhaul schema --json.
type schemaList struct {
	Schemas []schemaEntry `json:"schemas"`
}

// A schemaEntry is one JSON Schema.
type schemaEntry struct {
	// Name is the command that prints the documents, or "progress".
	Name string `json:"name"`
	// Description says what the documents are.
	Description string `json:"description"`
}

func (p *process) schemaCommand() *cli.Command {
	return &cli.Command{
		Name:      "schema",
		Usage:     "print the JSON Schema of a command's JSON document",
		UsageText: "tfhaul schema [NAME] [--json]",
		Description: `Prints the JSON Schema (draft 2020-12) of what the command NAME prints with --json. The schema "progress" describes the lines
that plan, migrate and other commands write to stderr meanwhile. Without NAME, lists the schemas.

Examples:
  tfhaul schema
  tfhaul schema audit > audit.schema.json`,
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			switch c.NArg() {
			case 0:
				return p.listSchemas()
			case 1:
				return p.printSchema(c.Args().First())
			}
			return usagef("unexpected argument %q: tfhaul schema [NAME]", c.Args().Get(1))
		},
	}
}

func (p *process) printSchema(name string) error {
	schema := schemas.Get(name)
	if schema == nil {
		return usagef("no schema %q: use one of %s", name, strings.Join(schemas.Names(), ", "))
	}
	_, err := p.stdout.Write(schema)
	return err
}

func (p *process) listSchemas() error {
	var list schemaList
	for _, name := range schemas.Names() {
		entry := schemaEntry{Name: name}
		if err := json.Unmarshal(schemas.Get(name), &entry); err != nil {
			return fmt.Errorf("the schema %s: %w", name, err)
		}
		list.Schemas = append(list.Schemas, entry)
	}
	return show(p, list, report.JSON, writeSchemas)
}

func writeSchemas(w io.Writer, _ report.Style, list schemaList) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, entry := range list.Schemas {
		fmt.Fprintf(t, "%s\t%s\n", entry.Name, entry.Description)
	}
	return t.Flush()
}
