package command_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

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
