package audit

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"

	"tfhaul/backend"
	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// sharedIDs finds objects that several states manage, by type and ID. It keeps a digest
// of each, and the type of those found twice, but never an ID, because some are secrets.
type sharedIDs struct {
	seed maphash.Seed

	collectors sync.Pool

	mu    sync.Mutex
	first map[uint64]int32 // the first file that has it
	again map[uint64]*sharedObject
}

// A sharedObject is an object found in several files.
type sharedObject struct {
	kind  string // type of the resource
	claim claim
	files []int32
}

// A sharedID identifies an object while its file is read.
type sharedID struct {
	digest   uint64
	kind, id string
}

func newSharedIDs() *sharedIDs {
	return &sharedIDs{seed: maphash.MakeSeed(), first: map[uint64]int32{}, again: map[uint64]*sharedObject{}}
}

// A collector collects the IDs of one file.
type collector struct {
	seed  maphash.Seed
	found []sharedID
}

// localProviders manage things that exist only in the state or on the machine that ran
// Terraform. Equal IDs mean nothing, and some IDs are the value itself.
var localProviders = []string{"archive", "assert", "cloudinit", "context", "corefunc", "ct", "deepmerge", "external", "htpasswd", "http", "ignition",
	"jsonnet", "local", "null", "pkcs12", "random", "shell", "sodium", "template", "terraform", "time", "tls", "utility", "utils", "wireguard"}

// noID are IDs that providers use for things without one. longestNoID is the length of
// the longest.
var noID = []string{"", "-", "none", "null", "nil", "n/a", "id", "static", "unused", "dummy", "placeholder", "0", "1"}

const longestNoID = 11

// resource collects a resource's objects.
func (c *collector) resource(r statefile.Resource) {
	if r.Mode != "managed" {
		return
	}
	provider := r.Provider[strings.LastIndexByte(r.Provider, '/')+1:]
	if slices.Contains(localProviders, provider) {
		return
	}
	for _, i := range r.Instances {
		if len(i.ID) <= longestNoID && slices.Contains(noID, strings.ToLower(i.ID)) {
			continue
		}
		// The provider's registry does not matter, nor whether it is a beta: the type
		// says what it manages.
		digest := maphash.Comparable(c.seed, [2]string{r.Type, i.ID})
		c.found = append(c.found, sharedID{digest, r.Type, i.ID})
	}
}

// collector returns a collector for one file. Give it to merge.
func (s *sharedIDs) collector() *collector {
	if c, ok := s.collectors.Get().(*collector); ok {
		return c
	}
	return &collector{seed: s.seed}
}

// merge adds a file's objects.
func (s *sharedIDs) merge(file int, c *collector) {
	defer s.collectors.Put(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range c.found {
		before, known := s.first[id.digest]
		if !known {
			s.first[id.digest] = int32(file)
			continue
		}
		if before == int32(file) {
			continue
		}
		object := s.again[id.digest]
		if object == nil {
			object = &sharedObject{kind: id.kind, claim: claimOn(id.kind, id.id), files: []int32{before}}
			s.again[id.digest] = object
		}
		// A file's IDs are merged together.
		if object.files[len(object.files)-1] != int32(file) {
			object.files = append(object.files, int32(file))
		}
	}
	clear(c.found) // the texts may be secrets
	c.found = c.found[:0]
}

// sharedResources finds objects that states of different lineages manage. Copies of one
// state naturally manage the same objects.
func (j *judge) sharedResources() {
	groups := map[string]*sharedGroup{}
	for _, object := range j.ids.again {
		if j.oneState(object.files) {
			continue
		}
		slices.Sort(object.files)
		key := fmt.Sprint(object.claim, object.files)
		g := groups[key]
		if g == nil {
			g = &sharedGroup{files: object.files, claim: object.claim, kinds: map[string]int{}}
			groups[key] = g
		}
		g.kinds[object.kind]++
	}
	for _, g := range groups {
		f := g.finding()
		for _, i := range g.files {
			f.Sources = append(f.Sources, j.files[i].Source)
		}
		j.add(f)
	}
}

// A sharedGroup is a group of objects that the same files share in the same way.
type sharedGroup struct {
	files []int32
	claim claim
	kinds map[string]int // count by type
}

func (g *sharedGroup) finding() Finding {
	objects := 0
	for _, n := range g.kinds {
		objects += n
	}
	f := Finding{Code: CodeSharedResource, Severity: SeverityWarning}
	for _, name := range slices.Sorted(maps.Keys(g.kinds)) {
		f.Resources = append(f.Resources, plainwords.Brief(backend.Printable(name)))
	}
	states, others, all := len(g.files), "the others", "all of them"
	if states == 2 {
		others, all = "the other", "both states"
	}
	switch g.claim {
	case claimObject:
		f.Severity = SeverityError
		f.Message = fmt.Sprintf("%s managed by %d states at the same time: %s. An apply of one can change or destroy what %s manage%s.",
			plainwords.Are(objects, "object"), states, g.types(), others, singular(states == 2))
		f.Advice = `Decide which state keeps them. Remove them from the others with "terraform state rm".`
	case claimDefault:
		f.Message = fmt.Sprintf("%s managed by %d states at the same time: %s. AWS creates default objects; Terraform only adopts them. An apply of one state can undo the settings of %s.",
			plainwords.Are(objects, "object"), states, g.types(), others)
		f.Advice = `Decide which state keeps them. Remove them from the others with "terraform state rm", which destroys nothing.`
	default:
		f.Message = fmt.Sprintf("%s in %d states with the same ID: %s. They are the same objects if %s work in one account or cluster.",
			plainwords.Are(objects, "object"), states, g.types(), all)
		f.Advice = `Compare the provider configurations. If they are the same, decide which state keeps the objects, and remove them from the others with "terraform state rm".`
	}
	return f
}

// types lists the number of objects of each type, the most frequent first.
func (g *sharedGroup) types() string {
	first, others := plainwords.First(plainwords.MostFrequent(g.kinds), g.kinds, 3)
	var parts []string
	for _, name := range first {
		parts = append(parts, fmt.Sprintf("%d %s", g.kinds[name], plainwords.Brief(name)))
	}
	if others > 0 {
		parts = append(parts, fmt.Sprintf("%d of other types", others))
	}
	return strings.Join(parts, ", ")
}

// singular returns the verb ending for a singular subject.
func singular(one bool) string {
	if one {
		return "s"
	}
	return ""
}

// oneState reports whether all files are copies of one state.
func (j *judge) oneState(files []int32) bool {
	first := j.files[files[0]].identity()
	return !slices.ContainsFunc(files, func(i int32) bool { return j.files[i].identity() != first })
}
