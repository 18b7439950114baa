package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/plainwords"
	"tfhaul/report"
)

// reportPath returns the path of the report that the flag names, or "". It checks that the
// report can be written there before the work starts.
func reportPath(c *cli.Context, flag string) (string, error) {
	path := c.String(flag)
	if path == "-" {
		return "", usagef("--%s takes the name of a file, and no - for stdout: a report and a text would stand in one stream", flag)
	}
	if path == "" {
		return "", nil
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return "", usagef("the report %q cannot be written: %v", path, plainwords.WithoutPath(err))
	}
	return path, mustBeReplaceable(path, c.Bool("force"))
}

// writeFile writes a file for people whole or not at all: what was there before stays
// until all is written. Others may read it: it holds no secret.
func writeFile(path string, force bool, write func(io.Writer) error) error {
	// It may have come while the content was made.
	if err := mustBeReplaceable(path, force); err != nil {
		return err
	}
	replace, at := replaceFile, path
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		replace = writeInto // a pipe, a terminal
	} else if real, err := filepath.EvalSymlinks(path); err == nil {
		at = real // the link stays
	}
	if err := replace(at, write); err != nil {
		return fmt.Errorf("%q cannot be written: %w", path, plainwords.WithoutPath(err))
	}
	return nil
}

func replaceFile(path string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if err = errors.Join(write(file), file.Chmod(mode), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error is the one to report
	}
	return err
}

func writeInto(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// reportMarks are in the first bytes of the reports that tfhaul writes: pages, JUnit, and
// Markdown.
var reportMarks = []string{`<meta name="generator" content="tfhaul">`, `<testsuite name="tfhaul `, report.MarkdownMark}

// markedWithin is how many bytes of a report hold its mark.
const markedWithin = 1024

// mustBeReplaceable refuses to replace a file that tfhaul did not write, which the
// user may have named by mistake. force permits it, but never for JSON, as states and journals are.
func mustBeReplaceable(path string, force bool) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return usagef("%q is a symbolic link to a file that does not exist: name that file", path)
		}
	}
	switch {
	case err == nil && info.IsDir():
		return usagef("%q is a directory: name a file", path)
	case err == nil && info.Mode().IsRegular() && isOurOutput(info):
		return usagef("%q is where the output of tfhaul itself goes: name another file", path)
	case err != nil || !info.Mode().IsRegular() || info.Size() == 0:
		return nil // there is nothing to lose, or writing will tell; and to open a pipe could block
	}
	head, err := beginningOf(path)
	switch {
	case err == nil && strings.HasPrefix(head, report.SARIFHead):
		return nil
	case err == nil && strings.HasPrefix(strings.TrimSpace(head), "{"):
		return usagef("%q is JSON and could be a state or a journal, so it is never replaced: choose another file", path)
	case force:
		return nil
	case err != nil:
		return usagef("%q exists and cannot be read (%v), so it is not replaced: name another file, or add --force", path, plainwords.WithoutPath(err))
	}
	for _, mark := range reportMarks {
		if strings.Contains(head, mark) {
			return nil
		}
	}
	return usagef("%q is not a report that tfhaul wrote, so it is not replaced: name another file, or add --force", path)
}

// isOurOutput reports whether a file is what stdout or stderr is redirected to, as
// /dev/stdout names it.
func isOurOutput(info fs.FileInfo) bool {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if ours, err := f.Stat(); err == nil && os.SameFile(ours, info) {
			return true
		}
	}
	return false
}

// beginningOf reads the first bytes of a file.
func beginningOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	head := make([]byte, markedWithin)
	n, err := io.ReadFull(file, head)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return string(head[:n]), err
}

// forceFlag permits to replace what tfhaul did not write.
func forceFlag(flags string) cli.Flag {
	return switchFlag("force", "with "+flags+": replace a file that tfhaul did not write")
}
