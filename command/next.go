package command

import (
	"os"
	"path/filepath"
	"strings"

	"tfhaul/migrate"
	"tfhaul/report"
)

// tellNext prints the next step.
func (p *process) tellNext(format string, args ...any) {
	if !p.json {
		p.note("Next: "+format, args...)
	}
}

// tellWrote reports a file that was written for people to read.
func (p *process) tellWrote(path string) {
	if path != "" {
		p.note("Wrote %s", path)
	}
}

// tellRecipe shows how configurations use the workspaces into which states were moved.
func (p *process) tellRecipe(results []migrate.Result) error {
	if r, ok := recipeFor(results); ok && !p.json && !p.quiet {
		return report.WriteRecipe(p.stderr, p.stderr.style(), r)
	}
	return nil
}

// recipeFor returns the recipe after moves: after one for its configuration, after several
// for each. It returns false if no state was moved.
func recipeFor(results []migrate.Result) (report.Recipe, bool) {
	var r report.Recipe
	n := 0
	for i := range results {
		if results[i].Outcome != migrate.Moved || !migrate.NamesWorkspace(results[i].Target) {
			continue
		}
		if n++; n == 2 {
			return report.Recipe{Target: r.Target, Many: true}, true
		}
		r = recipeAfter(results[i])
	}
	return r, n > 0
}

// recipeAfter returns the recipe after one move. A local state is in the directory of its
// configuration, or below terraform.tfstate.d there.
func recipeAfter(moved migrate.Result) report.Recipe {
	r := report.Recipe{Target: moved.Target}
	if moved.Snapshot != nil {
		r.Serial = moved.Snapshot.Serial
	}
	if moved.Source == "-" || strings.Contains(moved.Source, "://") {
		return r
	}
	const states, stateDirs = "terraform.tfstate", "terraform.tfstate.d"
	dir := filepath.Dir(moved.Source)
	if workspaces := filepath.Dir(dir); filepath.Base(workspaces) == stateDirs {
		dir = filepath.Dir(workspaces)
	}
	if found, err := filepath.Glob(filepath.Join(globEscape(dir), "*.tf")); err != nil || len(found) == 0 {
		return r
	}
	r.Dir = dir
	for _, name := range []string{states, stateDirs} {
		if path := filepath.Join(dir, name); exists(path) {
			r.States = append(r.States, path)
		}
	}
	if pointer := filepath.Join(dir, ".terraform", states); exists(pointer) {
		r.Pointer = pointer
	}
	return r
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// globEscape makes a path match only itself.
var globEscape = strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace
