package command

import (
	"path/filepath"
	"strings"
)

// shellQuoted writes a path as a POSIX shell takes it, so that `. PATH` finds it.
func shellQuoted(path string) string {
	if !filepath.IsAbs(path) && !strings.HasPrefix(path, ".") {
		path = "./" + path
	}
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
