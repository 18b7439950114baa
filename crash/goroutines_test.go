package crash_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// unguarded lists the files and directories whose goroutines need no Catch, and why.
var unguarded = map[string]string{
	"main.go":             "closes a channel on a signal, before there is a handler",
	"crash":               "defines Catch",
	"statefile/intake.go": "passes panics to the reading goroutine",
	"backend/backendtest": "tests",
	"bench":               "holds no locks",
	"tfesim":              "plays the server; http.Server handles panics itself",
	"e2e":                 "tests",
	"fixtures":            "holds no locks",
}

// A panic in a goroutine without Catch ends the process with exit code 2 and a dump, and
// no message reports what is still locked.
func TestEveryGoroutineCatchesItsPanics(t *testing.T) {
	guarded := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (unguarded[name] != "" || path != ".." && strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case unguarded[name] != "", entry.IsDir(), !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: go: use crash.Go", files.Position(n.Pos()))
			case *ast.CallExpr:
				switch f, ok := n.Fun.(*ast.SelectorExpr); {
				case !ok || f.Sel.Name != "Go" && f.Sel.Name != "TryGo":
				case isCrash(f, "Go"), len(n.Args) == 1 && catches(n.Args[0]):
					guarded++
				default:
					t.Errorf("%s: %s: the function must begin with defer crash.Catch(ctx)", files.Position(n.Pos()), f.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if guarded < 10 {
		t.Errorf("checked only %d goroutines: has the project moved?", guarded)
	}
}

// catches reports whether a function begins with defer crash.Catch.
func catches(f ast.Expr) bool {
	function, ok := f.(*ast.FuncLit)
	if !ok || len(function.Body.List) == 0 {
		return false
	}
	first, ok := function.Body.List[0].(*ast.DeferStmt)
	if !ok {
		return false
	}
	called, ok := first.Call.Fun.(*ast.SelectorExpr)
	return ok && isCrash(called, "Catch")
}

func isCrash(f *ast.SelectorExpr, name string) bool {
	in, ok := f.X.(*ast.Ident)
	return ok && in.Name == "crash" && f.Sel.Name == name
}
