package command_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestTLSIsAlwaysVerified looks for the one word that would end it, in every Go
// file of the repository, tests included.
func TestTLSIsAlwaysVerified(t *testing.T) {
	t.Parallel()
	word := "Insecure" + "SkipVerify"
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), word) {
			t.Errorf("%s speaks of %s", path, word)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files: %v", files, err)
	}
}

// TestDependenciesAreNamed keeps the list of what is in the program, in
// docs/guarantees.md, complete: a new module needs a reason there.
func TestDependenciesAreNamed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the list is that of the program for Linux")
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "tfhaul").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	modules = slices.Compact(modules)

	document, err := os.ReadFile(filepath.Join("..", "docs", "guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+\\.[^`]+/[^`]+)` \\|").FindAllStringSubmatch(string(document), -1) {
		rows = append(rows, m[1])
	}
	for _, module := range modules {
		named := slices.ContainsFunc(rows, func(row string) bool {
			prefix, all := strings.CutSuffix(row, "/*")
			fits := row == module || all && strings.HasPrefix(module, prefix+"/")
			used[row] = used[row] || fits
			return fits
		})
		if !named {
			t.Errorf("%s is in the program, and docs/guarantees.md does not say why", module)
		}
	}
	for _, row := range rows {
		if !used[row] {
			t.Errorf("docs/guarantees.md names %s, which is not in the program", row)
		}
	}
	if want := fmt.Sprintf("%d modules", len(modules)); !strings.Contains(string(document), want) {
		t.Errorf("docs/guarantees.md does not say that there are %s in the program", want)
	}
}
