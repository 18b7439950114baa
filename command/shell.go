package command

import (
	"path/filepath"
	"strings"

	"tfhaul/plainwords"
)

// shellQuoted writes a path as a POSIX shell takes it, so that `. PATH` finds it.
func shellQuoted(path string) string {
	if !filepath.IsAbs(path) && !strings.HasPrefix(path, ".") {
		path = "./" + path
	}
	return plainwords.ShellWord(path)
}
