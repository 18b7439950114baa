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
	return path, mustNotBeState(path)
}

// writeReport writes a file of a report whole or not at all: what stood there
// before stays until all is written. Others may read it: it holds no secret.
func writeReport(path string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeInto(path, write) // a pipe, a terminal, /dev/stdout
	}
	if err := mustNotBeState(path); err != nil {
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

// mustNotBeState refuses to replace what may be a state or a journal, named by
// mistake: no report begins as they do.
func mustNotBeState(path string) error {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil // there is none, or writing will tell; and to open a pipe could block
	}
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }() // it was only read
	head := make([]byte, 512)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	if strings.HasPrefix(strings.TrimSpace(string(head[:n])), "{") {
		return usagef("%q is JSON, as states and journals are, and is not replaced by a report: name another file", path)
	}
	return nil
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
