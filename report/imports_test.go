package report_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Views import the result types that they show, and not the packages that produce them.
// Only package page imports html/template.
func TestImports(t *testing.T) {
	t.Parallel()
	results := []string{"tfhaul/audit", "tfhaul/backup", "tfhaul/diff", "tfhaul/migrate", "tfhaul/pairing", "tfhaul/plainwords", "tfhaul/prove", "tfhaul/rootmodule"}
	for dir, allowed := range map[string][]string{".": results, "page": append([]string{"tfhaul/report", "html/template"}, results...)} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imported := range file.Imports {
				path, err := strconv.Unquote(imported.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if (strings.HasPrefix(path, "tfhaul/") || path == "html/template") && !slices.Contains(allowed, path) {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
}
