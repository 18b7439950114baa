// Package s3 reads states from S3 and servers that are compatible with it. It knows the
// layout of Terraform's s3 backend, its locks, as objects and in DynamoDB, and the
// credentials and encryption keys that it uses.
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
	version string // the version that the address asks for; "" for the current one
	address string
	place   backend.Place

	// What the search that found it saw of its lock; zero for an object that was named itself.
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

// Aliases returns the URL without the parameters that say how the bucket is reached.
func (o *object) Aliases() []string { return []string{"s3://" + o.bucket.name + "/" + o.key} }

// Open reads by GetObject. S3 replaces objects whole, so what is read is never torn; a pinned read asks
// for the version and that it still has the pinned entity tag, because the version of an
// unversioned bucket, "null", is replaced in place.
func (o *object) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	version, was := o.version, pin{}
	if v != nil {
		var err error
		if was, err = parsePin(v.ID); err != nil {
			return nil, backend.Version{}, err
		}
		version = cmp.Or(was.version, version)
	}
	// The body is read after Open returned: its context ends with the body, or with ctx.
	ctx, cancel := context.WithCancelCause(ctx)
	out, err := o.get(ctx, o.request("read"), o.key, version, was.etag)
	if err != nil {
		cancel(nil)
		if v != nil {
			err = o.sinceRead(err)
		}
		return nil, backend.Version{}, err
	}
	now := pin{
		version: aws.ToString(out.VersionId), etag: aws.ToString(out.ETag),
		size: aws.ToInt64(out.ContentLength), modified: aws.ToTime(out.LastModified),
	}
	in := &body{ctx: ctx, cancel: cancel, in: out.Body, address: o.address, size: now.size, stall: o.bucket.timeout}
	if out.ContentLength == nil {
		_ = in.Close() // it was not read
		return nil, backend.Version{}, fmt.Errorf("cannot read %q: the server does not say how long it is, so a cut could not be noticed", o.address)
	}
	current := now.asVersion()
	if v != nil {
		// A server that ignores conditions gives whatever there is.
		if err := now.compare(o.address, was); err != nil {
			_ = in.Close() // it was not read
			return nil, backend.Version{}, err
		}
		current.MD5 = v.MD5
	}
	return in, current, nil
}

// Check asks for the head of the object. It looks at the current version, unless the address
// asks for another: what is not current any more has changed.
func (o *object) Check(ctx context.Context, v backend.Version) error {
	was, err := parsePin(v.ID)
	if err != nil {
		return err
	}
	head, err := o.head(ctx, o.request("look at"))
	if err != nil {
		return o.sinceRead(err)
	}
	now := pin{
		version: aws.ToString(head.VersionId), etag: aws.ToString(head.ETag),
		size: aws.ToInt64(head.ContentLength), modified: aws.ToTime(head.LastModified),
	}
	return now.compare(o.address, was)
}

// request is one about the object itself.
func (o *object) request(doing string) request {
	action := "s3:GetObject"
	if o.version != "" {
		action = "s3:GetObjectVersion"
	}
	return request{doing: doing, object: o.address, action: action}
}

// get asks for the object at key, with the customer's key where there is one. Buckets may hold both
// objects that have it and objects that have not, and S3 refuses it for the latter.
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

// head asks for the head of the object as its name says it. An answer to a HEAD has no body, so where
// one is an error, a GET is asked for the reason.
func (o *object) head(ctx context.Context, r request) (*awss3.HeadObjectOutput, error) {
	in := &awss3.HeadObjectInput{Bucket: &o.bucket.name, Key: &o.key, VersionId: filled(o.version)}
	with := func(sse *customerKey) (*awss3.HeadObjectOutput, error) {
		if sse != nil {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = sse.algorithm, sse.key, sse.md5
		} else {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = nil, nil, nil
		}
		return ask(ctx, o.bucket, r, func(here ...func(*awss3.Options)) (*awss3.HeadObjectOutput, error) {
			return o.bucket.client.HeadObject(ctx, in, here...)
		})
	}
	out, err := withCustomerKey(o.bucket.sse, r, with)
	if status := httpStatus(err); status < 300 || status >= 500 {
		return out, err
	}
	got, why := o.get(ctx, r, o.key, o.version, "")
	if why != nil {
		return nil, why
	}
	_ = got.Body.Close() // nothing of it is wanted
	return withCustomerKey(o.bucket.sse, r, with)
}

// withCustomerKey asks with the customer's key and, where the server refuses that, once more without:
// S3 refuses a key for objects that have none, and calls a wrong one a denied access.
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
		// It wants a key, and not this one.
		err = &backend.Error{Address: r.object, Code: backend.KeyDenied, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.object, wrongCustomerKey), Err: err}
	}
	return out, err
}

// sinceRead makes what the server says of an object that was read before a backend.ChangedError, where it is
// one.
func (o *object) sinceRead(err error) error {
	switch {
	case httpStatus(err) == http.StatusPreconditionFailed:
		return &backend.ChangedError{Address: o.address, How: "it was written anew"}
	case httpStatus(err) == http.StatusNotFound && !hasCode(err, backend.NoContainer):
		return &backend.ChangedError{Address: o.address, Gone: true}
	}
	return err
}

// body is an object's content on its way. What ends before its announced length is an error.
type body struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	in      io.ReadCloser
	address string
	size    int64 // announced
	got     int64
	stall   time.Duration // how long one read may wait for the server's next byte
}

// A stallError ends a body of which no byte came for so long.
type stallError struct{ after time.Duration }

func (e *stallError) Error() string { return fmt.Sprintf("no byte came for %s", e.after) }

func (b *body) Read(p []byte) (int, error) {
	stall := time.AfterFunc(b.stall, func() { b.cancel(&stallError{b.stall}) })
	n, err := b.in.Read(p)
	stall.Stop()
	b.got += int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && b.got == b.size:
		return n, io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return n, brokenOff(b, "the connection was closed", io.ErrUnexpectedEOF)
	case b.ctx.Err() != nil:
		err = context.Cause(b.ctx)
		return n, brokenOff(b, err.Error(), err)
	}
	return n, brokenOff(b, plainwords.Describe(err), err)
}

// brokenOff is the error of a body that ended too early.
func brokenOff(b *body, why string, err error) error {
	return &worded{fmt.Sprintf("reading %q broke off after %d of %d bytes: %s", b.address, b.got, b.size, why), err}
}

// worded is an error in plain words, with the error they are for.
type worded struct {
	text string
	err  error
}

func (w *worded) Error() string { return w.text }
func (w *worded) Unwrap() error { return w.err }

func (b *body) Close() error {
	b.cancel(nil)
	return b.in.Close()
}

// httpStatus is the status of the answer that err comes from, 0 where there was none.
func httpStatus(err error) int {
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// filled is a pointer to s, nil when it is empty.
func filled(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
