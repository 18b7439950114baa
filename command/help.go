package command

const appHelp = `{{.HelpName}} - {{.Usage}}

{{.Description}}

Usage:
  {{.UsageText}}

Commands:{{range .VisibleCommands}}
  {{.Name}}{{"\t"}}{{.Usage}}{{end}}

Flags of all commands:{{range .VisibleFlags}}
  {{.}}{{end}}

Run tfhaul COMMAND --help for details and examples. Every flag can also be set with the environment variable shown in
brackets.
`

const commandHelp = `{{.HelpName}} - {{.Usage}}

Usage:
  {{.UsageText}}

{{.Description}}
{{with .VisibleFlags}}
Flags:{{range .}}
  {{.}}{{end}}
{{end}}`
