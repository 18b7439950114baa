package report

import (
	"strings"
	"testing"

	"tfhaul/rootmodule"
)

// The diff of a rewritten file has no secret of the old block, in whatever form it is written.
func TestSecretsInADiffAreHidden(t *testing.T) {
	t.Parallel()
	const password = "hunter2-of-the-test"
	for name, before := range map[string]string{
		"argument":         "secret_key = \"PASSWORD\"\n",
		"JSON":             "\"sas_token\": \"PASSWORD\",\n",
		"numbered":         "token2 = \"a\\\"PASSWORD\"\n",
		"heredoc":          "conn_str = <<-EOT\n  postgres://jo:PASSWORD@db/tf\n  PASSWORD\nEOT\n",
		"heredoc and CRLF": "conn_str = <<EOT\r\nPASSWORD\r\nEOT\r\n",
		"address":          "address = \"https://jo:PASSWORD@state.example.com/x\"\n",
		"slash in address": "address = \"https://jo:@PASSWORD@state.example.com/x\"\n",
		"signed address":   "address = \"https://state.example.com/x?a=b&sig=PASSWORD\"\n",
		"header":           "headers = { Authorization = \"Bearer PASSWORD\" }\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.ReplaceAll(before, "PASSWORD", password)
			for _, pair := range [][2]string{{text + "x = 1\n", "x = 1\n"}, {text + "x = 1\n", text + "x = 2\n"}} {
				change := rootmodule.Change{Path: "main.tf", Before: []byte(pair[0]), After: []byte(pair[1])}
				shown := NewRewriting(&rootmodule.Rewriting{Changes: []rootmodule.Change{change}}, nil, nil).Changes[0].Diff
				if strings.Contains(shown, password) || !strings.Contains(shown, "hidden") || !strings.Contains(shown, "x = 1") {
					t.Errorf("the diff is %s", shown)
				}
			}
		})
	}
}
