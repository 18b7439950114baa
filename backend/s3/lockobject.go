package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// lockExt follows the key of a state in the key of its lock
// (internal/backend/remote-state/s3, use_lockfile = true).
const lockExt = ".tflock"

// listedLockFresh is how long to rely on the locks that a search listed: long enough to
// plan hundreds of states without a request for each, too short for a haul's later moves.
const listedLockFresh = time.Minute

// Holder reads the object <key>.tflock and, with ?lock-table=, the item in the DynamoDB
// table. Within a minute of the search that found this state, it uses the search's listing
// instead of requesting the object.
func (o *object) Holder(ctx context.Context) (*backend.Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	recent := !o.lockListed && !o.listed.IsZero() && time.Since(o.listed) <= listedLockFresh
	if !o.bucket.noLockFile && !recent {
		if held, err := (&lockObject{state: o}).read(ctx); held != nil || err != nil {
			return held.lockOrNil(), err
		}
	}
	if o.bucket.table == nil {
		return nil, nil
	}
	held, err := (&lockItem{table: o.bucket.table, state: o}).read(ctx)
	return held.lockOrNil(), err
}

// heldLock is a lock that was found, with a tag to recognize it later.
type heldLock struct {
	lock backend.Lock
	tag  string // an object's entity tag, or an item's description
	text []byte // as stored
	// unread is why the description could not be read.
	unread error
}

// readWhole is read, but fails if the description of a lock cannot be read: the lock may be
// ours.
func readWhole(ctx context.Context, place lockPlace) (*heldLock, error) {
	held, err := place.read(ctx)
	if err == nil && held != nil && held.unread != nil {
		return nil, fmt.Errorf("cannot read the lock %q: %w", held.lock.Path, held.unread)
	}
	return held, err
}

func (h *heldLock) lockOrNil() *backend.Lock {
	if h == nil {
		return nil
	}
	return &h.lock
}

// lockObject is the object <key>.tflock.
type lockObject struct{ state *object }

func (l *lockObject) key() string { return l.state.key + lockExt }

// path returns the URL of the lock, without the parameters in the state's address.
func (l *lockObject) path() string { return (&location{bucket: l.state.bucket.name}).name(l.key()) }

func (l *lockObject) request(doing, action string) request {
	return request{doing: doing, object: l.path(), action: action}
}

// read returns nil if there is no lock.
func (l *lockObject) read(ctx context.Context) (*heldLock, error) {
	out, err := l.state.get(ctx, l.request("read the lock", "s3:GetObject"), l.key(), "", "")
	if hasCode(err, backend.NoState) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether the state is locked: %w", err)
	}
	defer func() { _ = out.Body.Close() }() // only read
	held := &heldLock{lock: backend.Lock{Path: l.path()}, tag: aws.ToString(out.ETag)}
	text, err := io.ReadAll(io.LimitReader(out.Body, backend.MaxLockInfo))
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("cannot read the lock %q: %w", l.path(), context.Cause(ctx))
		}
		held.unread = err
		held.lock.Info = "its description cannot be read: " + plainwords.Describe(err)
		return held, nil
	}
	held.text = text
	held.lock.Describe(text)
	return held, nil
}

func (l *lockObject) write(ctx context.Context, description []byte) (maybe bool, err error) {
	in := &awss3.PutObjectInput{
		Bucket: &l.state.bucket.name, Key: aws.String(l.key()),
		Body: bytes.NewReader(description), IfNoneMatch: aws.String("*"),
		ContentType: aws.String("application/json"), ContentMD5: aws.String(contentMD5(description)),
	}
	if err := l.encrypt(ctx, in); err != nil {
		return false, err
	}
	_, err = l.put(ctx, in, description)
	switch httpStatus(err) {
	case http.StatusPreconditionFailed, http.StatusConflict:
		return true, errLockHeld
	}
	return mayHaveHappened(err), err
}

// put writes the object.
func (l *lockObject) put(ctx context.Context, in *awss3.PutObjectInput, description []byte) (*awss3.PutObjectOutput, error) {
	return ask(ctx, l.state.bucket, l.request("write the lock", "s3:PutObject"), func(here ...func(*awss3.Options)) (*awss3.PutObjectOutput, error) {
		// Every attempt sends the body from its beginning.
		in.Body = bytes.NewReader(description)
		return l.state.bucket.client.PutObject(ctx, in, append(here, l.state.bucket.wire.once)...)
	})
}

// mayHaveHappened reports whether a failed request may have taken effect: the server did
// not clearly refuse it, and it was not stopped on this side.
func mayHaveHappened(err error) bool {
	var e *backend.Error
	_, withheld := errors.AsType[*backend.UnsentError](err)
	if err == nil || withheld || errors.As(err, &e) && e.Everywhere() {
		return false
	}
	status := httpStatus(err)
	return status < 300 || status >= 500 && status != http.StatusNotImplemented
}

// encrypt requests the encryption that the user asked for, or that of the state that we
// read, as Terraform does. Many buckets refuse any other, and Terraform could not read a
// lock encrypted differently.
func (l *lockObject) encrypt(ctx context.Context, in *awss3.PutObjectInput) error {
	if l.state.bucket.encrypt(in) || l.state.bucket.wire != nil {
		return nil
	}
	head, err := l.state.head(ctx, l.state.request("access"))
	if err != nil {
		return err
	}
	encryptLike(in, head)
	return nil
}

// remove deletes the lock if it still has this tag. If the server has no conditional
// deletes, only the caller's read just before protects another user's lock.
func (l *lockObject) remove(ctx context.Context, tag string) error {
	in := &awss3.DeleteObjectInput{Bucket: &l.state.bucket.name, Key: aws.String(l.key()), IfMatch: filled(tag)}
	remove := func() error {
		_, err := ask(ctx, l.state.bucket, l.request("delete the lock", "s3:DeleteObject"), func(here ...func(*awss3.Options)) (*awss3.DeleteObjectOutput, error) {
			return l.state.bucket.client.DeleteObject(ctx, in, append(here, l.state.bucket.wire.once)...)
		})
		return err
	}
	err := remove()
	switch httpStatus(err) {
	case http.StatusNotImplemented, http.StatusBadRequest:
		in.IfMatch = nil
		err = remove()
	case http.StatusPreconditionFailed, http.StatusConflict:
		return errLockHeld
	case http.StatusNotFound:
		return nil
	}
	return err
}

// lift returns the command that removes the lock by hand.
func (l *lockObject) lift() string {
	b := l.state.bucket
	var c strings.Builder
	fmt.Fprintf(&c, "aws s3 rm %s", plainwords.ShellWord("s3://"+b.name+"/"+l.key()))
	if b.endpoint != "" {
		fmt.Fprintf(&c, " --endpoint-url %s", plainwords.ShellWord(b.endpoint))
	}
	if b.profile != "" {
		fmt.Fprintf(&c, " --profile %s", plainwords.ShellWord(b.profile))
	}
	return c.String()
}

func contentMD5(b []byte) string {
	sum := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}
