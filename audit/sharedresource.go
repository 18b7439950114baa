package audit

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"

	"tfhaul/statefile"
)

// sharedIDs finds objects that several states manage, by provider, type and id. It
// keeps a digest of each, and of those that were met twice their type; never an id,
// because some are secrets.
type sharedIDs struct {
	seed maphash.Seed

	mu    sync.Mutex
	first map[uint64]int32 // the file that it was met in first
	again map[uint64]*sharedObject
}

// A sharedObject is one that was met in several files.
type sharedObject struct {
	kind   string // type of the resource
	unique bool   // the id is one that nothing else in the world has
	files  []int32
}

// A sharedID identifies an object in one file.
type sharedID struct {
	digest uint64
	kind   string
	unique bool
}

func newSharedIDs() *sharedIDs {
	return &sharedIDs{seed: maphash.MakeSeed(), first: map[uint64]int32{}, again: map[uint64]*sharedObject{}}
}

// A collector gathers the ids of one file.
type collector struct {
	hash  maphash.Hash
	found []sharedID
}

func (s *sharedIDs) collector() *collector {
	c := new(collector)
	c.hash.SetSeed(s.seed)
	return c
}

// localProviders make things that exist in the state alone, or on the machine that
// ran Terraform: equal ids mean nothing, and some ids are the value itself.
var localProviders = []string{"archive", "cloudinit", "external", "http", "local", "null", "random", "template", "terraform", "time", "tls"}

// resource takes note of a resource's objects.
func (c *collector) resource(r statefile.Resource) {
	if r.Mode != "managed" {
		return
	}
	// Whatever registry it comes from, and whether the address is a full one or of Terraform 0.12:
	// the provider is the one that its types are named after.
	provider := r.Provider[strings.LastIndexByte(r.Provider, '/')+1:]
	if slices.Contains(localProviders, provider) {
		return
	}
	for _, i := range r.Instances {
		if i.ID == "" {
			continue
		}
		c.hash.Reset()
		for _, part := range [...]string{provider, r.Type, i.ID} {
			// A maphash never fails.
			_, _ = c.hash.WriteString(part)
			_ = c.hash.WriteByte(0)
		}
		c.found = append(c.found, sharedID{c.hash.Sum64(), r.Type, uniqueID(i.ID)})
	}
}

// uniqueID reports whether an id looks like one that is given once in the world: a
// path from an account, a UUID, a long run of random characters. Others, such as
// the name of a role, may well stand for different objects in different accounts.
func uniqueID(id string) bool {
	for _, prefix := range []string{"arn:", "/subscriptions/", "projects/", "https://", "ocid1."} {
		if strings.HasPrefix(id, prefix) {
			return true
		}
	}
	const random = 12 // characters in a row
	run, digits := 0, 0
	for i := range len(id) {
		switch c := id[i]; {
		case '0' <= c && c <= '9':
			run, digits = run+1, digits+1
		case 'a' <= c|0x20 && c|0x20 <= 'z':
			run++
		default:
			run, digits = 0, 0
		}
		if run >= random && digits >= 3 {
			return true
		}
	}
	return false
}

// merge adds what was found in a file.
func (s *sharedIDs) merge(file int, found []sharedID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range found {
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
			object = &sharedObject{kind: id.kind, unique: id.unique, files: []int32{before}}
			s.again[id.digest] = object
		}
		// A file's ids come together.
		if object.files[len(object.files)-1] != int32(file) {
			object.files = append(object.files, int32(file))
		}
	}
}

// sharedResources finds the objects that states of different lineages manage. (That
// copies of one state manage the same objects goes without saying.)
func (j *judge) sharedResources() {
	type group struct {
		files  []int32
		unique bool
		kinds  map[string]int
	}
	groups := map[string]*group{}
	for _, object := range j.ids.again {
		if j.oneState(object.files) {
			continue
		}
		slices.Sort(object.files)
		key := fmt.Sprint(object.unique, object.files)
		g := groups[key]
		if g == nil {
			g = &group{files: object.files, unique: object.unique, kinds: map[string]int{}}
			groups[key] = g
		}
		g.kinds[object.kind]++
	}
	for _, g := range groups {
		f := Finding{Code: CodeSharedResource, Severity: SeverityError}
		objects, many := 0, 0
		for _, n := range g.kinds {
			objects += n
		}
		names := slices.SortedFunc(maps.Keys(g.kinds), func(a, b string) int {
			if g.kinds[a] != g.kinds[b] {
				return g.kinds[b] - g.kinds[a]
			}
			return strings.Compare(a, b)
		})
		const named = 3
		var parts []string
		for i, name := range names {
			if i >= named {
				many += g.kinds[name]
				continue
			}
			parts = append(parts, fmt.Sprintf("%d %s", g.kinds[name], name))
		}
		if many > 0 {
			parts = append(parts, fmt.Sprintf("%d of other types", many))
		}
		what := strings.Join(parts, ", ")
		if g.unique {
			f.Message = fmt.Sprintf("%s managed by %d states at once: %s. Each of them would change or destroy what the other one holds.", objectsAre(objects), len(g.files), what)
			f.Advice = `Decide which state keeps them, and take them out of the others with "terraform state rm".`
		} else {
			f.Severity = SeverityWarning
			f.Message = fmt.Sprintf("%s named alike in %d states: %s. They are the same objects if both states work in one account or cluster.", objectsAre(objects), len(g.files), what)
			f.Advice = `Compare the providers' configurations. If they are the same, decide which state keeps the objects, and take them out of the others with "terraform state rm".`
		}
		for _, i := range g.files {
			f.Sources = append(f.Sources, j.files[i].Source)
		}
		j.add(f)
	}
}

// oneState reports whether all of the files are copies of one state.
func (j *judge) oneState(files []int32) bool {
	lineage := j.files[files[0]].Lineage
	return lineage != "" && !slices.ContainsFunc(files, func(i int32) bool { return j.files[i].Lineage != lineage })
}

func objectsAre(n int) string {
	if n == 1 {
		return "1 object is"
	}
	return fmt.Sprintf("%d objects are", n)
}
