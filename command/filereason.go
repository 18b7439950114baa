package command

import (
	"errors"
	"io/fs"
)

// withoutPath is what the system said of a file, without the path, which the
// sentence around it names.
func withoutPath(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}
