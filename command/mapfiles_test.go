package command_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// A map may name files by absolute paths where SOURCE is relative, and the other way around.
func TestMapMatchesAbsoluteAndRelativePaths(t *testing.T) {
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"a/terraform.tfstate": state(1, 1), "b/terraform.tfstate": state(2, 1)})
	t.Chdir(dir)
	for _, c := range []struct{ name, source, a, b string }{
		{"absolute in the map", ".", filepath.Join(dir, "a/terraform.tfstate"), filepath.Join(dir, "b/terraform.tfstate")},
		{"relative in the map", dir, "a/terraform.tfstate", "./b/terraform.tfstate"},
		{"not clean", "./", filepath.Join(dir, "a") + "/../a//terraform.tfstate", "a/../b/terraform.tfstate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "names.csv")
			writeFile(t, file, []byte(c.a+",one\n"+c.b+",two\n"))
			r := h.tfhaul(t, "plan", c.source, "--map", file, "--target", org, "--create", "--json")
			r.want(t, 0, "2 planned")
			if m := moveOf(t, r, "one"); !strings.HasSuffix(m["source"].(string), "a/terraform.tfstate") {
				t.Errorf("%v", m)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "names.csv")
	writeFile(t, file, []byte("a/terraform.tfstate,one\n"+filepath.Join(dir, "a/terraform.tfstate")+",two\n"))
	if r := h.tfhaul(t, "plan", ".", "--map", file, "--target", org, "--create"); r.code != 4 || !strings.Contains(r.stderr, "already in line 1") {
		t.Errorf("one file in two lines: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// A map in UTF-16 is named as that, with a byte order mark and without.
func TestMapInUTF16(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{"a/terraform.tfstate": state(1, 1)})
	var little, big []byte
	for _, unit := range utf16.Encode([]rune("source,workspace\r\ngröße/terraform.tfstate,one\r\n")) {
		little, big = append(little, byte(unit), byte(unit>>8)), append(big, byte(unit>>8), byte(unit))
	}
	for name, content := range map[string][]byte{
		"little endian": little, "big endian": big,
		"little endian with a mark": slices.Concat([]byte("\xff\xfe"), little), "big endian with a mark": slices.Concat([]byte("\xfe\xff"), big),
		"short": []byte("a\x00,\x00b\x00"),
	} {
		file := filepath.Join(t.TempDir(), "names.csv")
		writeFile(t, file, content)
		r := h.tfhaul(t, "plan", dir, "--map", file, "--target", org)
		if r.code != 4 || !strings.Contains(r.stderr, "is UTF-16, not CSV in UTF-8: save it as UTF-8 CSV") {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
	}
}

// Two repositories with the same directories: each name begins with its repository's. One of
// them alone keeps the short names.
func TestNamesOfSeveralSourcesBeginWithTheirRoot(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, map[string][]byte{
		"repoA/terraform.tfstate": state(1, 1), "repoA/net/terraform.tfstate": state(2, 1),
		"repoB/terraform.tfstate": state(3, 1), "repoB/net/terraform.tfstate": state(4, 1),
	})
	repoA, repoB := filepath.Join(dir, "repoA"), filepath.Join(dir, "repoB")
	h.tfhaul(t, "migrate", repoA, repoB, "--target", org, "--create", "--yes", "--json", "--journal", journalIn(t)).want(t, 0, "4 moved")
	h.mustHold(t, "repoA", state(1, 1))
	h.mustHold(t, "repoA-net", state(2, 1))
	h.mustHold(t, "repoB", state(3, 1))
	h.mustHold(t, "repoB-net", state(4, 1))
	r := h.tfhaul(t, "plan", repoA, "--target", org, "--create", "--json")
	r.want(t, 0, "1 already-there, 1 planned")
	if m := moveOf(t, r, "net"); m["outcome"] != "planned" {
		t.Errorf("%v", m)
	}
}

// plan --out names.csv writes the names, and the command that it recommends uses them after
// they were edited.
func TestNamesAreWrittenEditedAndUsed(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	states := many(3)
	dir := tree(t, states)
	file := filepath.Join(t.TempDir(), "names.csv")
	r := h.tfhaul(t, "plan", dir, "--target", org, "--create", "--workspace-name", "x{{ .Dir }}", "--out="+file)
	if r.code != 0 || !strings.HasPrefix(r.stderr, "Wrote "+file+": the workspace names of 3 states. Edit it, then run: tfhaul plan "+dir) {
		t.Fatalf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "source,workspace,relation,serial,size,reason\n" + filepath.Join(dir, "a-00/terraform.tfstate") + ",xa-00,fresh,1,"; !strings.HasPrefix(string(raw), want) {
		t.Errorf("it begins %.300q, want %q", raw, want)
	}
	writeFile(t, file, []byte(strings.Replace(string(raw), ",xa-01,", ",edited,", 1)))
	_, command, _ := strings.Cut(r.stderr, "then run: tfhaul ")
	planned := h.tfhaul(t, append(strings.Fields(command), "--json")...)
	planned.want(t, 0, "3 planned")
	if m := moveOf(t, planned, "edited"); !strings.HasSuffix(m["source"].(string), "a-01/terraform.tfstate") {
		t.Errorf("%v", m)
	}
	if r := h.tfhaul(t, "plan", dir, "--target", org, "--out", file); r.code != 4 || !strings.Contains(r.stderr, "--force") {
		t.Errorf("an edited map is replaced: exit code %d: %s", r.code, r.stderr)
	}
}

// A map's other columns describe new workspaces, and so does the manifest that is planned
// from it.
func TestMapColumnsDescribeNewWorkspaces(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	dir := tree(t, many(3))
	at := func(i int) string { return filepath.Join(dir, fmt.Sprintf("a-%02d", i), "terraform.tfstate") }
	names := "workspace,source,execution_mode,tags,reason\none," + at(0) + ",local,team=net;prod,why\ntwo," + at(1) + ",,,\n"
	file := write(t, "names.csv", []byte(names))
	manifest := filepath.Join(t.TempDir(), "haul.hcl")
	h.tfhaul(t, "plan", dir, "--target", org, "--map", file, "--create", "--tag", "all", "--out", manifest, "--json").want(t, 0, "2 planned")
	h.tfhaul(t, "migrate", manifest, "--yes", "--json", "--journal", journalIn(t)).want(t, 0, "2 moved")
	client, err := tfe.NewClient(&tfe.Config{Address: h.running.URL(), Token: h.Token(tfesim.Owner), HTTPClient: h.running.Client()})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"one": "local team=net prod", "two": "remote all"} {
		w, err := client.Workspaces.Read(t.Context(), org, name)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{w.ExecutionMode}
		bindings, err := client.Workspaces.ListEffectiveTagBindings(t.Context(), w.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bindings {
			got = append(got, b.Key+"="+b.Value)
		}
		got = append(got, w.TagNames...)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct{ name, csv, says string }{
		{"an unknown column", "source,workspace,projct\n" + at(0) + ",one,x\n", `unknown column "projct"`},
		{"a column twice", "source,workspace,tags,tags\n" + at(0) + ",one,x,y\n", `column "tags" appears twice`},
		{"more fields than columns", "source,workspace\n" + at(0) + ",one,x\n", ":2: each line must be source,workspace, but this one has 3 fields; more columns need a header line"},
		{"a bad mode", "source,workspace,execution_mode\n" + at(0) + ",one,fast\n", `:2: execution_mode cannot be "fast"`},
	} {
		r := h.tfhaul(t, "plan", dir, "--target", org, "--create", "--map", write(t, "names.csv", []byte(c.csv)))
		if r.code != 4 || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s: exit code %d: %s", c.name, r.code, r.stderr)
		}
	}
	if r := h.tfhaul(t, "plan", dir, "--target", org, "--map", file); r.code != 4 || !strings.Contains(r.stderr, ":2: tags describes a new workspace and requires --create") {
		t.Errorf("without --create: exit code %d: %s", r.code, r.stderr)
	}
}
