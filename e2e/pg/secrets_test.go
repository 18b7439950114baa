package pg_test

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/fixtures"
)

// A password in an address, or in PG_CONN_STR, is used and never shown, stored in a journal, a
// manifest or a report, or repeated in a recommended command.
func TestPasswordsAreNeverShown(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.createTable()
	text := fixtures.Spec{Seed: 5, Serial: 3, Resources: 1}.Bytes()
	d.put("prod", text)
	_, environment := startTFE(t)
	environment = append(environment, "PGPASSWORD=")
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src", "dev"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "src", "dev", "terraform.tfstate"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	typed := func(address, password string) string {
		return strings.Replace(address, "@", ":"+url.PathEscape(password)+"@", 1)
	}
	all, prod, dev := typed(d.address(""), userPassword), typed(d.address("prod"), userPassword), typed(d.address("dev"), userPassword)
	variable := append(environment, "PG_CONN_STR="+d.server.url(d.user, d.name, userPassword))
	var said strings.Builder
	run := func(code int, environment []string, args ...string) {
		t.Helper()
		r := tfhaul(t, dir, environment, args...)
		if r.code != code {
			t.Errorf("%v: exit code %d, want %d\n%s\n%s", args[0], r.code, code, r.stdout, r.stderr)
		}
		said.WriteString(r.stdout + r.stderr)
	}
	run(4, environment, "audit", d.address("")) // without a password
	run(0, environment, "audit", all, "--json")
	run(0, environment, "audit", all, "--html", "audit.html")
	run(0, variable, "audit", "postgres:///?schema="+d.schema)
	run(0, environment, "plan", all, "--target", haulOrg, "--create", "--out", "in.hcl")
	run(0, environment, "migrate", all, "--target", haulOrg, "--create", "--yes", "--journal", "in.jsonl")
	run(0, environment, "plan", "src", "--target", all, "--out", "out.hcl")
	run(0, environment, "migrate", "src", "--target", all, "--yes", "--journal", "out.jsonl")
	run(0, variable, "verify", "out.jsonl")
	run(0, variable, "history", d.address("dev"))
	run(0, environment, "move", "src/dev/terraform.tfstate", dev, "--json")
	run(0, environment, "move", prod, dev)
	run(1, environment, "move", "src/dev/terraform.tfstate", typed(d.address("dev"), userPassword+"wrong"))
	run(4, environment, "move", "src/dev/terraform.tfstate", all)
	run(4, environment, "migrate", "src", "--target", dev)
	run(4, environment, "move", prod+"&nothing=1", haulOrg+"/net")
	run(0, variable, "report", "out.jsonl")
	shown := map[string]string{"the output": said.String()}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		stored, err := os.ReadFile(path)
		shown[path] = string(stored)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, what := range shown {
		if at := strings.Index(what, "canary"); at >= 0 {
			t.Errorf("%s shows a password: …%s…", where, what[max(0, at-300):min(len(what), at+80)])
		}
	}
	if len(shown) < 6 {
		t.Errorf("only %d files were written", len(shown)-1)
	}
}
