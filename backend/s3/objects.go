package s3

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/backend"
)

// GetObject implements backend.Objects.
func (t *target) GetObject(ctx context.Context, name string) (io.ReadCloser, *backend.Version, error) {
	o := t.object(t.key(name))
	in, at, err := o.open(ctx, "", "")
	if err != nil {
		return nil, nil, err
	}
	return in, &backend.Version{ID: at.versionID(o.key), Size: at.size, Created: at.modified}, nil
}

// PutObject implements backend.Objects. It sends the file in one request, with a condition.
// Neither a lock nor a digest in a table belongs to it.
func (t *target) PutObject(ctx context.Context, name string, o backend.Object) (*backend.Version, error) {
	if t.bucket.table != nil {
		return nil, &backend.Error{Address: t.Address(name), Code: backend.Failed,
			Message: fmt.Sprintf("cannot write %q: the table in %s would record its digest; leave %[2]s out", t.Address(name), paramLockTable)}
	}
	w := &writer{target: t, state: t.object(t.key(name)), name: name}
	p := &backend.Write{Was: o.Was, MD5: o.MD5, Size: o.Size, Open: o.Open, Sending: func(context.Context) error { return nil }}
	in, _, err := w.input(ctx, p)
	if err != nil {
		return nil, err
	}
	out, err := w.send(ctx, p, in)
	if err != nil {
		return w.afterRefusal(ctx, p, err)
	}
	stored := pin{version: aws.ToString(out.VersionId), etag: aws.ToString(out.ETag), size: o.Size}
	return &backend.Version{ID: stored.versionID(w.state.key), Size: o.Size, MD5: o.MD5}, nil
}

// RemoveObject implements backend.Objects. In a versioned bucket the version stays.
func (t *target) RemoveObject(ctx context.Context, name string) error {
	o := t.object(t.key(name))
	r := o.request("remove")
	r.action = "s3:DeleteObject"
	_, err := ask(ctx, t.bucket, r, func(here ...func(*awss3.Options)) (*awss3.DeleteObjectOutput, error) {
		return t.bucket.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &t.bucket.name, Key: &o.key}, here...)
	})
	if httpStatus(err) == http.StatusNotFound && !hasCode(err, backend.NoContainer) {
		return nil
	}
	return err
}
