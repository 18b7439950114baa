// Package schemas contains the JSON Schemas of the program's JSON documents. A test of
// package command generates the files from the Go types and compares them.
package schemas

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.json
var files embed.FS

// Names returns the names of all schemas, sorted.
func Names() []string {
	paths, err := fs.Glob(files, "*.json") // sorted, as ReadDir is
	if err != nil {
		panic(err) // the pattern is valid
	}
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(path, ".json")
	}
	return paths
}

// Get returns a schema, which must not be changed; nil if there is none of that name.
func Get(name string) []byte {
	text, err := files.ReadFile(name + ".json")
	if err != nil {
		return nil
	}
	return text
}
