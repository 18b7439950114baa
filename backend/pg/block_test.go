package pg

import "testing"

func TestBlocksOfWorkspaces(t *testing.T) {
	for _, tt := range []struct{ container, variable, want, note string }{
		{"postgres://tf:secret@db/infra", "",
			"terraform {\n  backend \"pg\" {\n    conn_str = \"postgres://tf@db/infra\"\n  }\n}\n", "The password comes from PGPASSWORD or ~/.pgpass."},
		{"postgres://tf@db:6000/infra?schema=net&sslmode=disable", "",
			"terraform {\n  backend \"pg\" {\n    conn_str    = \"postgres://tf@db:6000/infra?sslmode=disable\"\n    schema_name = \"net\"\n  }\n}\n", ""},
		{"postgres://tf@/infra?host=/run/pg", "",
			"terraform {\n  backend \"pg\" {\n    conn_str = \"postgres://tf@/infra?host=/run/pg\"\n  }\n}\n", ""},
		{"postgres://tf@db/infra?schema=net", "PG_CONN_STR=postgres://tf:secret@db/infra?sslmode=disable",
			"terraform {\n  backend \"pg\" {\n    schema_name = \"net\"\n  }\n}\n", "The connection (conn_str) comes from PG_CONN_STR."},
	} {
		b, err := environment(t, tt.variable).Target.Block(t.Context(), tt.container, "prod")
		if err != nil {
			t.Fatal(err)
		}
		note := ""
		if len(b.Notes) > 0 {
			note = b.Notes[0]
		}
		if b.HCL() != tt.want || note != tt.note || b.Workspace != "prod" {
			t.Errorf("%s: %s%q, workspace %s; want\n%s%q", tt.container, b.HCL(), b.Notes, b.Workspace, tt.want, tt.note)
		}
	}
}
