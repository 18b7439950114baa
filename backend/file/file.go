// Package file keeps states in files: a named file, or the files of a directory tree. It
// also reads them from standard input or a pipe. It knows the layout and the locks of
// Terraform's local backend, and notices when a file has changed since it was read.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// Names used by Terraform's local backend (internal/backend/local).
const (
	stateFile     = "terraform.tfstate"
	workspacesDir = "terraform.tfstate.d"
)

// Kind returns the kind of backend that keeps states in files and directory trees, and
// reads them from standard input, too.
func Kind(c backend.Connection) backend.Kind {
	c = c.WithDefaults()
	return backend.Kind{
		Name:    "files",
		Example: `a file, a directory, "-" (standard input)`,
		Traits:  traits,
		Open: func(_ context.Context, address string) (backend.Backend, error) {
			if address == "-" {
				return one{newStdin(c)}, nil
			}
			return open(address, c)
		},
		Canonical: func(address string) string {
			if address == "-" {
				return address
			}
			return canonical(address)
		},
		Backends: []string{"local"}, Configured: configured,
		Target: role(),
	}
}

var traits = backend.Traits{Local: true, Noun: noun, Pins: backend.PinsCondition, Locks: backend.LocksVisible}

// one is a backend with a single state.
type one struct{ state backend.State }

func (o one) States(context.Context, backend.Filter) (*backend.Listing, error) {
	return &backend.Listing{States: []backend.State{o.state}}, nil
}

// open returns the backend at path, following a symbolic link. A pipe or a character
// device, such as the shell's <(…), is read once and held in memory; a search never opens
// one.
func open(path string, c backend.Connection) (backend.Backend, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.Contains(path, "password="):
		return nil, errors.New("a list of connection settings with a password is not a source: write postgres://USER@HOST/DATABASE?schema=NAME, and set PGPASSWORD")
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cannot find %q: %w", path, plainwords.WithoutPath(err))
	case err != nil:
		return nil, fmt.Errorf("cannot access %q: %w", path, plainwords.WithoutPath(err))
	case info.IsDir():
		return tree(path), nil
	case info.Mode().IsRegular():
		return one{&file{path: path, place: placeOfFile(path)}}, nil
	case info.Mode().Type()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0:
		return one{&stream{
			name: path, limit: c.StreamLimit,
			place: backend.Place{Key: filepath.ToSlash(path), Workspace: backend.DefaultWorkspace},
			open:  func() (io.ReadCloser, error) { return os.Open(path) },
		}}, nil
	default:
		return nil, fmt.Errorf("%q is %s, not a file or directory: name the file that holds the state", path, typeInWords(info.Mode()))
	}
}

func typeInWords(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "not a regular file"
}

// file is a state in the local file system.
type file struct {
	path  string // as given
	place backend.Place
}

func (f *file) Address() string        { return f.path }
func (f *file) Place() backend.Place   { return f.place }
func (f *file) Traits() backend.Traits { return traits }

// Open pins size, modification time and identity. Terraform's local backend writes in
// place, so a read may be torn: only a Check afterwards shows that it was not.
func (f *file) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, backend.Version{}, err
	}
	in, now, err := f.open()
	if errors.Is(err, fs.ErrNotExist) && v != nil {
		return nil, backend.Version{}, &backend.ChangedError{Address: f.path, Gone: true}
	}
	if err != nil {
		return nil, backend.Version{}, err
	}
	current := now.version()
	if v == nil {
		return in, current, nil
	}
	err = same(ctx, f.path, *v, now, in)
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = in.Close() // only read
		return nil, backend.Version{}, err
	}
	current.MD5 = v.MD5
	return in, current, nil
}

// Check compares size, modification time and identity. It reads the file again only if
// those are inconclusive.
func (f *file) Check(ctx context.Context, v backend.Version) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in, now, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		return &backend.ChangedError{Address: f.path, Gone: true}
	}
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	return same(ctx, f.path, v, now, in)
}

// open opens the file for reading and returns its stamps. It does not open a special file
// that has replaced it, which could block forever.
func (f *file) open() (*os.File, stamps, error) {
	info, err := os.Stat(f.path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, stamps{}, fmt.Errorf("%q is no longer a regular file (%s)", f.path, info.Mode().Type())
	}
	opened := time.Now()
	in, err := os.Open(f.path)
	if err != nil {
		return nil, stamps{}, fmt.Errorf("cannot read %q: %w", f.path, plainwords.WithoutPath(err))
	}
	info, err = in.Stat()
	if err != nil {
		_ = in.Close() // only read
		return nil, stamps{}, fmt.Errorf("cannot read %q: %w", f.path, plainwords.WithoutPath(err))
	}
	file, changed := identify(in, info)
	return in, stamps{size: info.Size(), modified: info.ModTime(), opened: opened, file: file, changed: changed}, nil
}

// placeOfFile returns the place of a file that was named by its path. Its directory counts
// as typed, so that net/a.tfstate and app/a.tfstate get different names. Of an absolute
// path only the last directory counts, as Root: the rest only shows how this machine is
// laid out.
func placeOfFile(path string) backend.Place {
	clean := filepath.Clean(path)
	if filepath.IsAbs(clean) || filepath.VolumeName(clean) != "" {
		return placeIn(filepath.Dir(clean), filepath.Base(clean))
	}
	up := ".." + string(filepath.Separator)
	root := "."
	for strings.HasPrefix(clean, up) {
		clean, root = clean[len(up):], filepath.Join(root, "..")
	}
	return placeIn(absolute(root), filepath.ToSlash(clean))
}

// placeIn returns the place of the file at key, slash-separated, below the directory above,
// an absolute path.
func placeIn(above, key string) backend.Place {
	place := backend.Place{Key: key, Workspace: backend.DefaultWorkspace}
	dir, name := splitKey(key)
	place.Base = strings.TrimSuffix(name, backend.StateExt)
	if name == stateFile {
		// <configuration>/terraform.tfstate.d/<workspace>/terraform.tfstate, even if the
		// search began inside it.
		whole := filepath.ToSlash(filepath.Join(above, filepath.FromSlash(key)))
		parts := strings.Split(whole, "/")
		if n := len(parts); n >= 3 && parts[n-3] == workspacesDir {
			place.Workspace = parts[n-2]
			for range 2 {
				if dir == "" {
					above = filepath.Dir(above)
					continue
				}
				dir, _ = splitKey(dir)
			}
		}
	}
	place.Dir = dir
	if base := filepath.Base(above); base != "." && base != string(filepath.Separator) {
		place.Root, place.Searched = base, base
	}
	return place
}

// splitKey splits a slash-separated key into its directory, without a trailing slash, and
// its name.
func splitKey(key string) (dir, name string) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}

// absolute returns the absolute form of path, or path itself if the working directory is
// unknown: the only effect is that a Place may lack a name.
func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}
