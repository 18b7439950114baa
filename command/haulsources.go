package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"tfhaul/migrate"
	"tfhaul/report"
	"tfhaul/source"
	"tfhaul/target"
)

// A pairing is which snapshots go into which workspaces.
type pairing struct {
	moves []migrate.Move
	// leftOut is what was found and is not moved.
	leftOut []migrate.LeftOut
}

// incomplete counts what could not be looked at, so that there may be states in it.
func (p *pairing) incomplete() int {
	n := 0
	for _, l := range p.leftOut {
		if l.Code == source.SkipUnreadable {
			n++
		}
	}
	return n
}

// pair finds the snapshots and names their workspaces. Nothing of the snapshots is
// read yet.
func (h *hauling) pair(ctx context.Context) (*pairing, error) {
	var (
		p   *pairing
		err error
	)
	switch {
	case h.manifest != "":
		p, err = h.pairManifest(ctx)
	case h.mapFile != "":
		p, err = h.pairMap(ctx)
	default:
		p, err = h.pairNames(ctx)
	}
	if err != nil {
		return nil, err
	}
	return p, permit(p.moves, h.permissions)
}

// move is one snapshot's, into the haul's organization.
func (h *hauling) move(object source.Object, workspace string) migrate.Move {
	m := migrate.Move{Object: object, Organization: h.address.Organization, Workspace: workspace}
	if !utf8.ValidString(object.Name()) {
		return unnamed(m, "the path is not valid UTF-8, so neither a journal nor a manifest could name it: rename it, or move the state alone with tfhaul move")
	}
	return m
}

// unnamed makes of a move one that is refused because of its name. One such name does not keep
// the others from being moved.
func unnamed(m migrate.Move, reason string) migrate.Move {
	m.Workspace, m.Unnamed, m.Naming = "", true, reason
	return m
}

// pairNames names the workspaces by the places of the snapshots.
func (h *hauling) pairNames(ctx context.Context) (*pairing, error) {
	objects, leftOut, err := h.search(ctx)
	if err != nil {
		return nil, err
	}
	p := &pairing{leftOut: leftOut}
	var nameless []string
	for _, o := range objects {
		naming, err := h.namer.Naming(o.Place())
		move := h.move(o, naming.Name)
		if !move.Unnamed {
			move.Naming = naming.From
		}
		if err != nil {
			nameless = append(nameless, err.Error())
		}
		if err != nil && !move.Unnamed {
			move = unnamed(move, err.Error())
		}
		p.moves = append(p.moves, move)
	}
	if len(nameless) == len(objects) && h.typed["workspace-name"] {
		return nil, usagef("%s", listed(nameless)) // the template is to blame, not a path
	}
	return p, nil
}

// listed puts up to mostListed sentences on lines of their own.
func listed(sentences []string) string {
	more := ""
	if n := len(sentences) - mostListed; n > 1 {
		sentences, more = sentences[:mostListed], fmt.Sprintf("\n… and %d more", n)
	}
	return strings.Join(sentences, "\n") + more
}

// search finds what the sources hold, in the order of the sources. What two of them
// name by the same name is taken once.
func (h *hauling) search(ctx context.Context) ([]source.Object, []migrate.LeftOut, error) {
	var (
		objects []source.Object
		leftOut []migrate.LeftOut
	)
	taken, told := map[string]bool{}, map[string]bool{}
	for _, ref := range h.sources {
		listing, err := source.Find(ctx, ref, h.find)
		for _, l := range leftOutOf(listing) {
			if !told[l.Source] {
				leftOut = append(leftOut, l)
			}
			told[l.Source] = true
		}
		if err := sourceProblem(ctx, err, leftOut); err != nil {
			return nil, nil, err
		}
		for _, o := range listing.Objects {
			if !taken[o.Name()] {
				objects = append(objects, o)
			}
			taken[o.Name()] = true
		}
	}
	return objects, leftOut, nil
}

// leftOutOf lists what a search skipped. A search that failed may have no listing.
func leftOutOf(listing *source.Listing) []migrate.LeftOut {
	var leftOut []migrate.LeftOut
	if listing != nil {
		for _, s := range listing.Skipped {
			leftOut = append(leftOut, migrate.LeftOut{Source: source.Printable(s.Name), Code: s.Code, Message: s.Reason})
		}
	}
	return leftOut
}

// sourceProblem makes of an error of finding what the user can act on.
func sourceProblem(ctx context.Context, err error, leftOut []migrate.LeftOut) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case serverToBlame(err):
		return err
	}
	message := err.Error()
	if _, nothing := errors.AsType[*source.NoMatchError](err); nothing {
		for i, l := range leftOut {
			if i == mostListed {
				message += fmt.Sprintf("\n  … and %d more", len(leftOut)-i)
				break
			}
			message += fmt.Sprintf("\n  skipped %s: %s", report.PlainLine(l.Source), report.PlainLine(l.Message))
		}
	}
	return &usageError{message}
}

// pairManifest pairs what a manifest lists.
func (h *hauling) pairManifest(ctx context.Context) (*pairing, error) {
	file, err := os.Open(h.manifest)
	if err != nil {
		return nil, usagef("the manifest %q cannot be read: %v", h.manifest, withoutPath(err))
	}
	m, err := migrate.ReadManifest(file, h.manifest)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	if h.address, err = h.organizationAddress(m.Target.Hostname + "/" + m.Target.Organization); err != nil {
		return nil, usagef("%s: %v", h.manifest, err)
	}
	p := &pairing{}
	for _, listed := range m.Moves {
		object, err := h.named(ctx, listed.Source)
		if err == nil {
			err = checkWorkspace(listed.Workspace)
		}
		if err != nil {
			return nil, prefixed(fmt.Sprintf("%s: the move of %q: ", h.manifest, listed.Source), err)
		}
		move := h.move(object, listed.Workspace)
		settings, err := m.Settings(listed)
		if err != nil {
			return nil, usagef("%s: %v", h.manifest, err)
		}
		move.Own = &settings
		move.Expect = listed.Expectation()
		move.Replace = listed.Replace != nil && *listed.Replace
		move.Bump = listed.BumpSerial != nil && *listed.BumpSerial
		for _, code := range listed.Allow {
			allow(&move, migrate.Code(code))
		}
		p.moves = append(p.moves, move)
	}
	return p, nil
}

// prefixed says of a mistake where it stands.
func prefixed(where string, err error) error {
	if usage, ok := errors.AsType[*usageError](err); ok {
		return &usageError{where + usage.message}
	}
	return err
}

// checkWorkspace refuses what cannot be a workspace's name.
func checkWorkspace(name string) error {
	if strings.ContainsAny(name, "/@?#") { // which mean something in an address
		return usagef("it names the workspace %q: its name consists of letters, digits, - and _", name)
	}
	_, err := target.ParseWorkspace(target.DefaultHost+"/organization/"+name, func(string) string { return "" })
	if bad, ok := errors.AsType[*target.AddressError](err); ok {
		return usagef("it %s", bad.Reason)
	}
	return err
}

// named finds the one snapshot that a manifest or a map names. One that is not there
// is a move that fails, and not the end of all others.
func (h *hauling) named(ctx context.Context, ref string) (source.Object, error) {
	listing, err := source.Find(ctx, ref, h.find)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return &missing{ref, err}, nil
	case err != nil:
		return nil, sourceProblem(ctx, err, nil)
	case len(listing.Objects) != 1:
		return nil, usagef("%q holds %d states, and a move takes one: name each", ref, len(listing.Objects))
	}
	return listing.Objects[0], nil
}

// missing is a snapshot that is not where it was said to be.
type missing struct {
	name string
	err  error
}

func (m *missing) Name() string                                { return m.name }
func (m *missing) Place() source.Place                         { return source.Place{Key: m.name} }
func (m *missing) Lock(context.Context) (*source.Lock, error)  { return nil, nil }
func (m *missing) Check(_ context.Context, _ source.Pin) error { return m.err }
func (m *missing) Open(context.Context, *source.Pin) (io.ReadCloser, source.Pin, error) {
	return nil, source.Pin{}, m.err
}

// pairMap pairs what the map names: of what the sources hold or, where there are
// none, of what there is.
func (h *hauling) pairMap(ctx context.Context) (*pairing, error) {
	lines, err := readMap(h.mapFile)
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	objects, leftOut, err := h.search(ctx)
	if err != nil {
		return nil, err
	}
	p := &pairing{leftOut: leftOut}
	known := indexNames(objects)
	mapped := map[source.Object]int{} // line
	var mistakes []string
	for _, line := range lines {
		object, err := known.find(line.source)
		if len(h.sources) == 0 {
			object, err = h.named(ctx, line.source)
		}
		if err == nil {
			err = checkWorkspace(line.workspace)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if serverToBlame(err) {
			return nil, err
		}
		if before := mapped[object]; err == nil && before != 0 {
			err = fmt.Errorf("%q stands in line %d already: one state belongs into one workspace", line.source, before)
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Sprintf("%s:%d: %v", h.mapFile, line.number, err))
			continue
		}
		mapped[object] = line.number
		p.moves = append(p.moves, h.move(object, line.workspace))
	}
	if len(mistakes) > 0 {
		return nil, usagef("%s", listed(mistakes))
	}
	for _, o := range objects {
		if mapped[o] == 0 {
			p.leftOut = append(p.leftOut, migrate.LeftOut{Source: source.Printable(o.Name()), Code: migrate.LeftOutUnmapped, Message: "is not in " + h.mapFile})
		}
	}
	return p, nil
}

// A nameIndex finds objects by what a person would write.
type nameIndex map[string][]source.Object

func indexNames(objects []source.Object) nameIndex {
	n := nameIndex{}
	for _, o := range objects {
		written := []string{o.Name()}
		if place := o.Place(); place.Bucket != "" {
			// Without the parameters that say how the bucket is reached.
			written = append(written, "s3://"+place.Bucket+"/"+place.Key)
		} else {
			written = append(written, filepath.Clean(o.Name()))
			if absolute, ok := absoluteName(o.Name()); ok {
				written = append(written, absolute)
			}
		}
		slices.Sort(written)
		for _, w := range slices.Compact(written) {
			n[w] = append(n[w], o)
		}
	}
	return n
}

// absoluteName returns the absolute path of a file, and false for what is not a file.
func absoluteName(name string) (string, bool) {
	if name == "-" || strings.Contains(name, "://") {
		return "", false
	}
	absolute, err := filepath.Abs(name)
	return absolute, err == nil
}

// find finds the one object that is meant.
func (n nameIndex) find(written string) (source.Object, error) {
	found := n[written]
	if found == nil && !strings.Contains(written, "://") {
		found = n[filepath.Clean(written)]
		if absolute, ok := absoluteName(written); found == nil && ok {
			found = n[absolute]
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%q is none of the states that the sources hold", written)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%q may be any of %d: write it as tfhaul plan shows it", written, len(found))
}
