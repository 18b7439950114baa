package command

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// handoverDir returns the directory that --handover names, or "". It checks that the directory
// can be used before anything is read.
func handoverDir(c *cli.Context) (string, error) {
	dir := c.String("handover")
	if dir == "" {
		return "", nil
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(filepath.Clean(dir))); err != nil {
			return "", usagef("the handover %q cannot be written: %v", dir, plainwords.WithoutPath(err))
		}
		return dir, nil
	case err != nil:
		return "", usagef("the handover %q cannot be written: %v", dir, plainwords.WithoutPath(err))
	case !info.IsDir():
		return "", usagef("--handover takes a directory, and %q is a file", dir)
	}
	return dir, mustBeReplaceable(filepath.Join(dir, report.HandoverIndex), c.Bool("force"))
}

// writeHandover writes the pages of a handover.
func (t *tellHaul) writeHandover(ctx context.Context, told report.HaulReport, dir string) error {
	if journal, err := filepath.Abs(told.Journal); err == nil {
		told.Journal = journal // the commands work in every directory
	}
	kinds := t.backends(backend.Connection{Environ: t.environ, Logger: t.log})
	h := report.Handover{HaulReport: told, Dir: dir}
	var moves []report.HandoverMove
	for _, r := range told.All() {
		m := report.HandoverMove{Result: r}
		at := r
		if dir != "" && !strings.Contains(r.Source, "://") && r.Source != "-" && !filepath.IsAbs(r.Source) {
			at.Source = filepath.Join(dir, r.Source)
		}
		if recipe, ok := recipeAfter(ctx, kinds, at); ok && r.Arrived() {
			m.Recipe = &recipe
		}
		moves = append(moves, m)
	}
	h.Pages = report.PagesByRepository(moves, func(r migrate.Result) string { return repositoryOf(r, dir) })
	if err := os.MkdirAll(t.handover, 0o755); err != nil {
		return plainwords.WithoutPath(err)
	}
	for _, page := range h.Pages {
		if err := writeFile(filepath.Join(t.handover, page.File), t.force, func(w io.Writer) error { return h.WritePage(w, page) }); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(t.handover, report.HandoverIndex), t.force, h.WriteIndex)
}

// repositoryOf returns the repository of a move's configuration: the workspace's VCS repository,
// or the name of the git repository that the state was in; "" if neither is known.
func repositoryOf(r migrate.Result, dir string) string {
	if s := r.Settings; s != nil && s.VCSRepository != "" {
		return s.VCSRepository
	}
	if r.Source == "-" || strings.Contains(r.Source, "://") {
		return ""
	}
	at := r.Source
	if dir != "" && !filepath.IsAbs(at) {
		at = filepath.Join(dir, at)
	}
	at, err := filepath.Abs(at)
	if err != nil {
		return ""
	}
	for parent := filepath.Dir(at); parent != at; at, parent = parent, filepath.Dir(parent) {
		if exists(filepath.Join(parent, ".git")) {
			return filepath.Base(parent)
		}
	}
	return ""
}
