package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/plainwords"
)

// findS3 finds the states that an s3:// URL names. One object is not asked for: whether it exists shows
// when it is read.
func findS3(ctx context.Context, ref string, o FindOptions) (*Listing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u, err := parseS3URL(ref)
	if err != nil {
		return nil, err
	}
	connections := o.Connections
	if connections == nil {
		connections = new(Connections)
	}
	b, err := connections.bucket(ctx, u, o)
	if err != nil {
		return nil, err
	}
	if u.searches() {
		return searchS3(ctx, b, u, o)
	}
	return &Listing{Objects: []Object{newS3Object(b, u, u.key)}}, nil
}

// s3Object is a state in a bucket.
type s3Object struct {
	bucket  *bucket
	key     string
	version string // the version that the name asks for; "" for the current one
	name    string
	place   Place

	// What the search that found it saw of its lock; zero for an object that was named itself.
	listed     time.Time
	lockListed bool
}

func newS3Object(b *bucket, u *s3URL, key string) *s3Object {
	return &s3Object{
		bucket: b, key: key, version: u.params.Get(paramVersion),
		name: u.name(key), place: placeInBucket(u, key),
	}
}

func (o *s3Object) Name() string { return o.name }
func (o *s3Object) Place() Place { return o.place }

// Open reads by GetObject. S3 replaces objects whole, so what is read is never torn; a pinned read asks
// for the version and that it still has the pinned entity tag, because the version of an
// unversioned bucket, "null", is replaced in place.
func (o *s3Object) Open(ctx context.Context, pin *Pin) (io.ReadCloser, Pin, error) {
	version, etag := o.version, ""
	if pin != nil {
		if pin.VersionID != "" {
			version = pin.VersionID
		}
		etag = pin.ETag
	}
	// The body is read after Open returned: its context ends with the body, or with ctx.
	ctx, cancel := context.WithCancelCause(ctx)
	out, err := o.get(ctx, o.request("read"), o.key, version, etag)
	if err != nil {
		cancel(nil)
		if pin != nil {
			err = o.sinceRead(err)
		}
		return nil, Pin{}, err
	}
	now := Pin{
		VersionID: aws.ToString(out.VersionId), ETag: aws.ToString(out.ETag),
		Size: aws.ToInt64(out.ContentLength), ModTime: aws.ToTime(out.LastModified), Opened: time.Now(),
	}
	in := &s3Body{ctx: ctx, cancel: cancel, in: out.Body, name: o.name, size: now.Size, stall: o.bucket.timeout}
	if out.ContentLength == nil {
		_ = in.Close() // it was not read
		return nil, Pin{}, fmt.Errorf("cannot read %q: the server does not say how long it is, so a cut could not be noticed", o.name)
	}
	if pin != nil {
		// A server that ignores conditions gives whatever there is.
		if err := samePin(o.name, *pin, now); err != nil {
			_ = in.Close() // it was not read
			return nil, Pin{}, err
		}
		now.MD5 = pin.MD5
	}
	return in, now, nil
}

// Check asks for the head of the object. It looks at the current version, unless the name asks for
// another: what is not current any more has changed.
func (o *s3Object) Check(ctx context.Context, pin Pin) error {
	head, err := o.head(ctx, o.request("look at"))
	if err != nil {
		return o.sinceRead(err)
	}
	return samePin(o.name, pin, Pin{
		VersionID: aws.ToString(head.VersionId), ETag: aws.ToString(head.ETag),
		Size: aws.ToInt64(head.ContentLength), ModTime: aws.ToTime(head.LastModified),
	})
}

// request is one about the object itself.
func (o *s3Object) request(doing string) request {
	action := "s3:GetObject"
	if o.version != "" {
		action = "s3:GetObjectVersion"
	}
	return request{doing: doing, object: o.name, action: action}
}

// get asks for the object at key, with the customer's key where there is one. Buckets may hold both
// objects that have it and objects that have not, and S3 refuses it for the latter.
func (o *s3Object) get(ctx context.Context, r request, key, version, etag string) (*s3.GetObjectOutput, error) {
	in := &s3.GetObjectInput{
		Bucket: &o.bucket.name, Key: &key,
		VersionId: filled(version), IfMatch: filled(etag),
	}
	with := func(sse *customerKey) (*s3.GetObjectOutput, error) {
		if sse != nil {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = sse.algorithm, sse.key, sse.md5
		} else {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = nil, nil, nil
		}
		return ask(ctx, o.bucket, r, func(here ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
			return o.bucket.client.GetObject(ctx, in, here...)
		})
	}
	return withCustomerKey(o.bucket.sse, r, with)
}

// head asks for the head of the object as its name says it. An answer to a HEAD has no body, so where
// one is an error, a GET is asked for the reason.
func (o *s3Object) head(ctx context.Context, r request) (*s3.HeadObjectOutput, error) {
	in := &s3.HeadObjectInput{Bucket: &o.bucket.name, Key: &o.key, VersionId: filled(o.version)}
	with := func(sse *customerKey) (*s3.HeadObjectOutput, error) {
		if sse != nil {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = sse.algorithm, sse.key, sse.md5
		} else {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = nil, nil, nil
		}
		return ask(ctx, o.bucket, r, func(here ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
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
	case hasCode(without, S3KeyDenied) && httpStatus(without) == http.StatusBadRequest:
		// It wants a key, and not this one.
		err = &S3Error{Name: r.object, Code: S3KeyDenied, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.object, wrongCustomerKey), err: err}
	}
	return out, err
}

// sinceRead makes what the server says of an object that was read before a ChangedError, where it is
// one.
func (o *s3Object) sinceRead(err error) error {
	switch {
	case httpStatus(err) == http.StatusPreconditionFailed:
		return &ChangedError{Name: o.name, How: "it was written anew"}
	case httpStatus(err) == http.StatusNotFound && !hasCode(err, S3NoBucket):
		return &ChangedError{Name: o.name, Gone: true}
	}
	return err
}

// samePin compares what is there now with what was read: nil or a *ChangedError. The entity tag
// decides: it follows the content, while a version may be new without it (versioning switched on) or
// the same (the version "null" is replaced in place).
func samePin(name string, was, now Pin) error {
	changed := func(how string, args ...any) error {
		return &ChangedError{Name: name, How: fmt.Sprintf(how, args...)}
	}
	switch {
	case now.Size != was.Size:
		return changed("size %d, was %d", now.Size, was.Size)
	case now.ETag != "" && was.ETag != "":
		if now.ETag != was.ETag {
			return changed("written %s, was %s", now.ModTime.UTC().Format(time.RFC3339), was.ModTime.UTC().Format(time.RFC3339))
		}
		return nil
	case now.VersionID != was.VersionID:
		return changed("version %s, was %s", now.VersionID, was.VersionID)
	case !now.ModTime.Equal(was.ModTime):
		return changed("written %s, was %s", now.ModTime.UTC().Format(time.RFC3339), was.ModTime.UTC().Format(time.RFC3339))
	}
	return nil
}

// s3Body is an object's content on its way. What ends before its announced length is an error.
type s3Body struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	in     io.ReadCloser
	name   string
	size   int64 // announced
	got    int64
	stall  time.Duration // how long one read may wait for the server's next byte
}

// A stallError ends a body of which no byte came for so long.
type stallError struct{ after time.Duration }

func (e *stallError) Error() string { return fmt.Sprintf("no byte came for %s", e.after) }

func (b *s3Body) Read(p []byte) (int, error) {
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
func brokenOff(b *s3Body, why string, err error) error {
	return &worded{fmt.Sprintf("reading %q broke off after %d of %d bytes: %s", b.name, b.got, b.size, why), err}
}

// worded is an error in plain words, with the error they are for.
type worded struct {
	text string
	err  error
}

func (w *worded) Error() string { return w.text }
func (w *worded) Unwrap() error { return w.err }

func (b *s3Body) Close() error {
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
