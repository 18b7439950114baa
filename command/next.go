package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tfhaul/backend"
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

// tellRecipe shows how configurations use the states that were moved.
func (n connector) tellRecipe(ctx context.Context, results []migrate.Result) error {
	if n.json || n.quiet {
		return nil
	}
	if r, ok := recipeFor(ctx, n.kinds, results); ok {
		return report.WriteRecipe(n.stderr, n.stderr.style(), r)
	}
	return nil
}

// recipeFor returns the recipe after moves: after one for its configuration, after several
// for each. It returns false if no state was moved to where Terraform can use it. After a
// rollback, configurations use what they used before the haul.
func recipeFor(ctx context.Context, kinds backend.Kinds, results []migrate.Result) (report.Recipe, bool) {
	var r report.Recipe
	n := 0
	for i := range results {
		if results[i].Outcome != migrate.Moved || results[i].Rollback {
			continue
		}
		if n++; n == 2 {
			return report.Recipe{Target: r.Target, Block: r.Block, Workspace: r.Workspace, Notes: r.Notes, Many: true}, true
		}
		var ok bool
		if r, ok = recipeAfter(ctx, kinds, results[i]); !ok {
			n--
		}
	}
	return r, n > 0
}

// Names in the directory of a configuration.
const (
	states    = "terraform.tfstate"
	stateDirs = "terraform.tfstate.d"
	dataDir   = ".terraform"
)

// recipeAfter returns the recipe after one move. A local state is in the directory of its
// configuration, or below terraform.tfstate.d there.
func recipeAfter(ctx context.Context, kinds backend.Kinds, moved migrate.Result) (report.Recipe, bool) {
	r := report.Recipe{Target: moved.Target}
	settings := states // which the old backend's are in
	if !migrate.NamesWorkspace(moved.Target) {
		block, err := blockOf(ctx, kinds, moved.Target)
		if err != nil {
			return r, false
		}
		r.Block, r.Notes, settings = block.HCL(), block.Notes, "environment"
		if block.Named() {
			r.Workspace = block.Workspace
		}
		if block.Terraform != "" {
			r.Notes = append(r.Notes, fmt.Sprintf("%s needs Terraform %s or newer.", block.Newest, block.Terraform))
		}
	}
	if moved.Snapshot != nil {
		r.Serial = moved.Snapshot.Serial
	}
	if moved.Source == "-" || strings.Contains(moved.Source, "://") {
		return r, true
	}
	dir := filepath.Dir(moved.Source)
	if workspaces := filepath.Dir(dir); filepath.Base(workspaces) == stateDirs {
		dir = filepath.Dir(workspaces)
	}
	if found, err := filepath.Glob(filepath.Join(globEscape(dir), "*.tf")); err != nil || len(found) == 0 {
		return r, true
	}
	r.Dir = dir
	for _, name := range []string{states, stateDirs} {
		if path := filepath.Join(dir, name); exists(path) && !holds(path, moved.Target) {
			r.States = append(r.States, path)
		}
	}
	if pointer := filepath.Join(dir, dataDir, settings); exists(pointer) {
		r.Pointer = pointer
	}
	return r, true
}

// hasRecipe reports whether there is a recipe after a move to a target.
func hasRecipe(ctx context.Context, kinds backend.Kinds, target string) bool {
	if migrate.NamesWorkspace(target) {
		return true
	}
	_, err := blockOf(ctx, kinds, target)
	return err == nil
}

// blockOf returns how a configuration uses a state that is not in a workspace.
func blockOf(ctx context.Context, kinds backend.Kinds, target string) (*backend.Block, error) {
	d := destination{}
	var err error
	if d.kind, err = kinds.Target(target); err != nil {
		return nil, err
	}
	if why := d.unprovable(); why != "" {
		return nil, errors.New(why)
	}
	if d.container, d.name, err = d.kind.Target.SplitState(target); err != nil {
		return nil, err
	}
	return d.block(ctx)
}

// holds reports whether a target is the file or in the directory at path.
func holds(path, target string) bool {
	at, err := filepath.Abs(path)
	return err == nil && (target == at || strings.HasPrefix(target, at+string(filepath.Separator)))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// globEscape makes a path match only itself.
var globEscape = strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace
