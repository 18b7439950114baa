package pairing

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// maxVariableFile limits the size of a file with the value of a variable, in bytes.
const maxVariableFile = 1 << 20

// Where the values of variables come from.
const (
	fromEnv  = "env:"
	fromFile = "file:"
)

func checkValueFrom(from string) error {
	for _, prefix := range []string{fromEnv, fromFile} {
		if name, ok := strings.CutPrefix(from, prefix); ok && name != "" {
			return nil
		}
	}
	// It may be the value itself.
	return errors.New("has an invalid value_from: write env:NAME or file:PATH")
}

// ReadValues reads the values of variables that a manifest only refers to. It returns one error
// for each reference that cannot be read; the values are never part of one. lookup is
// [os.LookupEnv].
func ReadValues(moves []migrate.Move, lookup func(name string) (string, bool)) []error {
	type reading struct {
		value backend.Secret
		err   error
	}
	known := map[string]reading{}
	var problems []error
	for i := range moves {
		own := moves[i].Own
		if own == nil || own.CreateOptions.More == nil {
			continue
		}
		variables := own.CreateOptions.More.Variables
		for j := range variables {
			v := &variables[j]
			if v.From == "" {
				continue
			}
			got, read := known[v.From]
			if !read {
				got.value, got.err = readValue(v.From, lookup)
				if known[v.From] = got; got.err != nil {
					problems = append(problems, fmt.Errorf("cannot read the value of variable %s: %w", v.Key, got.err))
				}
			}
			v.Secret = got.value
		}
	}
	return problems
}

// readValue reads one value.
func readValue(from string, lookup func(string) (string, bool)) (backend.Secret, error) {
	if name, ok := strings.CutPrefix(from, fromEnv); ok {
		if value, set := lookup(name); set {
			return backend.Secret(value), nil
		}
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	path := strings.TrimPrefix(from, fromFile)
	in, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the file %q cannot be read: %w", path, plainwords.WithoutPath(err))
	}
	defer func() { _ = in.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(in, maxVariableFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("the file %q cannot be read: %w", path, plainwords.WithoutPath(err))
	case len(text) > maxVariableFile:
		return "", fmt.Errorf("the file %q is larger than %d MB", path, maxVariableFile>>20)
	}
	value := strings.TrimSuffix(string(text), "\n")
	return backend.Secret(strings.TrimSuffix(value, "\r")), nil
}
