package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// writeReport writes a file of a report whole or not at all: what stood there
// before stays until all is written. Others may read it: it holds no secret.
func writeReport(path string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeInto(path, write) // a pipe, a terminal, /dev/stdout
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("the report cannot be written: %w", err)
	}
	defer func() {
		if err != nil {
			// The first error is the one to tell of.
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if err := errors.Join(write(file), file.Chmod(0o644), file.Close()); err != nil {
		return fmt.Errorf("the report cannot be written to %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("the report cannot be put in its place: %w", err)
	}
	return nil
}

// writeInto writes to what is there and no regular file.
func writeInto(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("the report cannot be written: %w", err)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return fmt.Errorf("the report cannot be written to %s: %w", path, err)
	}
	return nil
}
