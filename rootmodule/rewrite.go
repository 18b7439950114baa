package rootmodule

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"tfhaul/backend"
)

// A Move is a state that was moved, and how configurations use it now. A workspace's block has
// the type backend.CloudBlock.
type Move struct {
	Source, Target string
	Block          *backend.Block
	// Planned means that the state may still be at its source only, which is then left alone.
	Planned bool
}

// A Rewriting is what must change for configurations to use the states where they are now.
type Rewriting struct {
	// Changes are sorted by path.
	Changes []Change
	// Left are the places that must be changed by hand.
	Left []Left
	// Aside are files that make terraform init ask about a migration: the settings of the last
	// init, and states that were moved. They are renamed, never removed.
	Aside []Aside
	// Switched are the modules that use a moved state, with those that already did.
	Switched []Switched
}

// A Change is a new content of a file.
type Change struct {
	Path string
	// Before is nil for a new file.
	Before, After []byte
	Mode          fs.FileMode
	Repository    string
}

// A Left is a place that was not rewritten, and why.
type Left struct {
	At     Position
	Reason string
}

// An Aside is a file to rename.
type Aside struct{ From, To string }

// A Switched is a module that uses a moved state.
type Switched struct {
	Dir, Target string
	// Workspace is the Terraform workspace to select; "" for none.
	Workspace string
	// Already means that the code needed no change.
	Already bool
}

// Rewrite decides what must change in a tree after some moves. It writes nothing.
func Rewrite(kinds backend.Kinds, t *Tree, moves []Move) *Rewriting {
	r := &rewriter{kinds: kinds, bySource: map[string]*Move{}, byTarget: map[string]*Move{}, files: map[string]*edits{}, out: &Rewriting{}}
	for i := range moves {
		r.bySource[kinds.Canonical(moves[i].Source)] = &moves[i]
		r.byTarget[kinds.CanonicalTarget(moves[i].Target)] = &moves[i]
	}
	for _, m := range t.Modules {
		r.module(m)
		for i := range m.Reads {
			r.reference(m, &m.Reads[i])
		}
	}
	for _, m := range t.Shared {
		for i := range m.Reads {
			if ref := &m.Reads[i]; ref.Settings != nil && ref.Settings.Type == localType {
				r.left(ref.At, "%s reads a file whose path depends on the configuration that calls this module", ref.Name)
				continue
			}
			r.reference(m, &m.Reads[i])
		}
	}
	r.finish()
	return r.out
}

type rewriter struct {
	kinds              backend.Kinds
	bySource, byTarget map[string]*Move
	files              map[string]*edits
	out                *Rewriting
}

func (r *rewriter) left(at Position, format string, args ...any) {
	l := Left{at, fmt.Sprintf(format, args...)}
	if !slices.Contains(r.out.Left, l) {
		r.out.Left = append(r.out.Left, l)
	}
}

// module decides about a module's own block.
func (r *rewriter) module(m *Module) {
	at := m.configured(r.kinds)
	if at == nil || at.State == nil {
		r.left(m.position(), "the state of this configuration is not known: %s", cmp.Or(m.Problem, "its workspaces are selected by tags"))
		return
	}
	moved := r.moved(at)
	if len(moved) == 0 {
		// Addresses of sources and targets of one kind have the same canonical form.
		if move := r.byTarget[r.kinds.Canonical(at.State(backend.DefaultWorkspace))]; move != nil {
			r.switched(m, move, true)
		} else if move := r.byTarget[r.kinds.Canonical(at.State(m.Workspace))]; move != nil {
			r.switched(m, move, true)
		}
		return
	}
	move := moved[0]
	for _, other := range moved[1:] {
		if !sameBlock(move.Block, other.Block) {
			r.left(m.position(), "the configuration has %d workspaces, whose states are in %s and %s: one block cannot name both", len(moved), move.Target, other.Target)
			return
		}
	}
	switch {
	case m.Variant != "":
		r.left(m.position(), "several backend-config files complete this block: for %s, use %s", m.Variant, oneLine(move.Block))
		return
	case m.Origin == FromTerragrunt:
		r.left(m.position(), "Terragrunt makes the block of %s: generate %s", m.Dir, oneLine(move.Block))
		return
	}
	if err := r.block(m, move.Block); err != nil {
		r.left(m.position(), "%v", err)
		return
	}
	r.switched(m, move, false)
}

// position returns where the module's block is, or its directory.
func (m *Module) position() Position {
	if m.At.File == "" {
		return Position{File: m.Dir}
	}
	return m.At
}

// probe is a workspace that no one has.
const probe = "tfhaul-probe"

// moved returns the moves of the states of one configuration, the default workspace's first.
func (r *rewriter) moved(at *backend.Configured) []*Move {
	var list []*Move
	def := r.bySource[r.kinds.Canonical(at.State(backend.DefaultWorkspace))]
	if def != nil {
		list = append(list, def)
	}
	before, after, several := strings.Cut(r.kinds.Canonical(at.State(probe)), probe)
	if !several {
		return list
	}
	for source, move := range r.bySource {
		workspace, ok := strings.CutPrefix(source, before)
		workspace, fits := strings.CutSuffix(workspace, after)
		if ok && fits && move != def && backend.IsWorkspaceName(workspace) {
			list = append(list, move)
		}
	}
	slices.SortFunc(list, func(a, b *Move) int {
		return cmp.Or(-cmp.Compare(btoi(a == def), btoi(b == def)), cmp.Compare(a.Source, b.Source))
	})
	return list
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sameBlock reports whether a configuration uses two states with the same block.
func sameBlock(a, b *backend.Block) bool {
	return a.Type == b.Type && reflect.DeepEqual(a.Arguments, b.Arguments)
}

// switched records a module that uses a moved state, and what must be set aside there.
func (r *rewriter) switched(m *Module, move *Move, already bool) {
	s := Switched{Dir: m.Dir, Target: move.Target, Already: already}
	if move.Block.Named() {
		s.Workspace = move.Block.Workspace
	}
	r.out.Switched = append(r.out.Switched, s)
	initialize := !already || m.staleInit
	if initialize {
		for _, name := range []string{filepath.Join(dataDir, pointerFile), filepath.Join(dataDir, environmentFile)} {
			r.aside(filepath.Join(m.Dir, name), move.Target)
		}
	}
	if move.Planned {
		return
	}
	states := []string{filepath.Join(m.Dir, stateFile)}
	if named, err := filepath.Glob(filepath.Join(globEscape(filepath.Join(m.Dir, stateDirs)), "*", stateFile)); err == nil {
		states = append(states, named...)
	}
	for _, state := range states {
		if initialize || r.kinds.Canonical(state) == r.kinds.Canonical(move.Source) {
			r.aside(state, move.Target)
		}
	}
}

// globEscape makes a path match only itself.
var globEscape = strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace

// asideExt is added to the names of files that are set aside.
const asideExt = ".before-tfhaul"

// aside adds a file to rename, if it exists and is not the state's new home.
func (r *rewriter) aside(path, target string) {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || r.kinds.Canonical(path) == r.kinds.CanonicalTarget(target) {
		return
	}
	to := path + asideExt
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s-%d", path+asideExt, n)
	}
	if a := (Aside{path, to}); !slices.Contains(r.out.Aside, a) {
		r.out.Aside = append(r.out.Aside, a)
	}
}

// reference decides about a data source.
func (r *rewriter) reference(m *Module, ref *Reference) {
	address, err := ref.Address(r.kinds)
	if err != nil {
		r.left(ref.At, "%s: the state that it reads is not known: %v", ref.Name, err)
		return
	}
	move := r.bySource[r.kinds.Canonical(address)]
	if move == nil {
		return
	}
	if !strings.HasPrefix(ref.Name, "data.terraform_remote_state.") {
		r.left(ref.At, "%s reads a state that is now in %s: change it by hand", ref.Name, move.Target)
		return
	}
	e, err := r.open(m, ref.At.File)
	if err == nil {
		if err = e.reference(ref, move.Block); err == nil {
			err = e.err
		}
	}
	if err != nil {
		r.left(ref.At, "%s reads a state that is now in %s: %v", ref.Name, move.Target, err)
	}
}

// newFile is the file for the block of a module without one.
const newFile = "backend.tf"

// block changes the module's block, or adds one.
func (r *rewriter) block(m *Module, b *backend.Block) error {
	if m.At.File != "" {
		e, err := r.open(m, m.At.File)
		if err != nil {
			return err
		}
		if err := e.block(m.At.Line, b); err != nil {
			return err
		}
		return e.err
	}
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return err
	}
	for _, name := range configurationFiles(entries) {
		if strings.HasSuffix(name, ".json") {
			continue
		}
		e, err := r.open(m, filepath.Join(m.Dir, name))
		if err == nil && e.insert(b) {
			return e.err
		}
	}
	path := filepath.Join(m.Dir, newFile)
	if _, err := os.Lstat(path); err == nil {
		path = filepath.Join(m.Dir, "tfhaul_"+newFile)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("add this block: %s", oneLine(b))
	}
	text := "terraform {\n" + indented("  ", "  "+blockText(b)) + "\n}\n"
	r.files[path] = &edits{path: path, at: path, repository: m.Repository, mode: 0o644, created: []byte(text)}
	return nil
}

// open returns the edits of a file.
func (r *rewriter) open(m *Module, path string) (*edits, error) {
	at, real, err := followed(m.Repository, path)
	if err != nil {
		return nil, err
	}
	if e := r.files[real]; e != nil {
		return e, e.err
	}
	e := &edits{path: path, at: at, repository: m.Repository}
	r.files[real] = e
	e.err = e.read()
	return e, e.err
}

// followed returns the path of the file to change, which is another one if path is a symbolic
// link, and the same path without links. A file outside of the repository is an error.
func followed(repository, path string) (at, real string, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", "", err
	}
	if real, err = filepath.EvalSymlinks(absolute(path)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return path, real, err
	}
	root, err := filepath.EvalSymlinks(absolute(repository))
	if err != nil {
		return "", "", err
	}
	rel, err := filepath.Rel(root, real)
	if err != nil || !filepath.IsLocal(rel) {
		return "", "", fmt.Errorf("%s is a symbolic link to %s, outside of %s: change that file by hand", filepath.Base(path), filepath.ToSlash(real), filepath.ToSlash(repository))
	}
	return filepath.Join(repository, rel), real, nil
}

// generatedMarks are what programs write at the top of the files that they generate.
var generatedMarks = []string{"Generated by Terragrunt", "DO NOT EDIT", "Code generated", "auto-generated", "autogenerated"}

func (e *edits) read() error {
	info, err := os.Stat(e.path)
	if err != nil {
		return err
	}
	e.mode = info.Mode().Perm()
	if e.src, err = readFile(e.path); err != nil {
		return err
	}
	head := e.src[:min(len(e.src), 400)]
	for _, mark := range generatedMarks {
		if bytes.Contains(head, []byte(mark)) {
			return errors.New("the file is generated: change what generates it")
		}
	}
	return nil
}

// finish applies the edits.
func (r *rewriter) finish() {
	for _, e := range r.files {
		after := e.apply()
		if e.err == nil && !bytes.Equal(after, e.src) {
			if _, err := parseSource(after, e.path); err != nil {
				r.left(Position{File: e.path}, "the changed file would not be valid (%v): change it by hand", err)
				continue
			}
			r.out.Changes = append(r.out.Changes, Change{e.at, e.src, after, e.mode, e.repository})
		}
	}
	slices.SortFunc(r.out.Changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(r.out.Left, func(a, b Left) int {
		return cmp.Or(cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line))
	})
	slices.SortFunc(r.out.Aside, func(a, b Aside) int { return cmp.Compare(a.From, b.From) })
}
