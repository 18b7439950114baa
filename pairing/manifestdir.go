package pairing

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// dirComment begins the first line of a manifest with relative names.
const dirComment = "# Relative sources are below the directory in which tfhaul plan ran: "

// dirOf returns the directory that the first line of a manifest names; "" for none.
func dirOf(src []byte) string {
	line, _, _ := bytes.Cut(src, []byte("\n"))
	quoted, ok := strings.CutPrefix(strings.TrimSpace(string(line)), dirComment)
	dir, err := strconv.Unquote(quoted)
	if !ok || err != nil {
		return ""
	}
	return dir
}

// IsRelative reports whether a source is a file that is named from the working directory.
func IsRelative(source string) bool {
	return source != "-" && !strings.Contains(source, "://") && !filepath.IsAbs(source)
}

// Elsewhere returns a source that is not found from the working directory, and the directory
// in which it is: where the plan was made, or where the manifest is. Both are "" if every
// source is found.
func (m *Manifest) Elsewhere(name string) (source, dir string) {
	for _, dir := range []string{m.Dir, filepath.Dir(name)} {
		if dir == "" {
			continue
		}
		for _, move := range m.Moves {
			if IsRelative(move.Source) && !exists(move.Source) && exists(filepath.Join(dir, move.Source)) {
				return move.Source, dir
			}
		}
	}
	return "", ""
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
