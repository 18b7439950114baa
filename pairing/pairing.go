// Package pairing decides which state goes where. It searches sources, names each state's
// target by a template, a map or a manifest, and reports what is left out. It reads no
// states and is independent of flags.
package pairing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// A Pairing is the moves to make: which states go into which workspaces.
type Pairing struct {
	Moves []migrate.Move
	// LeftOut is what was found but will not be moved.
	LeftOut []LeftOut
	// Findings are errors that an audit found about the states, and that do not stop moves.
	Findings []migrate.Finding
}

// Incomplete counts what could not be searched and may contain states.
func (p *Pairing) Incomplete() int {
	n := 0
	for _, l := range p.LeftOut {
		if l.Code == backend.SkipUnreadable {
			n++
		}
	}
	return n
}

// A Mistake is an error in the user's input.
type Mistake struct {
	Message string
	// LeftOut is what was found by a search that found no state.
	LeftOut []LeftOut
}

func (m *Mistake) Error() string { return m.Message }

func mistakef(format string, args ...any) error {
	return &Mistake{Message: fmt.Sprintf(format, args...)}
}

// A Finder finds states and names them at a target.
type Finder struct {
	Kinds  backend.Kinds
	Filter backend.Filter
	// CheckName refuses names that the target cannot have. Its error continues a sentence
	// about the move.
	CheckName func(name string) error
	// Keys means that the target has keys, and not workspaces.
	Keys bool
	// Settings are those of moves whose line in a map has settings, where it sets no other.
	Settings migrate.Settings

	// Container is the address of the target, so that states that their configurations already
	// use there are left out; "" for none.
	Container string

	// code has the configurations of states that were found through them, by address.
	code map[string]backend.Configuration
}

// place returns what the state's name is made from: where its configuration is, if the state
// was found through it.
func (f *Finder) place(s backend.State) backend.Place {
	if f.code == nil {
		return s.Place()
	}
	if c, ok := f.code[s.Address()]; ok {
		return c.Place
	}
	return s.Place()
}

// move returns the move of one state into the organization.
func (f *Finder) move(state backend.State, workspace string) migrate.Move {
	m := migrate.Move{Object: state, Workspace: workspace, Configuration: f.code[state.Address()].Dir}
	if !utf8.ValidString(state.Address()) {
		return unnamed(m, "the path is not valid UTF-8, so a journal or manifest cannot record it: rename it, or move this state alone with tfhaul move")
	}
	return m
}

// unnamed turns a move into a refused one because its workspace cannot be named. The other
// moves continue.
func unnamed(m migrate.Move, reason string) migrate.Move {
	m.Workspace, m.Unnamed, m.Naming = "", true, reason
	return m
}

// checkName is CheckName with a whole sentence.
func (f *Finder) checkName(name string) error {
	if err := f.CheckName(name); err != nil {
		return fmt.Errorf("it %w", err)
	}
	return nil
}

// ByName names each state by its place. With strict, it returns a Mistake if no state at all
// can be named: then the template is wrong, not a path.
func (f *Finder) ByName(ctx context.Context, sources []string, namer PlaceNamer, strict bool) (*Pairing, error) {
	states, leftOut, err := f.search(ctx, sources)
	if err != nil {
		return nil, err
	}
	p := &Pairing{LeftOut: leftOut}
	if f.manyRoots(states) {
		namer = namer.rooted()
	}
	var nameless []string
	for _, s := range states {
		if _, found := f.code[s.Address()]; found && f.Container != "" && f.Kinds.Inside(s.Address(), f.Container) {
			p.LeftOut = append(p.LeftOut, LeftOut{Source: backend.Printable(s.Address()), Code: LeftOutThere, Message: "is in the target already, where its configuration uses it"})
			continue
		}
		naming, err := namer.Naming(f.place(s))
		if bad := f.CheckName(naming.Name); err == nil && bad != nil {
			err = fmt.Errorf("no name for %q: it %w; use --key-name or --map", f.place(s).Key, bad)
		}
		move := f.move(s, naming.Name)
		if r, ok := s.(*restored); ok && !f.Keys {
			settings := r.asBackedUp(f.Settings)
			move.Own = &settings
		}
		if !move.Unnamed {
			move.Naming = naming.From
		}
		if err != nil {
			nameless = append(nameless, err.Error())
		}
		if err != nil && !move.Unnamed {
			move = unnamed(move, err.Error())
		}
		p.Moves = append(p.Moves, move)
	}
	if len(nameless) == len(states) && len(states) > 0 && strict {
		return nil, mistakef("%s", listed(nameless))
	}
	return p, nil
}

// manyRoots reports whether states were found in searches of different directories or buckets.
func (f *Finder) manyRoots(states []backend.State) bool {
	return slices.ContainsFunc(states, func(s backend.State) bool { return f.place(s).Searched != f.place(states[0]).Searched })
}

// maxListed is how many items an error lists.
const maxListed = 20

// listed puts up to maxListed sentences on separate lines.
func listed(sentences []string) string {
	more := ""
	if n := len(sentences) - maxListed; n > 1 {
		sentences, more = sentences[:maxListed], fmt.Sprintf("\n… and %d more", n)
	}
	return strings.Join(sentences, "\n") + more
}

// search lists the states of the sources, in the order of the sources. A state with the
// same address in two sources is taken once.
func (f *Finder) search(ctx context.Context, sources []string) ([]backend.State, []LeftOut, error) {
	var (
		states  []backend.State
		leftOut []LeftOut
	)
	taken, reported := map[string]bool{}, map[string]bool{}
	f.Kinds.Expect(sources)
	for _, source := range sources {
		listing, err := f.list(ctx, source)
		for _, l := range Skipped(listing) {
			if !reported[l.Source] {
				leftOut = append(leftOut, l)
			}
			reported[l.Source] = true
		}
		if err != nil {
			return nil, nil, Problem(ctx, err, leftOut)
		}
		for _, s := range listing.States {
			if !taken[s.Address()] {
				states = append(states, s)
			}
			taken[s.Address()] = true
		}
		f.learn(listing.Configurations)
	}
	return states, leftOut, nil
}

// learn adds configurations. The first one of a state counts.
func (f *Finder) learn(configurations map[string]backend.Configuration) {
	if f.code == nil && configurations != nil {
		f.code = map[string]backend.Configuration{}
	}
	for address, c := range configurations {
		if _, known := f.code[address]; !known {
			f.code[address] = c
		}
	}
}

// Skipped returns what a search skipped. A failed search may have no listing.
func Skipped(listing *backend.Listing) []LeftOut {
	var leftOut []LeftOut
	if listing != nil {
		for _, s := range listing.Skipped {
			leftOut = append(leftOut, LeftOut{Source: backend.Printable(s.Name), Code: s.Code, Message: s.Reason})
		}
	}
	return leftOut
}

// Problem returns a search error as a Mistake, unless a server is to blame or ctx has
// ended.
func Problem(ctx context.Context, err error, leftOut []LeftOut) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case ServerToBlame(err):
		return err
	}
	m := &Mistake{Message: err.Error()}
	if _, nothing := errors.AsType[*backend.NoMatchError](err); nothing {
		m.LeftOut = leftOut
	}
	return m
}

// ServerToBlame reports whether a source could not be searched even though its address and
// the credentials may be right.
func ServerToBlame(err error) bool {
	switch backend.CodeOf(err) {
	case "", backend.NoContainer, backend.NoState, backend.ForbiddenOrMissing, backend.WrongRegion,
		backend.NoCredentials, backend.BadCredentials, backend.ExpiredCredentials:
		return false
	}
	return true
}

// ByManifest pairs the states in a manifest, which is in the file name.
func (f *Finder) ByManifest(ctx context.Context, m *Manifest, name string) (*Pairing, error) {
	p := &Pairing{}
	if err := m.checkNames(f.Keys); err != nil {
		return nil, mistakef("%s: %v", name, err)
	}
	for _, listed := range m.Moves {
		f.Kinds.Expect([]string{listed.Source})
	}
	for _, listed := range m.Moves {
		state, err := f.named(ctx, listed.Source)
		if err == nil {
			err = f.checkName(listed.Workspace)
		}
		if err != nil && (ctx.Err() != nil || ServerToBlame(err)) {
			return nil, err
		}
		if err != nil {
			return nil, mistakef("%s: the move of %q: %v", name, listed.Source, err)
		}
		move := f.move(state, listed.Workspace)
		move.Configuration = listed.Configuration
		settings, err := m.Settings(listed)
		if err != nil {
			return nil, mistakef("%s: %v", name, err)
		}
		move.Own, move.FromManifest = &settings, true
		move.Expect = listed.Expectation()
		move.Replace = listed.Replace != nil && *listed.Replace
		move.Bump = listed.BumpSerial != nil && *listed.BumpSerial
		for _, code := range listed.Audit {
			move.AddObjection(migrate.Objection{Code: migrate.Code(code),
				Message: fmt.Sprintf("When the haul was planned, the audit of the source reported %s: tfhaul audit explains it.", code)})
		}
		for _, code := range listed.Allow {
			move.Permit(migrate.Code(code))
		}
		p.Moves = append(p.Moves, move)
	}
	return p, nil
}

// OpenManifest reads the manifest in a file.
func OpenManifest(name string) (*Manifest, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("the manifest %q cannot be read: %w", name, plainwords.WithoutPath(err))
	}
	m, err := ReadManifest(file, name)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return m, err
}

// named finds the one state that a manifest or a map names. If it is missing, that move
// fails and the others continue.
func (f *Finder) named(ctx context.Context, address string) (backend.State, error) {
	listing, err := f.Kinds.Find(ctx, address, f.Filter)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return &missing{address, err}, nil
	case err != nil:
		return nil, Problem(ctx, err, nil)
	case len(listing.States) != 1:
		return nil, mistakef("%q contains %d states, but a move takes exactly one: name one of them", address, len(listing.States))
	}
	return listing.States[0], nil
}

// missing is a state that was not found.
type missing struct {
	address string
	err     error
}

func (m *missing) Address() string                               { return m.address }
func (m *missing) Place() backend.Place                          { return backend.Place{Key: m.address} }
func (m *missing) Traits() backend.Traits                        { return backend.Traits{} }
func (m *missing) Holder(context.Context) (*backend.Lock, error) { return nil, nil }
func (m *missing) Check(context.Context, backend.Version) error  { return m.err }
func (m *missing) Open(context.Context, *backend.Version) (io.ReadCloser, backend.Version, error) {
	return nil, backend.Version{}, m.err
}

// ByMap pairs the states in a map file, found in the sources or, without sources, by their
// own addresses.
func (f *Finder) ByMap(ctx context.Context, sources []string, file string) (*Pairing, error) {
	lines, err := readMap(file)
	if err != nil {
		return nil, mistakef("%v", err)
	}
	states, leftOut, err := f.search(ctx, sources)
	if err != nil {
		return nil, err
	}
	p := &Pairing{LeftOut: leftOut}
	known := indexNames(f.Kinds, states)
	mapped := map[backend.State]int{} // state to line number
	var mistakes []string
	for _, line := range lines {
		if len(sources) == 0 {
			f.Kinds.Expect([]string{line.source})
		}
	}
	for _, line := range lines {
		state, err := known.find(line.source)
		if len(sources) == 0 {
			state, err = f.named(ctx, line.source)
		}
		if err == nil {
			err = f.checkName(line.workspace)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if ServerToBlame(err) {
			return nil, err
		}
		if before := mapped[state]; err == nil && before != 0 {
			err = fmt.Errorf("%q is already in line %d: move it into one workspace", line.source, before)
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Sprintf("%s:%d: %v", file, line.number, err))
			continue
		}
		mapped[state] = line.number
		move := f.move(state, line.workspace)
		if move.Own, err = line.settings(f.Settings); err != nil {
			mistakes = append(mistakes, fmt.Sprintf("%s:%d: %v", file, line.number, err))
		}
		p.Moves = append(p.Moves, move)
	}
	if len(mistakes) > 0 {
		return nil, mistakef("%s", listed(mistakes))
	}
	for _, s := range states {
		if mapped[s] == 0 {
			p.LeftOut = append(p.LeftOut, LeftOut{Source: backend.Printable(s.Address()), Code: LeftOutUnmapped, Message: "is not in " + file})
		}
	}
	return p, nil
}

// A nameIndex finds states by any name that a user may write.
type nameIndex struct {
	kinds  backend.Kinds
	states map[string][]backend.State
}

func indexNames(kinds backend.Kinds, states []backend.State) nameIndex {
	n := nameIndex{kinds, map[string][]backend.State{}}
	for _, s := range states {
		written := []string{s.Address(), kinds.Canonical(s.Address())}
		if aliased, ok := s.(backend.Aliased); ok {
			written = append(written, aliased.Aliases()...)
		}
		slices.Sort(written)
		for _, w := range slices.Compact(written) {
			n.states[w] = append(n.states[w], s)
		}
	}
	return n
}

// find returns the state that a user named.
func (n nameIndex) find(written string) (backend.State, error) {
	found := n.states[written]
	if found == nil {
		found = n.states[n.kinds.Canonical(written)]
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the sources have no state %q", written)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%q matches %d states: write it as tfhaul plan shows it", written, len(found))
}
