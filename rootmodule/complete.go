package rootmodule

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"tfhaul/backend"
)

// A completion is the settings of a block with the files that complete it.
type completion struct {
	settings *backend.Settings
	file     string // "" without one
	name     string // of the variant
}

// completions returns the ways to complete a block: with the files that the user named, or
// else with each file next to the module that is named like a backend-config file, or else,
// if something is missing, with the one such file in a directory above. Without any, it is the
// block itself.
func (f *finder) completions(m *Module, own *backend.Settings) []completion {
	if len(f.BackendConfig) > 0 && f.complete(own) != nil {
		return f.named(m, own)
	}
	found := f.conventional(m.Dir)
	for _, dir := range subdirectories(m.Dir) {
		found = append(found, f.conventional(dir)...)
	}
	if len(found) == 0 && f.complete(own) != nil {
		found = f.above(m)
	}
	var list []completion
	for _, file := range found {
		values, err := readBackendConfig(file)
		if err != nil {
			f.unread(file, err)
			continue
		}
		c := completion{settings: over(own, values), file: file}
		if len(found) > 1 {
			c.name = variantName(file)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return []completion{{settings: own}}
	}
	return list
}

// named completes a block with the files that the user named. Later ones win.
func (f *finder) named(m *Module, own *backend.Settings) []completion {
	c := completion{settings: own}
	for _, name := range f.BackendConfig {
		file := filepath.Join(m.Dir, name)
		if _, err := os.Stat(file); filepath.IsAbs(name) || errors.Is(err, fs.ErrNotExist) {
			file = name
		}
		values, err := readBackendConfig(file)
		if err != nil {
			f.unread(file, err)
			m.Problem = "the backend-config file " + filepath.ToSlash(file) + " cannot be read"
			return nil
		}
		c.settings, c.file = over(c.settings, values), file
	}
	return []completion{c}
}

// conventional returns the files of a directory that are named like backend-config files:
// *.tfbackend, and backend.hcl, backend-prod.hcl and the like.
func (f *finder) conventional(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // reported by the search
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		hcl := strings.HasSuffix(name, ".hcl") && (strings.HasPrefix(name, "backend") || strings.HasSuffix(name, ".backend.hcl"))
		if e.Type().IsRegular() && (hcl || strings.HasSuffix(name, ".tfbackend")) {
			files = append(files, filepath.Join(dir, name))
		}
	}
	return files
}

// subdirectories returns the directories below a module that may have only backend-config
// files.
func subdirectories(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // reported by the search
	}
	var dirs []string
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if inside, err := os.ReadDir(at); err == nil && len(configurationFiles(inside)) == 0 {
			dirs = append(dirs, at)
		}
	}
	return dirs
}

// above returns the file in the nearest directory above the module that has any.
func (f *finder) above(m *Module) []string {
	for dir, n := m.Dir, strings.Count(m.Path, "/")+1; m.Path != "" && n > 0; n-- {
		dir = filepath.Dir(dir)
		if files := f.conventional(dir); len(files) > 0 {
			return files
		}
	}
	return nil
}

// variantName returns what distinguishes a backend-config file: prod for prod.tfbackend,
// backend-prod.hcl and prod/backend.hcl.
func variantName(file string) string {
	name := filepath.Base(file)
	for _, ext := range []string{".tfbackend", ".backend.hcl", ".hcl", ".s3", ".gcs", ".backend"} {
		name = strings.TrimSuffix(name, ext)
	}
	if rest := strings.Trim(strings.TrimPrefix(name, "backend"), "-_."); rest != "" {
		return rest
	}
	return filepath.Base(filepath.Dir(file))
}

// readBackendConfig reads a file of arguments.
func readBackendConfig(file string) (map[string]any, error) {
	body, err := parse(file)
	if err != nil {
		return nil, err
	}
	values, problems := newScope("").arguments(body)
	if len(problems) > 0 {
		return nil, errors.New(problems[0])
	}
	return values, nil
}

// over returns settings with some values replaced.
func over(s *backend.Settings, values map[string]any) *backend.Settings {
	all := maps.Clone(s.Values)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, values)
	return &backend.Settings{Type: s.Type, Values: all, Dir: s.Dir}
}

// pointer returns the settings of the last init in a directory; nil if there are none.
// Terraform writes all arguments, with null for those that are not set.
func (f *finder) pointer(dir string) *backend.Settings {
	path := filepath.Join(dir, dataDir, pointerFile)
	src, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var pointer struct {
		Backend *struct {
			Type   string
			Config map[string]any
		}
	}
	if err == nil {
		err = json.Unmarshal(src, &pointer)
	}
	if err != nil {
		f.unread(path, errors.New("not a file that terraform init wrote"))
		return nil
	}
	if pointer.Backend == nil || pointer.Backend.Type == "" {
		return nil
	}
	s := &backend.Settings{Type: pointer.Backend.Type, Values: withoutNull(pointer.Backend.Config), Dir: dir}
	// A nested block is a list in old versions.
	if list, ok := s.Values["workspaces"].([]any); ok && len(list) == 1 {
		s.Values["workspaces"] = list[0]
	}
	return s
}

// withoutNull removes null, also in nested objects.
func withoutNull(values map[string]any) map[string]any {
	kept := map[string]any{}
	for name, value := range values {
		if nested, ok := value.(map[string]any); ok {
			value = withoutNull(nested)
		}
		if value != nil {
			kept[name] = value
		}
	}
	return kept
}

// agree reports whether settings say the same as those of the last init, where they say
// anything.
func agree(own, pointer *backend.Settings) bool {
	return conflict(own, pointer) == "" && incomplete(own, pointer) == ""
}

// conflict returns the first argument that has another value in the last init; "" if none has.
func conflict(own, pointer *backend.Settings) string {
	for _, name := range slices.Sorted(maps.Keys(own.Values)) {
		value, ok := pointer.Values[name]
		if ok && !reflect.DeepEqual(normal(value), normal(own.Values[name])) {
			return name
		}
	}
	return ""
}

// identifying are the arguments that decide which state it is, of all backends.
var identifying = []string{"bucket", "key", "prefix", "path", "conn_str", "schema_name", "organization", "workspaces", "container_name", "storage_account_name", "address", "secret_suffix"}

// incomplete returns the first argument that only the last init has and that decides which
// state it is; "" if there is none.
func incomplete(own, pointer *backend.Settings) string {
	for _, name := range identifying {
		if _, ok := pointer.Values[name]; ok && own.Values[name] == nil {
			return name
		}
	}
	return ""
}

// normal returns a value in a form that can be compared: a pointer has empty maps and lists for
// what is not set.
func normal(value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, v := range value {
			if v = normal(v); v != nil {
				kept[name] = v
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case []any:
		if len(value) == 0 {
			return nil
		}
	}
	return value
}
