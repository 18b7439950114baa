package s3

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tfhaul/backend"
)

// pins lists all versions of the object, newest first.
func (o *object) pins(ctx context.Context) iter.Seq2[pin, error] {
	return func(yield func(pin, error) bool) {
		r := request{doing: "list the versions of", object: o.address, action: "s3:ListBucketVersions"}
		in := &awss3.ListObjectVersionsInput{Bucket: &o.bucket.name, Prefix: &o.key, EncodingType: types.EncodingTypeUrl}
		for {
			page, err := ask(ctx, o.bucket, r, func(here ...func(*awss3.Options)) (*awss3.ListObjectVersionsOutput, error) {
				return o.bucket.client.ListObjectVersions(ctx, in, here...)
			})
			if err != nil {
				yield(pin{}, err)
				return
			}
			for _, entry := range page.Versions {
				key := aws.ToString(entry.Key)
				if page.EncodingType == types.EncodingTypeUrl {
					key, err = url.QueryUnescape(key)
				}
				if err != nil || key != o.key {
					continue // of another object whose key begins with this one
				}
				// Listings of some servers leave out the quotation marks of an entity tag.
				p := pin{version: aws.ToString(entry.VersionId), etag: `"` + strings.Trim(aws.ToString(entry.ETag), `"`) + `"`,
					size: aws.ToInt64(entry.Size), modified: aws.ToTime(entry.LastModified)}
				if !yield(p, nil) {
					return
				}
			}
			// Later keys come after the last version of this one.
			if !aws.ToBool(page.IsTruncated) || aws.ToString(page.NextKeyMarker) != o.key {
				return
			}
			if aws.ToString(page.NextVersionIdMarker) == aws.ToString(in.VersionIdMarker) {
				yield(pin{}, fmt.Errorf("cannot list the versions of %q: the server reports more, but not where they begin", o.address))
				return
			}
			in.KeyMarker, in.VersionIdMarker = page.NextKeyMarker, page.NextVersionIdMarker
		}
	}
}

// Versions implements backend.Historic. It begins with the version that Open reads without a
// version: the current one, or the one in the address. A bucket without versioning has no
// others.
func (o *object) Versions(ctx context.Context) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		head, err := o.head(ctx, o.request("access"))
		if err != nil {
			yield(nil, err)
			return
		}
		first := pinOf(head)
		if v := first.asVersion(); !yield(&v, nil) || first.version == "" {
			return
		}
		newer := true
		for p, err := range o.pins(ctx) {
			switch {
			case err != nil:
				yield(nil, err)
				return
			case newer:
				newer = p.version != first.version
				continue
			}
			v := p.asVersion()
			v.Kept = p.numbered()
			if !yield(&v, nil) {
				return
			}
		}
	}
}

// OlderName implements backend.HistoryTarget. A bucket keeps the versions of an object together.
func (t *target) OlderName(name string, _ int64, _ string) (string, error) { return name, nil }

// HistoryCalls implements backend.HistoryTarget. Requests to S3 have no rate limit that must be
// planned for.
func (t *target) HistoryCalls(int) int { return 0 }

// CheckHistory implements backend.HistoryTarget: each version must be kept when the next one is
// written, and there must be none of a deleted object.
func (t *target) CheckHistory(ctx context.Context, s *backend.Standing) error {
	o := t.object(s.ID)
	refuse := func(why string) error {
		return &backend.Error{Address: o.address, Code: backend.NoHistory, Message: why}
	}
	kept, err := t.keepsVersions(ctx)
	if err != nil {
		return err
	}
	if !kept {
		return refuse(fmt.Sprintf("The bucket %s does not keep older versions. Enable its versioning, or move without the history.", t.bucket.name))
	}
	for _, err := range o.pins(ctx) {
		if err != nil {
			return err
		}
		return refuse(fmt.Sprintf("%q was deleted and still has older versions, which would be mixed with those of the source. Use another key, or move without the history.", o.address))
	}
	return nil
}
