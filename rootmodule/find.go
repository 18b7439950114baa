package rootmodule

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// Options say how configurations are read. The zero value is ready to use.
type Options struct {
	// BackendConfig are files with arguments for partial backend blocks, as for
	// terraform init -backend-config. Each is looked up in the module's directory first.
	BackendConfig []string
	// Environ is the environment that Terragrunt's get_env reads, as NAME=VALUE.
	Environ []string
	// Complete reports whether settings are complete. It returns an *backend.IncompleteError
	// if they are not. Nil means that all are.
	Complete func(*backend.Settings) error
}

// Find reads the root modules below the directories. Anything that cannot be read is in
// Tree.Unread and does not stop the search. The error is ctx's, or that a directory does not
// exist.
func Find(ctx context.Context, dirs []string, o Options) (*Tree, error) {
	f := &finder{Options: o, tree: &Tree{}, seen: map[string]bool{}}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("cannot search %q: %w", dir, plainwords.WithoutPath(err))
		} else if !info.IsDir() {
			return nil, fmt.Errorf("%q is a file: name a directory of configurations", dir)
		}
		f.searched = dir
		if err := f.directory(ctx, dir, repositoryOf(dir)); err != nil {
			return nil, err
		}
	}
	f.tree.sort()
	return f.tree, nil
}

// A finder searches directories.
type finder struct {
	Options
	tree     *Tree
	searched string
	seen     map[string]bool // absolute paths
}

// Names that Terraform, Terragrunt and Git use.
const (
	dataDir         = ".terraform"
	pointerFile     = "terraform.tfstate"
	environmentFile = "environment"
	lockFile        = ".terraform.lock.hcl"
	stateFile       = "terraform.tfstate"
	stateDirs       = "terraform.tfstate.d"
	terragruntCache = ".terragrunt-cache"
	gitDir          = ".git"
)

// directory searches a directory and what is below it.
func (f *finder) directory(ctx context.Context, dir, repository string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if abs, err := filepath.Abs(dir); err == nil {
		if f.seen[abs] {
			return nil
		}
		f.seen[abs] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		f.unread(dir, err)
	}
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == gitDir }) {
		repository = dir
	}
	f.module(dir, repository, entries)
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") || e.Name() == stateDirs || e.Name() == "node_modules" {
			continue
		}
		if err := f.directory(ctx, filepath.Join(dir, e.Name()), repository); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) unread(path string, err error) {
	f.tree.Unread = append(f.tree.Unread, Unread{path, plainwords.WithoutPath(err).Error()})
}

// module adds the modules of a directory.
func (f *finder) module(dir, repository string, entries []os.DirEntry) {
	files := configurationFiles(entries)
	terragrunt := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == terragruntFile })
	if len(files) == 0 && !terragrunt {
		return
	}
	if repository == "" {
		repository = f.searched
	}
	m := &Module{Dir: dir, Repository: repository, Path: below(repository, dir), Workspace: backend.DefaultWorkspace}
	code := f.read(dir, files)
	m.Reads = code.reads
	pointer := f.pointer(dir)
	if name, err := os.ReadFile(filepath.Join(dir, dataDir, environmentFile)); err == nil && backend.IsWorkspaceName(string(name)) {
		m.Workspace = string(name)
	}
	switch {
	case terragrunt:
		if !f.terragrunt(m) {
			return // included by others
		}
		f.add(m)
	case code.block != nil:
		f.declared(m, code, pointer)
	case code.broken != "":
		// The block may be in the part that cannot be read.
		m.Problem, m.Origin = code.broken, FromNothing
		f.add(m)
	case pointer != nil:
		m.Origin, m.Settings = FromPointer, pointer
		m.Notes = append(m.Notes, "The code has no backend block, but the directory is initialized with one.")
		f.add(m)
	case slices.ContainsFunc(entries, isOfRoot):
		m.Origin, m.Settings = FromNothing, &backend.Settings{Type: localType, Dir: dir}
		f.add(m)
	case len(m.Reads) > 0:
		f.tree.Shared = append(f.tree.Shared, m)
	}
}

// localType is Terraform's backend without a backend block.
const localType = "local"

// isOfRoot reports whether only root modules have this file or directory.
func isOfRoot(e os.DirEntry) bool {
	return e.Name() == stateFile || e.Name() == stateDirs || e.Name() == lockFile
}

func (f *finder) add(m *Module) { f.tree.Modules = append(f.tree.Modules, m) }

// declared adds the module with a block. Partial blocks are completed by files and by the
// settings of the last init.
func (f *finder) declared(m *Module, code *code, pointer *backend.Settings) {
	m.Origin, m.At = FromBackend, code.block.at
	if code.block.kind == backend.CloudBlock {
		m.Origin = FromCloud
	}
	if len(code.block.problems) > 0 && pointer == nil {
		m.Problem = code.block.problems[0]
		f.add(m)
		return
	}
	if pointer != nil && pointer.Type != code.block.kind {
		m.Notes = append(m.Notes, fmt.Sprintf("The directory was last initialized with %s: run terraform init.", blockName(pointer.Type)))
		pointer, m.staleInit = nil, true
	}
	own := &backend.Settings{Type: code.block.kind, Values: code.block.values, Dir: m.Dir}
	variants := f.completions(m, own)
	if m.Problem != "" {
		f.add(m)
		return
	}
	if pointer != nil && !slices.ContainsFunc(variants, func(v completion) bool { return agree(v.settings, pointer) }) {
		if conflict := conflict(own, pointer); conflict != "" && f.complete(own) == nil {
			m.Problem = fmt.Sprintf("%s differs between the block and the last init, so it is not clear which state is in use: run terraform init -reconfigure", conflict)
			f.add(m)
			return
		}
		variants = []completion{{settings: pointer}}
	}
	for _, v := range variants {
		one := *m
		one.Settings, one.Variant = v.settings, v.name
		if v.file != "" {
			one.Notes = append(slices.Clone(m.Notes), "Completed with "+filepath.ToSlash(v.file)+".")
		}
		f.add(&one)
	}
}

func (f *finder) complete(s *backend.Settings) error {
	if f.Complete == nil {
		return nil
	}
	return f.Complete(s)
}

// blockName is how messages call a block.
func blockName(kind string) string {
	if kind == backend.CloudBlock {
		return "a cloud block"
	}
	return fmt.Sprintf("the backend %q", kind)
}

// below returns the path of dir in root, with slashes; "" for root itself.
func below(root, dir string) string {
	absRoot, err := filepath.Abs(root)
	absDir, bad := filepath.Abs(dir)
	if err != nil || bad != nil {
		return filepath.ToSlash(dir)
	}
	rel, err := filepath.Rel(absRoot, absDir)
	if err != nil || rel == "." {
		return ""
	}
	return filepath.ToSlash(rel)
}

// repositoryOf returns the nearest directory above dir that is a Git repository, or "".
func repositoryOf(dir string) string {
	at, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Lstat(filepath.Join(at, gitDir)); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return ""
		}
		at = filepath.Dir(at)
	}
}
