package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tfhaul/backend"
)

// role returns how S3 is used as a target. A container is a bucket or a prefix.
func (c *connections) role() *backend.TargetRole {
	return &backend.TargetRole{
		State: "s3://BUCKET/KEY", Container: "s3://BUCKET/PREFIX/",
		SplitState: splitState, Address: addressBelow, CheckContainer: checkContainer, CheckName: checkName, Layout: layout, History: true, Block: c.block,
		Open: func(ctx context.Context, container string) (backend.Target, error) {
			u, err := parseLocation(container)
			if err != nil {
				return nil, err
			}
			b, err := c.bucket(ctx, u)
			if err != nil {
				return nil, err
			}
			return &target{bucket: b, url: u}, nil
		},
	}
}

// splitState returns the directory of an object as its container.
func splitState(address string) (container, name string, err error) {
	u, err := parseLocation(address)
	switch {
	case err != nil:
		return "", "", err
	case u.searches():
		return "", "", fmt.Errorf("%q names a prefix, not an object: write s3://BUCKET/KEY", u.name(u.key))
	case u.params.Has(paramVersion):
		return "", "", fmt.Errorf("%s names a version that exists, and a target gets a new one: leave it out", paramVersion)
	}
	dir, name := path.Split(u.key)
	return u.name(dir), name, nil
}

func checkContainer(address string) error {
	u, err := parseLocation(address)
	if err == nil && !u.searches() {
		err = fmt.Errorf("%q names one object: write s3://BUCKET/PREFIX/, with a slash at the end", u.name(u.key))
	}
	return err
}

// maxKey is how long a key may be, in bytes, with the extension of its lock.
const maxKey = 1024 - len(lockExt)

// checkName checks the key of a state below its container. Its error continues a sentence.
func checkName(name string) error {
	switch clean := path.Clean("/" + name); {
	case name == "", name == "/", strings.HasSuffix(name, "/"):
		return fmt.Errorf("names the key %q: use one that does not end in a slash", name)
	case clean != "/"+strings.TrimPrefix(name, "/"):
		return fmt.Errorf("names the key %q: use one without empty, . and .. parts", name)
	case strings.HasSuffix(name, lockExt):
		return fmt.Errorf("names the key %q: Terraform uses the extension %s for locks", name, lockExt)
	case len(name) > maxKey:
		return fmt.Errorf("names a key of %d bytes: use at most %d", len(name), maxKey)
	}
	return nil
}

// layout returns where Terraform's s3 backend keeps a workspace:
// <workspace_key_prefix>/<workspace>/<key>. The prefix is in front of the whole key, so the
// name begins with a slash, at the bucket, where the container is a prefix.
func layout(container, key, workspace string) string {
	if workspace == "" || workspace == backend.DefaultWorkspace {
		return key
	}
	prefix, above := defaultKeyPrefix, ""
	if u, err := parseLocation(container); err == nil {
		above = u.key
		if len(u.keyPrefixes) > 0 {
			prefix = u.keyPrefixes[0]
		}
	}
	name := prefix + "/" + workspace + "/" + above + key
	if above != "" {
		return "/" + name
	}
	return name
}

// canonical returns the address without what only says how to reach or to write the object.
func canonical(address string) string {
	u, err := parseLocation(address)
	if err != nil {
		return address
	}
	for _, name := range parameterNames {
		if name != paramEndpoint && name != paramVersion {
			u.params.Del(name)
		}
	}
	return u.name(u.key)
}

// A target is a bucket, or what is below a prefix of it, whose objects are states.
type target struct {
	bucket *bucket
	url    *location // of the container

	mu         sync.Mutex
	versioning *bool // whether versioning is enabled; nil until known
	conditions *bool // whether writes can be conditional; nil until known
	deletes    bool  // deletes can be conditional
}

func (t *target) Traits() backend.Traits { return traits }

// Host returns the endpoint, if the address has one.
func (t *target) Host() string {
	if t.bucket.endpoint != "" {
		return t.bucket.endpoint
	}
	return "s3:"
}

func (t *target) Container() string { return t.bucket.name + "/" + t.url.key }

func (t *target) Address(name string) string { return t.url.name(t.key(name)) }

// Down implements backend.Target.
func (t *target) Down() bool { return t.bucket.wire.Down() }

// Close does nothing: targets share connections, which end when they are idle.
func (t *target) Close() {}

// List returns nil: a listing does not show who holds a state's lock in the table.
func (t *target) List(context.Context) iter.Seq2[*backend.Standing, error] { return nil }

// addressBelow returns the address of the state with this name in a container, or that of
// the container itself.
func addressBelow(container, name string) string {
	u, err := parseLocation(container)
	switch {
	case err != nil:
		return container + name
	case name == "":
		return u.name(u.key)
	}
	return (&target{url: u}).Address(name)
}

// key returns the key of the state with this name. A name that begins with a slash is a
// whole key: see layout.
func (t *target) key(name string) string {
	if whole, ok := strings.CutPrefix(name, "/"); ok {
		return whole
	}
	return t.url.key + name
}

func (t *target) object(key string) *object { return newObject(t.bucket, t.url, key) }

// Look implements backend.Target. A state exists for every name.
func (t *target) Look(ctx context.Context, name string) (*backend.Standing, error) {
	return t.look(ctx, t.object(t.key(name)), name)
}

// LookByID implements backend.Target. The ID of a state is its key.
func (t *target) LookByID(ctx context.Context, id string) (*backend.Standing, error) {
	name, below := strings.CutPrefix(id, t.url.key)
	if !below {
		name = "/" + id
	}
	return t.look(ctx, t.object(id), name)
}

func (t *target) look(ctx context.Context, o *object, name string) (*backend.Standing, error) {
	s, err := t.standing(ctx, o, name)
	if err != nil {
		return nil, err
	}
	for _, place := range o.lockPlaces() {
		held, err := place.read(ctx)
		if err != nil {
			return nil, err
		}
		if held != nil {
			s.Locked, s.Holder = true, held.lock.Standing()
			return s, nil
		}
	}
	return s, nil
}

// standing returns what is stored, without the lock.
func (t *target) standing(ctx context.Context, o *object, name string) (*backend.Standing, error) {
	head, err := o.stored(ctx)
	if err == nil && head == nil && t.bucket.noLockFile {
		err = o.requireBucket(ctx)
	}
	if err != nil {
		return nil, err
	}
	s := &backend.Standing{ID: o.key, Name: name, CanRead: true, CanWrite: true, CanLock: true, Current: backend.Ref{Known: true}}
	if head != nil {
		s.Current.ID = pinOf(head).versionID(o.key)
	}
	return s, nil
}

// requireBucket returns an error if the bucket of a missing object is missing, too.
func (o *object) requireBucket(ctx context.Context) error {
	got, err := o.get(ctx, o.request("access"), o.key, "", "")
	switch {
	case err == nil:
		_ = got.Body.Close() // stored meanwhile
	case !hasCode(err, backend.NoState):
		return err
	}
	return nil
}

// versionID returns the ID of a version of the object at key. The entity tag identifies the
// content, and the version the place to find it later.
func (p pin) versionID(key string) string {
	id := url.Values{"etag": {strings.Trim(p.etag, `"`)}}
	if p.numbered() {
		id.Set(paramVersion, p.version)
	}
	var b strings.Builder
	backend.EscapeURL(&b, key, "-_.~!$'()*,:@/+=&;")
	return b.String() + "?" + id.Encode()
}

// sameTag reports whether two versions have the same content. Some servers leave out the
// quotation marks of an entity tag.
func (p pin) sameTag(other pin) bool {
	return strings.Trim(p.etag, `"`) == strings.Trim(other.etag, `"`)
}

// numbered reports whether the version is not replaced in place.
func (p pin) numbered() bool { return p.version != "" && p.version != "null" }

// parseVersionID parses the ID of a version.
func parseVersionID(id string) (key string, p pin, err error) {
	path, query, _ := strings.Cut(id, "?")
	key, err = url.PathUnescape(path)
	values, bad := url.ParseQuery(query)
	if err != nil || bad != nil || values.Get("etag") == "" {
		return "", pin{}, fmt.Errorf("not an object's version: %q", id)
	}
	return key, pin{version: values.Get(paramVersion), etag: `"` + values.Get("etag") + `"`}, nil
}

// version returns a version of the object at key.
func (t *target) version(ctx context.Context, key string, p pin) (*backend.Version, error) {
	v := &backend.Version{ID: p.versionID(key), Size: p.size, Created: p.modified}
	var err error
	if p.numbered() {
		v.Kept, err = t.keepsVersions(ctx)
	}
	return v, err
}

// keepsVersions reports whether the bucket's versioning is enabled. If it is suspended, or
// that is unknown, the bucket does not count as keeping versions.
func (t *target) keepsVersions(ctx context.Context) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.versioning != nil {
		return *t.versioning, nil
	}
	r := request{doing: "read the versioning of", object: t.url.name(""), action: "s3:GetBucketVersioning"}
	out, err := ask(ctx, t.bucket, r, func(here ...func(*awss3.Options)) (*awss3.GetBucketVersioningOutput, error) {
		return t.bucket.client.GetBucketVersioning(ctx, &awss3.GetBucketVersioningInput{Bucket: &t.bucket.name}, here...)
	})
	if status := httpStatus(err); err != nil && (status < 300 || status >= 500) && status != http.StatusNotImplemented {
		return false, err
	}
	enabled := err == nil && out.Status == types.BucketVersioningStatusEnabled
	t.versioning = &enabled
	return enabled, nil
}

// Current implements backend.Target.
func (t *target) Current(ctx context.Context, s *backend.Standing) (*backend.Version, error) {
	return t.current(ctx, t.object(s.ID))
}

func (t *target) current(ctx context.Context, o *object) (*backend.Version, error) {
	head, err := o.stored(ctx)
	if err == nil && head == nil {
		return nil, o.requireBucket(ctx)
	}
	if err != nil {
		return nil, err
	}
	return t.version(ctx, o.key, pinOf(head))
}

// Version implements backend.Target.
func (t *target) Version(ctx context.Context, id string) (*backend.Version, error) {
	key, was, err := parseVersionID(id)
	if err != nil {
		return nil, err
	}
	o := t.object(key)
	o.version = was.version
	head, err := o.head(ctx, o.request("access"))
	if err != nil {
		return nil, err
	}
	now := pinOf(head)
	if !now.sameTag(was) {
		return nil, &backend.Error{Address: o.address, Code: backend.NoState, Message: fmt.Sprintf("the version %s was replaced, and the bucket did not keep it", id)}
	}
	return t.version(ctx, key, now)
}

// Versions implements backend.Target. A bucket without versioning has the current one.
func (t *target) Versions(ctx context.Context, s *backend.Standing) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		o := t.object(s.ID)
		head, err := o.headOnly(ctx, o.request("access"))
		if err != nil && httpStatus(err) != http.StatusNotFound {
			head, err = o.head(ctx, o.request("access")) // which explains the error, unless it has passed
		}
		switch {
		case err == nil && head.VersionId == nil:
			yield(t.version(ctx, o.key, pinOf(head)))
		case httpStatus(err) == http.StatusNotFound && !isDeleteMarker(err):
		case err != nil && httpStatus(err) != http.StatusNotFound:
			yield(nil, err)
		default:
			for p, err := range o.pins(ctx) {
				if err != nil {
					yield(nil, err)
					return
				}
				if !yield(t.version(ctx, o.key, p)) {
					return
				}
			}
		}
	}
}

// isDeleteMarker reports whether a missing object was deleted and has older versions.
func isDeleteMarker(err error) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.Response != nil && response.Response.Header.Get("X-Amz-Delete-Marker") == "true"
}

// Read implements backend.Target.
func (t *target) Read(ctx context.Context, v *backend.Version) (io.ReadCloser, error) {
	key, was, err := parseVersionID(v.ID)
	if err != nil {
		return nil, err
	}
	o := t.object(key)
	o.version = was.version
	in, now, err := o.open(ctx, was.version, was.etag)
	if err != nil {
		return nil, o.sinceRead(err)
	}
	if !now.sameTag(was) { // the server ignores conditions
		_ = in.Close() // not read
		return nil, &backend.ChangedError{Address: o.address, How: "it was rewritten"}
	}
	return in, nil
}

// Writer implements backend.Target.
func (t *target) Writer(s *backend.Standing, o backend.WriterOptions) backend.Writer {
	w := &writer{target: t, state: t.object(s.ID), name: s.Name, WriterOptions: o, wanted: o.Inherited, doubtful: o.Inherited, heir: o.Inherited || o.Lost > 0}
	w.places = w.state.lockPlaces()
	if o.Inherited {
		w.seen = s
	}
	return w
}
