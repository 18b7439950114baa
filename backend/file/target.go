package file

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// targetTraits are those of a file as a target: its lock can be taken, and its content is
// compared before it is replaced.
var targetTraits = backend.Traits{
	Local: true, Noun: noun, Pins: backend.PinsByContent, Locks: backend.LocksDurable, Writes: backend.WritesCondition,
}

const noun = "file"

// role returns how files are used as targets. A container is a directory.
func role() *backend.TargetRole {
	return &backend.TargetRole{
		State: "./FILE", Container: "./DIRECTORY/", Claims: claims, History: true,
		SplitState: splitState, Address: addressBelow, CheckContainer: checkContainer, CheckName: checkName, Layout: layout, Block: block,
		Open: func(_ context.Context, container string) (backend.Target, error) {
			if err := checkContainer(container); err != nil {
				return nil, err
			}
			dir, err := filepath.Abs(container)
			if err != nil {
				return nil, fmt.Errorf("cannot use %q: %w", container, plainwords.WithoutPath(err))
			}
			return &target{dir}, nil
		},
	}
}

// claims reports whether an address is a path. Without a leading ./ it would look like an
// organization and a workspace.
func claims(address string) bool {
	if filepath.IsAbs(address) || address == "." || address == ".." {
		return true
	}
	slashed := filepath.ToSlash(address)
	return strings.HasPrefix(slashed, "/") || strings.HasPrefix(slashed, "./") || strings.HasPrefix(slashed, "../")
}

func splitState(address string) (container, name string, err error) {
	name = filepath.Base(address)
	if os.IsPathSeparator(address[len(address)-1]) || name == "." || name == ".." {
		return "", "", fmt.Errorf("%q names a directory, not a file: write ./FILE", address)
	}
	return filepath.Dir(address), name, nil
}

func checkContainer(address string) error {
	info, err := os.Stat(address)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%q is not a directory: name a directory, which may be a new one", address)
	}
	return nil
}

// maxBaseName is how long the name of a state's file may be, in bytes: file systems allow
// 255, and backups have longer names.
const maxBaseName = 220

// checkName checks the path of a state below its directory, with slashes. Its error
// continues a sentence.
func checkName(name string) error {
	base := path.Base(name)
	switch {
	case name == "", strings.HasSuffix(name, "/"), !filepath.IsLocal(filepath.FromSlash(name)), path.Clean(name) != name, strings.ContainsRune(name, 0):
		return fmt.Errorf("names the file %q: use a relative path without empty, . and .. parts", name)
	case strings.HasSuffix(base, lockInfoExt), strings.HasSuffix(base, backupExt), strings.Contains(base, backupExt+"."), strings.HasSuffix(base, partExt):
		return fmt.Errorf("names the file %q: such names are those of locks and backups", name)
	case len(base) > maxBaseName:
		return fmt.Errorf("names a file with a name of %d bytes: use at most %d", len(base), maxBaseName)
	}
	return nil
}

// layout returns where Terraform's local backend keeps a workspace.
func layout(_, name, workspace string) string {
	if workspace == "" || workspace == backend.DefaultWorkspace {
		return name
	}
	return path.Join(path.Dir(name), workspacesDir, workspace, stateFile)
}

// canonical returns the absolute path that an address leads to, through symbolic links. The
// end of it need not exist.
func canonical(address string) string {
	whole := absolute(address)
	for at, rest := whole, ""; ; at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return whole
		}
	}
}

// A target is a directory whose files are states.
type target struct{ dir string } // absolute

func (t *target) Traits() backend.Traits { return targetTraits }
func (t *target) Host() string           { return "files" }
func (t *target) Container() string      { return t.dir }
func (t *target) Down() bool             { return false }
func (t *target) Close()                 {}

// Address returns an absolute path: a journal may be used in another directory.
func (t *target) Address(name string) string { return addressBelow(t.dir, name) }

// addressBelow returns the absolute path of a file below a directory. That of the directory
// ends with a separator.
func addressBelow(dir, name string) string {
	at := filepath.Join(absolute(dir), filepath.FromSlash(name))
	if name == "" {
		return strings.TrimSuffix(at, string(filepath.Separator)) + string(filepath.Separator)
	}
	return at
}

// List returns nil: a listing would read every file, as Look does.
func (t *target) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

// Look implements backend.Target. A state exists for every name.
func (t *target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	at := t.Address(name)
	s := &backend.Standing{ID: at, Name: name, CanRead: true, CanWrite: true, CanLock: true, Current: backend.Ref{Known: true}}
	v, err := current(ctx, at)
	if err != nil {
		return nil, err
	}
	if v != nil {
		s.Current.ID = v.ID
	}
	lock, err := (&file{path: at}).Holder(ctx)
	if err != nil {
		return nil, failure(at, "read the lock of", err)
	}
	if lock != nil {
		s.Locked, s.Holder = true, lock.Standing()
	}
	return s, nil
}

// LookByID implements backend.Target. The ID of a state is its path.
func (t *target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	name, err := filepath.Rel(t.dir, id)
	if err != nil {
		return nil, failure(id, "find", err)
	}
	return t.Look(ctx, filepath.ToSlash(name))
}

// Current implements backend.Target.
func (t *target) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	return current(ctx, s.ID)
}

// current returns the version of the file at a path, or nil without one. An empty file
// counts as none: Terraform creates one for its lock, and reads it as no state.
func current(ctx context.Context, path string) (*backend.Version, error) {
	in, info, err := openState(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, failure(path, "read", err)
	}
	defer func() { _ = in.Close() }() // only read
	sum := md5.New()
	size, err := io.Copy(sum, &ctxReader{ctx, in})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, failure(path, "read", err)
	case size == 0:
		return nil, nil
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	return &backend.Version{ID: path + versionMark + digest, Size: size, MD5: digest, Created: info.ModTime()}, nil
}

// openState opens a state for reading. It does not open a special file, which could block.
func openState(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, nil, err
	case info.IsDir():
		return nil, nil, errors.New("it is a directory; name the file in it")
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("it is %s", typeInWords(info.Mode()))
	}
	in, err := os.Open(path)
	return in, info, err
}

// versionMark separates the path from the MD5 in the ID of a version.
const versionMark = "?md5="

// Version implements backend.Target. Only the current version is stored.
func (t *target) Version(ctx context.Context, id string) (*backend.Version, error) {
	path := id[:max(0, strings.LastIndex(id, versionMark))]
	v, err := current(ctx, path)
	if err == nil && (v == nil || v.ID != id) {
		err = &backend.Error{Address: path, Code: backend.NoState, Message: fmt.Sprintf("the file %q was replaced, and its earlier content is not kept under this ID", path)}
	}
	return v, err
}

// Versions implements backend.Target.
func (t *target) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		if v, err := current(ctx, s.ID); v != nil || err != nil {
			yield(v, err)
		}
	}
}

// Read implements backend.Target.
func (t *target) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	mark := strings.LastIndex(v.ID, versionMark)
	if mark < 0 {
		return nil, fmt.Errorf("not a file's version: %q", v.ID)
	}
	path := v.ID[:mark]
	in, _, err := openState(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &backend.ChangedError{Address: path, Gone: true}
	}
	if err != nil {
		return nil, failure(path, "read", err)
	}
	return &exactly{ctxReader{ctx, in}, in, path, v.ID[mark+len(versionMark):], md5.New()}, nil
}

// exactly reads a file and returns an error instead of io.EOF if it is not the expected version. Terraform
// writes in place, so a read may be torn.
type exactly struct {
	ctxReader
	io.Closer
	path, md5 string
	sum       hash.Hash
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.ctxReader.Read(p)
	e.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(e.sum.Sum(nil)) != e.md5 {
		err = &backend.ChangedError{Address: e.path, How: "its MD5 differs"}
	}
	return n, err
}

// Writer implements backend.Target.
func (t *target) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	w := &writer{target: t, path: s.ID, name: s.Name, WriterOptions: o, heir: o.Inherited || o.Lost > 0}
	if o.Inherited {
		w.seen = s
	}
	return w
}

// failure explains why something cannot be done with a file.
func failure(path, doing string, err error) error {
	_, explained := errors.AsType[*backend.Error](err)
	_, ofSource := errors.AsType[*backend.SourceError](err)
	if explained || ofSource || errors.Is(err, context.Canceled) {
		return err
	}
	e := &backend.Error{Address: path, Code: backend.Failed, Err: err, Answer: plainwords.WithoutPath(err).Error()}
	hint := ""
	switch {
	case isReadOnly(err):
		e.Code, hint = backend.AccessDenied, ": the file system is mounted read-only; use another directory"
	case errors.Is(err, fs.ErrPermission):
		e.Code, hint = backend.AccessDenied, ": this user needs permission to read and write the file, and to create files in its directory"
	case isFull(err):
		hint = ": free some space, then try again. The file itself was not changed"
	}
	e.Message = fmt.Sprintf("cannot %s %q: %s%s", doing, path, e.Answer, hint)
	return e
}
