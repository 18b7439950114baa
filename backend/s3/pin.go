package s3

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/backend"
)

// A pin identifies one version of an object. It is the ID of a version; old journals have
// pins with these field names.
type pin struct {
	version  string // from the bucket, if it is versioned
	etag     string
	size     int64 // bytes
	modified time.Time
}

// pinOf returns the pin of a version from the response to HEAD.
func pinOf(head *awss3.HeadObjectOutput) pin {
	return pin{
		version: aws.ToString(head.VersionId), etag: aws.ToString(head.ETag),
		size: aws.ToInt64(head.ContentLength), modified: aws.ToTime(head.LastModified),
	}
}

// asVersion returns the version that the pin identifies.
func (p pin) asVersion() backend.Version {
	id := url.Values{"size": {strconv.FormatInt(p.size, 10)}}
	for name, value := range map[string]string{"version_id": p.version, "etag": p.etag} {
		if value != "" {
			id.Set(name, value)
		}
	}
	if !p.modified.IsZero() {
		id.Set("mod_time", p.modified.UTC().Format(time.RFC3339))
	}
	return backend.Version{ID: id.Encode(), Size: p.size, Created: p.modified}
}

// parsePin parses the ID of a version.
func parsePin(id string) (pin, error) {
	values, err := url.ParseQuery(id)
	if err != nil {
		return pin{}, fmt.Errorf("not an object's version: %q", id)
	}
	p := pin{version: values.Get("version_id"), etag: values.Get("etag")}
	p.modified, _ = time.Parse(time.RFC3339, values.Get("mod_time")) // zero if absent
	if p.size, err = strconv.ParseInt(values.Get("size"), 10, 64); err != nil {
		return pin{}, fmt.Errorf("not an object's version: %q", id)
	}
	return p, nil
}

// compare returns nil if now is what was read, and a *backend.ChangedError if not. The
// entity tag decides, because it follows the content. A version can be new with the same
// content (versioning was enabled) or the same with new content ("null" is replaced in
// place).
func (p pin) compare(address string, was pin) error {
	changed := func(how string, args ...any) error {
		return &backend.ChangedError{Address: address, How: fmt.Sprintf(how, args...)}
	}
	written := func() error {
		return changed("written %s, was %s", p.modified.UTC().Format(time.RFC3339), was.modified.UTC().Format(time.RFC3339))
	}
	switch {
	case p.size != was.size:
		return changed("size %d, was %d", p.size, was.size)
	case p.etag != "" && was.etag != "":
		if !p.sameTag(was) {
			return written()
		}
		return nil
	case p.version != was.version:
		return changed("version %s, was %s", p.version, was.version)
	case !p.modified.Equal(was.modified):
		return written()
	}
	return nil
}
