package backend_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kinds returns the packages that implement a kind of backend: all below this one but the
// suite.
func kinds(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "backendtest" {
			names = append(names, e.Name())
		}
	}
	return names
}

// mayImport lists, for packages with restrictions, the packages of this project that they
// may import. "kinds" means every kind.
var mayImport = map[string][]string{
	"statefile": {},
	"lockwait":  {},
	"backend":   {"lockwait"},
	"diff":      {"statefile"},
	"migrate":   {"backend", "crash", "lockwait", "plainwords", "prove", "statefile"},
	"backup":    {"backend", "crash", "plainwords", "statefile"},
	"pairing":   {"backend", "backup", "migrate", "plainhcl", "plainwords"},
	"audit":     {"backend", "crash", "plainhcl", "plainwords", "statefile"},
	"report":    {"audit", "backup", "diff", "migrate", "pairing", "plainwords", "prove", "rootmodule"},
	// Kinds turn what it reads into addresses.
	"rootmodule": {"backend", "plainhcl", "plainwords"},
	"tfesim":     {"crash", "tfesim/blobs", "tfesim/jsonapi", "tfesim/runs"},
	// A proof is a run, which only HCP Terraform and TFE have.
	"prove": {"backend", "backend/tfe", "crash", "lockwait", "plainwords", "statefile"},
}

// TestImports enforces the design: only a kind's own package knows what is special about
// it, and only package command lists the kinds.
func TestImports(t *testing.T) {
	seen, kinds := map[string]bool{}, kinds(t)
	imports(t, func(pkg, file, imported string) {
		kind, isKind := strings.CutPrefix(imported, "backend/")
		isKind = isKind && slices.Contains(kinds, kind)
		own := pkg == imported || strings.HasPrefix(pkg, "backend/")
		switch allowed, listed := mayImport[pkg]; {
		case listed && !slices.Contains(allowed, imported):
			t.Errorf("%s imports %s, but package %s may import only %v", file, imported, pkg, allowed)
		case isKind && !own && pkg != "command" && pkg != "bench" && !listed:
			t.Errorf("%s imports the kind %s", file, imported)
		case imported == "tfesim" && !strings.HasPrefix(pkg, "tfesim") && pkg != "command" && pkg != "bench" && !strings.HasPrefix(pkg, "e2e"):
			t.Errorf("%s imports the embedded server", file)
		case strings.HasPrefix(pkg, "backend/") && pkg != "backend/backendtest" && imported != "backend" && imported != "lockwait" && imported != "plainwords" && imported != "crash" && !strings.HasPrefix(imported, pkg):
			t.Errorf("%s, in a kind's package, imports %s", file, imported)
		}
		seen[pkg] = true
	})
	for pkg := range mayImport {
		if !seen[pkg] && len(mayImport[pkg]) > 0 {
			t.Errorf("found nothing of package %s", pkg)
		}
	}
}

// TestOneListOfKinds checks which file lists the kinds.
func TestOneListOfKinds(t *testing.T) {
	makers := map[string]int{}
	imports(t, func(pkg, file, imported string) {
		if pkg == "command" && (imported == "backend/file" || imported == "backend/s3") {
			makers[file]++
		}
	})
	if len(makers) != 1 || makers["command/kinds.go"] != 2 {
		t.Errorf("kinds are imported by %v, want only command/kinds.go", makers)
	}
}

// imports calls found for every import of a package of this project, except in tests.
func imports(t *testing.T, found func(pkg, file, imported string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." || entry.Name() == "testdata"):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		short := strings.TrimPrefix(filepath.ToSlash(name), "../")
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if within, ok := strings.CutPrefix(imported, "tfhaul/"); ok {
				found(path.Dir(short), short, within)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
