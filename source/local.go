package source

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The names of Terraform's local backend (internal/backend/local).
const (
	stateExt      = ".tfstate"
	stateFile     = "terraform.tfstate"
	workspacesDir = "terraform.tfstate.d"
	terraformDir  = ".terraform"
	terragruntDir = ".terragrunt-cache"
	erroredFile   = "errored.tfstate"
)

// findLocal finds the states that a path names. A symbolic link named here is followed. A pipe or a
// character device, as the shell's <(…) makes, is read once and held; a search never opens one.
func findLocal(ctx context.Context, ref string, o FindOptions) (*Listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	info, err := os.Stat(ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cannot find %q: %w", ref, reason(err))
	case err != nil:
		return nil, fmt.Errorf("cannot look at %q: %w", ref, reason(err))
	case info.IsDir():
		return search(ctx, ref, o)
	case info.Mode().IsRegular():
		f := &file{path: ref, place: placeOfFile(ref)}
		return &Listing{Objects: []Object{f}}, nil
	case info.Mode().Type()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0:
		s := &stream{
			name: ref, limit: o.streamLimit(),
			place: Place{Key: filepath.ToSlash(ref), Workspace: DefaultWorkspace},
			open:  func() (io.ReadCloser, error) { return os.Open(ref) },
		}
		return &Listing{Objects: []Object{s}}, nil
	default:
		return nil, fmt.Errorf("%q is neither a file nor a directory, but %s: name the file that holds the state", ref, typeInWords(info.Mode()))
	}
}

func typeInWords(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something that cannot be read as a file"
}

// file is a state in the local file system.
type file struct {
	path  string // as Name
	place Place
}

func (f *file) Name() string { return f.path }
func (f *file) Place() Place { return f.place }

// Near makes a file one of the Near objects.
func (f *file) Near() {}

// Open pins size, modification time and identity. Terraform's local backend writes in place, so what is read
// may be torn: only a Check after reading says that it was not.
func (f *file) Open(ctx context.Context, pin *Pin) (io.ReadCloser, Pin, error) {
	if err := ctx.Err(); err != nil {
		return nil, Pin{}, err
	}
	in, now, err := f.open()
	if errors.Is(err, fs.ErrNotExist) && pin != nil {
		return nil, Pin{}, &ChangedError{Name: f.path, Gone: true}
	}
	if err != nil {
		return nil, Pin{}, err
	}
	if pin == nil {
		return in, now, nil
	}
	err = same(ctx, f.path, *pin, now, in)
	if err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = in.Close() // it was only read
		return nil, Pin{}, err
	}
	now.MD5 = pin.MD5
	return in, now, nil
}

// Check looks at size, modification time and identity, and reads the file again only where those leave it open.
func (f *file) Check(ctx context.Context, pin Pin) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in, now, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		return &ChangedError{Name: f.path, Gone: true}
	}
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	return same(ctx, f.path, pin, now, in)
}

// open opens the file for reading and says what it is now. A special file that took its place is not
// opened, because that could block for ever.
func (f *file) open() (*os.File, Pin, error) {
	info, err := os.Stat(f.path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, Pin{}, fmt.Errorf("%q is not a regular file any more (%s)", f.path, info.Mode().Type())
	}
	opened := time.Now()
	in, err := os.Open(f.path)
	if err != nil {
		return nil, Pin{}, fmt.Errorf("cannot read %q: %w", f.path, reason(err))
	}
	info, err = in.Stat()
	if err != nil {
		_ = in.Close() // it was only read
		return nil, Pin{}, fmt.Errorf("cannot read %q: %w", f.path, reason(err))
	}
	return in, Pin{Size: info.Size(), ModTime: info.ModTime(), Opened: opened, Identity: identify(in, info)}, nil
}

// clockTick is the coarsest clock a file system in use stamps files with (FAT: two seconds). A file
// that was written less than this before it was opened may be written again with the same stamp.
const clockTick = 2 * time.Second

// settled reports whether another write after the file was opened would have changed its stamps.
func (p Pin) settled() bool {
	return !p.Opened.IsZero() && p.Opened.Sub(p.ModTime) > clockTick && p.Opened.Sub(time.Unix(0, p.Changed)) > clockTick
}

// same compares what is there now with what pin names: nil or a *ChangedError. It reads content, all
// of it, only where size, modification time and identity leave the question open and pin has an MD5:
// a restored backup is another file, and may hold the same bytes.
func same(ctx context.Context, name string, pin, now Pin, content io.Reader) error {
	if now.Size != pin.Size {
		return &ChangedError{Name: name, How: fmt.Sprintf("size %d, was %d", now.Size, pin.Size)}
	}
	stamped := now.ModTime.Equal(pin.ModTime)
	differs := now.differs(pin.Identity)
	switch {
	case stamped && differs == "" && (pin.settled() || pin.MD5 == ""):
		return nil
	case pin.MD5 == "" && stamped:
		return &ChangedError{Name: name, How: differs + "; restoring it from a backup does that, too"}
	case pin.MD5 == "":
		return &ChangedError{Name: name, How: fmt.Sprintf("written %s, was %s",
			now.ModTime.UTC().Format(time.RFC3339Nano), pin.ModTime.UTC().Format(time.RFC3339Nano))}
	}
	digest := md5.New()
	if _, err := io.Copy(digest, &ctxReader{ctx, content}); err != nil {
		return fmt.Errorf("reading %q again: %w", name, err)
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != pin.MD5 {
		return &ChangedError{Name: name, How: fmt.Sprintf("MD5 %s, was %s", got, pin.MD5)}
	}
	return nil
}

// ctxReader ends a long read when ctx ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// reason is what the system said, without the path that the caller's sentence already names.
func reason(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// placeOfFile is the place of a file that was named itself. Its directory counts as typed, so that
// net/a.tfstate and app/a.tfstate stay apart; of an absolute path only the last directory counts, as
// Root, because where a machine keeps its files says nothing.
func placeOfFile(path string) Place {
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

// placeIn is the place of the file at key, slash-separated, below the directory above, an absolute path.
func placeIn(above, key string) Place {
	place := Place{Key: key, Workspace: DefaultWorkspace}
	dir, name := splitKey(key)
	place.Base = strings.TrimSuffix(name, stateExt)
	if name == stateFile {
		// <configuration>/terraform.tfstate.d/<workspace>/terraform.tfstate, wherever in it the
		// search began.
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
		place.Root = base
	}
	return place
}

// splitKey splits a slash-separated key into its directory, without a slash at its end, and its name.
func splitKey(key string) (dir, name string) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}

// absolute is path from the root of the file system, or path itself where the working directory is
// unknown: then a name may be missing from a Place, and nothing else.
func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}
