// Package s3 keeps states in S3 and compatible servers. It knows the layout of
// Terraform's s3 backend, its locks (objects and DynamoDB items), and its credentials and
// encryption keys.
package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// object is a state in a bucket.
type object struct {
	bucket  *bucket
	key     string
	version string // the version in the address; "" for the current one
	address string
	place   backend.Place

	// What the search that found this state saw of its lock; zero if the state was named
	// directly.
	listed     time.Time
	lockListed bool
}

func newObject(b *bucket, u *location, key string) *object {
	return &object{
		bucket: b, key: key, version: u.params.Get(paramVersion),
		address: u.name(key), place: placeInBucket(u, key),
	}
}

func (o *object) Address() string        { return o.address }
func (o *object) Place() backend.Place   { return o.place }
func (o *object) Traits() backend.Traits { return traits }

// Server returns the endpoint, or the bucket if the address has no endpoint.
func (o *object) Server() string {
	if o.bucket.endpoint != "" {
		return o.bucket.endpoint
	}
	return "s3://" + o.bucket.name
}

// Aliases returns the URL without the parameters for reaching the bucket.
func (o *object) Aliases() []string { return []string{"s3://" + o.bucket.name + "/" + o.key} }

// Open reads with GetObject. S3 replaces objects as a whole, so a read is never torn. To
// read an earlier version again, it requests the version and the same entity tag, because
// the version "null" of an unversioned bucket is replaced in place.
func (o *object) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	version, was := o.version, pin{}
	if v != nil {
		var err error
		if was, err = parsePin(v.ID); err != nil {
			return nil, backend.Version{}, err
		}
		version = cmp.Or(was.version, version)
	}
	in, now, err := o.open(ctx, version, was.etag)
	if err != nil {
		if v != nil {
			err = o.sinceRead(err)
		}
		return nil, backend.Version{}, err
	}
	current := now.asVersion()
	if v != nil {
		// A server that ignores conditions returns whatever is there.
		if err := now.compare(o.address, was); err != nil {
			_ = in.Close() // not read
			return nil, backend.Version{}, err
		}
		current.MD5 = v.MD5
	}
	return in, current, nil
}

// open reads a version, or the current one if version is empty, if it has this entity tag.
func (o *object) open(ctx context.Context, version, etag string) (*backend.Incoming, pin, error) {
	// The body is read after open returns, so its context ends with the body or with ctx.
	ctx, cancel := context.WithCancelCause(ctx)
	out, err := o.get(ctx, o.request("read"), o.key, version, etag)
	if err != nil {
		cancel(nil)
		return nil, pin{}, err
	}
	now := pin{
		version: aws.ToString(out.VersionId), etag: aws.ToString(out.ETag),
		size: aws.ToInt64(out.ContentLength), modified: aws.ToTime(out.LastModified),
	}
	in := backend.NewIncoming(ctx, cancel, out.Body, backend.IncomingOptions{Address: o.address, Size: now.size, Stall: o.bucket.timeout, Describe: plainwords.Describe})
	if out.ContentLength == nil {
		_ = in.Close() // not read
		return nil, pin{}, fmt.Errorf("cannot read %q: the server does not report its length, so a truncated download would go unnoticed", o.address)
	}
	return in, now, nil
}

// Check sends HEAD for the object. It asks for the current version, or the version in the
// address: anything that is no longer current has changed.
func (o *object) Check(ctx context.Context, v backend.Version) error {
	was, err := parsePin(v.ID)
	if err != nil {
		return err
	}
	head, err := o.head(ctx, o.request("access"))
	if err != nil {
		return o.sinceRead(err)
	}
	return pinOf(head).compare(o.address, was)
}

// request returns a request for the object itself.
func (o *object) request(doing string) request {
	action := "s3:GetObject"
	if o.version != "" {
		action = "s3:GetObjectVersion"
	}
	return request{doing: doing, object: o.address, action: action}
}

// get reads the object at key, with the customer's key if there is one. A bucket may hold
// objects with and without that key, and S3 refuses the key for the latter.
func (o *object) get(ctx context.Context, r request, key, version, etag string) (*awss3.GetObjectOutput, error) {
	in := &awss3.GetObjectInput{
		Bucket: &o.bucket.name, Key: &key,
		VersionId: filled(version), IfMatch: filled(etag),
	}
	with := func(sse *customerKey) (*awss3.GetObjectOutput, error) {
		if sse != nil {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = sse.algorithm, sse.key, sse.md5
		} else {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = nil, nil, nil
		}
		return ask(ctx, o.bucket, r, func(here ...func(*awss3.Options)) (*awss3.GetObjectOutput, error) {
			return o.bucket.client.GetObject(ctx, in, here...)
		})
	}
	return withCustomerKey(o.bucket.sse, r, with)
}

// head sends HEAD for the object in the address. A response to HEAD has no body, so after
// an error the reason is requested with GET.
func (o *object) head(ctx context.Context, r request) (*awss3.HeadObjectOutput, error) {
	out, err := o.headOnly(ctx, r)
	if status := httpStatus(err); status < 300 || status >= 500 {
		return out, err
	}
	got, why := o.get(ctx, r, o.key, o.version, "")
	if why != nil {
		return nil, why
	}
	_ = got.Body.Close() // not needed
	return o.headOnly(ctx, r)
}

// stored sends HEAD for the current version and returns nil if nothing is stored. The
// response does not distinguish a missing object from a missing bucket: see requireBucket.
func (o *object) stored(ctx context.Context) (*awss3.HeadObjectOutput, error) {
	out, err := o.headOnly(ctx, o.request("access"))
	switch status := httpStatus(err); {
	case status == http.StatusNotFound:
		return nil, nil
	case 300 <= status && status < 500:
		return o.head(ctx, o.request("access"))
	}
	return out, err
}

func (o *object) headOnly(ctx context.Context, r request) (*awss3.HeadObjectOutput, error) {
	in := &awss3.HeadObjectInput{Bucket: &o.bucket.name, Key: &o.key, VersionId: filled(o.version)}
	return withCustomerKey(o.bucket.sse, r, func(sse *customerKey) (*awss3.HeadObjectOutput, error) {
		if sse != nil {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = sse.algorithm, sse.key, sse.md5
		} else {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = nil, nil, nil
		}
		return ask(ctx, o.bucket, r, func(here ...func(*awss3.Options)) (*awss3.HeadObjectOutput, error) {
			return o.bucket.client.HeadObject(ctx, in, here...)
		})
	})
}

// withCustomerKey sends the customer's key and, if the server refuses it, repeats the
// request without it. S3 refuses a key for objects encrypted without one, and reports a
// wrong key as access denied.
func withCustomerKey[T any](sse *customerKey, r request, with func(*customerKey) (T, error)) (T, error) {
	out, err := with(sse)
	if status := httpStatus(err); sse == nil || status != http.StatusBadRequest && status != http.StatusForbidden {
		return out, err
	}
	plain, without := with(nil)
	switch {
	case without == nil:
		return plain, nil
	case hasCode(without, backend.KeyDenied) && httpStatus(without) == http.StatusBadRequest:
		// It needs a key, but a different one.
		err = &backend.Error{Address: r.object, Code: backend.KeyDenied, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.object, wrongCustomerKey), Err: err}
	}
	return out, err
}

// sinceRead turns an error about an object read before into a backend.ChangedError, if it
// means that.
func (o *object) sinceRead(err error) error {
	switch {
	case httpStatus(err) == http.StatusPreconditionFailed:
		return &backend.ChangedError{Address: o.address, How: "it was rewritten"}
	case httpStatus(err) == http.StatusNotFound && !hasCode(err, backend.NoContainer):
		return &backend.ChangedError{Address: o.address, Gone: true}
	}
	return err
}

// httpStatus returns the status of the response behind err, or 0.
func httpStatus(err error) int {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// filled returns a pointer to s, or nil if s is empty.
func filled(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
