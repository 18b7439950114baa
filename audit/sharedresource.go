package audit

import (
	"fmt"
	"hash/maphash"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"tfhaul/statefile"
)

// sharedIDs finds objects that several states manage, by type and id. It
// keeps a digest of each, and of those that were met twice their type; never an id,
// because some are secrets.
type sharedIDs struct {
	seed maphash.Seed

	mu    sync.Mutex
	first map[uint64]int32 // the file that it was met in first
	again map[uint64]*sharedObject

	collectors sync.Pool // of those that were merged
}

// A sharedObject is one that was met in several files.
type sharedObject struct {
	kind   string // type of the resource
	unique bool   // the id is one that nothing else in the world has
	files  []int32
}

// A sharedID identifies an object in one file, until that is read.
type sharedID struct {
	digest   uint64
	kind, id string
}

func newSharedIDs() *sharedIDs {
	return &sharedIDs{seed: maphash.MakeSeed(), first: map[uint64]int32{}, again: map[uint64]*sharedObject{}}
}

// A collector gathers the ids of one file.
type collector struct {
	hash  maphash.Hash
	found []sharedID
}

// collector prepares to read a file. It is given back with merge.
func (s *sharedIDs) collector() *collector {
	if c, ok := s.collectors.Get().(*collector); ok {
		return c
	}
	c := new(collector)
	c.hash.SetSeed(s.seed)
	return c
}

// forget forgets what was found.
func (c *collector) forget() {
	clear(c.found)
	c.found = c.found[:0]
}

// localProviders make things that exist in the state alone, or on the machine that
// ran Terraform: equal ids mean nothing, and some ids are the value itself.
var localProviders = []string{"archive", "assert", "cloudinit", "context", "corefunc", "ct", "deepmerge", "external", "htpasswd", "http", "ignition",
	"jsonnet", "local", "null", "pkcs12", "random", "shell", "sodium", "template", "terraform", "time", "tls", "utility", "utils", "wireguard"}

// noID are ids that providers give to what has none, and longestNoID is the length of
// the longest of them.
var noID = []string{"", "-", "none", "null", "nil", "n/a", "id", "static", "unused", "dummy", "placeholder", "0", "1"}

const longestNoID = 11

// resource takes note of a resource's objects.
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
		c.hash.Reset()
		// Whatever registry the provider comes from, and be it its beta: its types say what it makes.
		for _, part := range [...]string{r.Type, i.ID} {
			// A maphash never fails.
			_, _ = c.hash.WriteString(part)
			_ = c.hash.WriteByte(0)
		}
		c.found = append(c.found, sharedID{c.hash.Sum64(), r.Type, i.ID})
	}
}

// uniqueID reports whether an id looks like one that is given once in the world: a
// path from an account, a UUID, a long run of random characters. Others, such as
// the name of a role, may well stand for different objects in different accounts, and
// so may the number of an account, under which every region has objects of its own.
func uniqueID(id string) bool {
	if strings.HasPrefix(id, "arn:") {
		// arn:partition:service:region:account:resource; what belongs to nobody is everybody's.
		parts := strings.SplitN(id, ":", 6)
		return len(parts) == 6 && parts[4] != "" && parts[4] != "aws"
	}
	for _, prefix := range []string{"/subscriptions/", "projects/", "https://", "ocid1."} {
		if strings.HasPrefix(id, prefix) {
			return true
		}
	}
	return uuid.MatchString(id) || cloudID.MatchString(id) || slices.ContainsFunc(strings.FieldsFunc(id, func(r rune) bool { return !alphanumeric(r) }), randomRun)
}

var (
	uuid = regexp.MustCompile(`(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)
	// cloudID is vpc-0a1b2c3d4e5f60718, or the shorter vpc-0a1b2c3d of old, which has no more
	// digits than the names that people and tools make.
	cloudID = regexp.MustCompile(`^[a-z]+(?:-[a-z]+)*-[0-9a-f]{17}$|` +
		`^(?:acl|aclassoc|ami|cgw|dopt|eipalloc|eipassoc|eni|i|igw|nat|pcx|rtb|rtbassoc|sg|snap|subnet|vgw|vol|vpc|vpce|vpn)-[0-9a-f]{8}$`)
)

func alphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
}

// randomRun reports whether letters and digits are many, and mixed as no name is: a
// name has its digits at its end.
func randomRun(run string) bool {
	const many, account = 12, 12
	digits, changes := 0, 0
	for i := range len(run) {
		digit := run[i] <= '9'
		if digit {
			digits++
		}
		if i > 0 && digit != (run[i-1] <= '9') {
			changes++
		}
	}
	if digits == len(run) {
		return digits > account
	}
	return len(run) >= many && digits >= 3 && changes >= 3
}

// merge adds what was found in a file, and forgets the ids.
func (s *sharedIDs) merge(file int, c *collector) {
	defer s.collectors.Put(c)
	defer c.forget()
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
			object = &sharedObject{kind: id.kind, unique: uniqueID(id.id), files: []int32{before}}
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
			if i >= named && len(names) > named+1 {
				many += g.kinds[name]
				continue
			}
			parts = append(parts, fmt.Sprintf("%d %s", g.kinds[name], brief(name)))
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
	first := j.files[files[0]].identity()
	return !slices.ContainsFunc(files, func(i int32) bool { return j.files[i].identity() != first })
}

func objectsAre(n int) string {
	if n == 1 {
		return "1 object is"
	}
	return fmt.Sprintf("%d objects are", n)
}
