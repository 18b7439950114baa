package command

const appHelp = `{{.HelpName}} - {{.Usage}}

{{.Description}}

Usage:
  {{.UsageText}}

Commands:{{range .VisibleCommands}}
  {{.Name}}{{"\t"}}{{.Usage}}{{end}}

Flags of all commands:{{range .VisibleFlags}}
  {{.}}{{end}}

tfhaul COMMAND --help tells more, with examples. Every flag can be set by the variable that stands behind it.
`

const commandHelp = `{{.HelpName}} - {{.Usage}}

Usage:
  {{.UsageText}}

{{.Description}}
{{with .VisibleFlags}}
Flags:{{range .}}
  {{.}}{{end}}
{{end}}`
