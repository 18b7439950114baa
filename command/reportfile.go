package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

// reportPath is where the flag wants a report, "" for nowhere. What keeps a report from
// being written there is told before the work for it, as far as it can be known.
func reportPath(c *cli.Context, flag string) (string, error) {
	path := c.String(flag)
	if path == "-" {
		return "", usagef("--%s takes the name of a file, and no - for stdout: a page and a text would stand in one stream", flag)
	}
	if path == "" {
		return "", nil
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return "", usagef("the report %q cannot be written: %v", path, withoutPath(err))
	}
	return path, mustBeReplaceable(path, c.Bool("force"))
}

// writeReport writes a file of a report whole or not at all: what stood there
// before stays until all is written. Others may read it: it holds no secret.
func writeReport(path string, force bool, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeInto(path, write) // a pipe, a terminal, /dev/stdout
	}
	if err := mustBeReplaceable(path, force); err != nil {
		return err // it came while the report was made
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("the report %q cannot be written: %w", path, withoutPath(err))
	}
	defer func() {
		if err != nil {
			// The first error is the one to tell of.
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if err := errors.Join(write(file), file.Chmod(0o644), file.Close()); err != nil {
		return fmt.Errorf("the report %q cannot be written: %w", path, withoutPath(err))
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("the report %q cannot be put in its place: %w", path, withoutPath(err))
	}
	return nil
}

// reportMarks are in the first bytes of the reports that tfhaul writes: pages, and JUnit.
var reportMarks = []string{`<meta name="generator" content="tfhaul">`, `<testsuite name="tfhaul `}

// markedWithin is how many bytes of a report hold its mark.
const markedWithin = 1024

// mustBeReplaceable refuses to replace a file that tfhaul did not write, which somebody
// named by mistake. force permits it, but never for JSON, as states and journals are.
func mustBeReplaceable(path string, force bool) error {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil // there is nothing to lose, or writing will tell; and to open a pipe could block
	}
	head, err := beginningOf(path)
	switch {
	case err == nil && strings.HasPrefix(strings.TrimSpace(head), "{"):
		return usagef("%q is JSON, as states and journals are, and is never replaced: name another file", path)
	case force:
		return nil
	case err != nil:
		return usagef("%q exists and cannot be read (%v), so it is not replaced: name another file, or add --force", path, withoutPath(err))
	}
	for _, mark := range reportMarks {
		if strings.Contains(head, mark) {
			return nil
		}
	}
	return usagef("%q is not a report that tfhaul wrote, so it is not replaced: name another file, or add --force", path)
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

// writeInto writes to what is there and no regular file.
func writeInto(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("the report %q cannot be written: %w", path, withoutPath(err))
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return fmt.Errorf("the report %q cannot be written: %w", path, withoutPath(err))
	}
	return nil
}
