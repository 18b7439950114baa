package s3

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// maxObject is how much S3 accepts in one request.
const maxObject = 5 << 30

// Write stores the state in one request, on the condition that the object is still the one
// that was read, or still does not exist. If there is a table, it then stores the digest.
func (w *writer) Write(ctx context.Context, p backend.Write) (*backend.Version, error) {
	if !w.held {
		return nil, w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	if p.Size > maxObject {
		return nil, w.failed(backend.Failed, fmt.Sprintf("the state has %d bytes, and S3 accepts at most %d GiB at a time", p.Size, maxObject>>30), nil)
	}
	put, was, err := w.input(ctx, &p)
	if err != nil {
		return nil, err
	}
	out, err := w.send(ctx, &p, put)
	if err != nil {
		return w.afterRefusal(ctx, &p, err)
	}
	stored := pin{version: aws.ToString(out.VersionId), etag: aws.ToString(out.ETag), size: p.Size}
	if stored.etag == "" || stored.numbered() && stored.version == was.version {
		return nil, w.failed(backend.Ambiguous, "the response describes no new version", errors.New("an earlier response, or none of S3's"))
	}
	return w.stored(ctx, &p, stored)
}

// stored stores the digest of the object that was written and returns its version. If that
// fails, Unlock tries again.
func (w *writer) stored(ctx context.Context, p *backend.Write, at pin) (*backend.Version, error) {
	if w.target.bucket.table != nil {
		w.doubtful = w.state.setDigest(backend.WithSending(ctx, p.Sending), p.MD5) != nil
	}
	v, _ := w.target.version(ctx, w.state.key, at) // with an error, Kept is unknown, and false
	v.Serial = p.Serial
	return v, nil
}

func (w *writer) failed(code backend.Code, why string, err error) error {
	return &backend.Error{Address: w.state.address, Code: code, Answer: why, Err: err, Message: fmt.Sprintf("cannot write %q: %s", w.state.address, why)}
}

// input returns the request without its body, and the version that it replaces.
func (w *writer) input(ctx context.Context, p *backend.Write) (*awss3.PutObjectInput, pin, error) {
	sum, err := hex.DecodeString(p.MD5)
	if err != nil {
		return nil, pin{}, fmt.Errorf("the MD5 %q is not in hex", p.MD5)
	}
	in := &awss3.PutObjectInput{
		Bucket: &w.target.bucket.name, Key: &w.state.key, ContentType: aws.String("application/json"),
		ContentLength: &p.Size, ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum)),
	}
	asked := w.target.bucket.encrypt(in)
	if p.Was == nil {
		in.IfNoneMatch = aws.String("*")
		return in, pin{}, nil
	}
	_, was, err := parseVersionID(p.Was.ID)
	if err != nil {
		return nil, pin{}, err
	}
	in.IfMatch = &was.etag
	if !asked {
		head, err := w.state.stored(ctx)
		if err != nil {
			return nil, pin{}, err
		}
		if head != nil {
			encryptLike(in, head)
		}
	}
	return in, was, nil
}

// A state is sent again if the server asks to slow down, after a pause that doubles.
const (
	throttledAttempts = 4
	firstThrottle     = time.Second
)

// send sends the state. It repeats only what the server has refused because of its load.
func (w *writer) send(ctx context.Context, p *backend.Write, in *awss3.PutObjectInput) (*awss3.PutObjectOutput, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	pause := firstThrottle
	for attempt := 1; ; attempt++ {
		out, err := w.sendOnce(ctx, p, in)
		if !isThrottled(err) {
			return out, err
		}
		if attempt == throttledAttempts {
			return nil, w.failed(backend.RateLimited, "the server still asks to slow down after several attempts: try again with a lower --parallelism", err)
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return nil, err
		}
		pause *= 2
	}
}

// sendOnce sends the state once. An interrupt ends the reading of the state, and without
// its last byte the request has no effect. Once the request has all bytes, sendOnce waits
// for the response.
func (w *writer) sendOnce(ctx context.Context, p *backend.Write, in *awss3.PutObjectInput) (*awss3.PutObjectOutput, error) {
	landed, cancel := backend.Landing(ctx)
	defer cancel()
	b := w.target.bucket
	var sent bool
	out, err := ask(landed, b, w.request(), func(here ...func(*awss3.Options)) (*awss3.PutObjectOutput, error) {
		// The response may take as long as the last of the request.
		watching, progress, stop := backend.Watched(landed, 2*b.timeout)
		defer stop()
		body := backend.NewOutgoing(ctx, p, progress)
		defer func() { _ = body.Close() }() // only read
		in.Body = body
		out, err := b.client.PutObject(backend.WithSending(watching, p.Sending), in, append(here, b.wire.once, streamed)...)
		sent = body.Complete()
		if err != nil && watching.Err() != nil && landed.Err() == nil {
			err = &backend.WordedError{Text: context.Cause(watching).Error(), Err: err}
		}
		return out, err
	})
	if err == nil || !sent {
		return out, err
	}
	switch status := httpStatus(err); {
	case status == 0 && errors.As(err, new(*backend.UnsentError)):
	case status < 300, status >= 500 && status != http.StatusNotImplemented && !isThrottled(err):
		w.sent, w.doubtful = true, true
		return nil, w.failed(backend.Ambiguous, "the response to the upload was lost or unclear", err)
	}
	return nil, err
}

func (w *writer) request() request {
	return request{doing: "write", object: w.state.address, action: "s3:PutObject"}
}

// streamed signs a request without reading its body first. The signature covers the MD5 of
// the body, which the server checks.
func streamed(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

// isThrottled reports whether the server refused a request only because of its load.
func isThrottled(err error) bool {
	code, _ := apiError(err)
	switch code {
	case "SlowDown", "ServiceUnavailable", "ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded":
		return true
	}
	return false
}

// afterRefusal returns what a refused write means. If an earlier write may have taken
// effect, the object may have changed because it did.
func (w *writer) afterRefusal(ctx context.Context, p *backend.Write, refused error) (*backend.Version, error) {
	switch httpStatus(refused) {
	case http.StatusPreconditionFailed, http.StatusConflict:
	case http.StatusNotFound:
		if p.Was == nil || hasCode(refused, backend.NoContainer) {
			return nil, refused
		}
	default:
		return nil, unconditional(w.state, refused)
	}
	head, err := w.state.stored(ctx)
	switch {
	case err != nil && w.sent:
		return nil, w.failed(backend.Ambiguous, "the object changed, and cannot be read", errors.Join(refused, err))
	case err != nil:
	case head == nil && p.Was == nil:
		return nil, w.failed(backend.Failed, "the server refuses to create the object, although it does not exist; it may treat a deleted object as an existing one. Remove its delete marker, or use another key", refused)
	case head != nil: // a proxy may have sent the request twice
		ours, err := w.holds(ctx, pinOf(head), p)
		switch {
		case err != nil && w.sent:
			return nil, w.failed(backend.Ambiguous, "the object changed, and cannot be read", errors.Join(refused, err))
		case ours:
			return w.stored(ctx, p, pinOf(head))
		}
	}
	return nil, w.failed(backend.Changed, "another program wrote it meanwhile; nothing was stored", nil)
}

// holds reports whether a version has the bytes to be sent.
func (w *writer) holds(ctx context.Context, at pin, p *backend.Write) (bool, error) {
	if at.size != p.Size {
		return false, nil
	}
	_, sum, err := w.digest(ctx)
	return sum == p.MD5, err
}

// digest reads the current object and returns its entity tag and MD5; "" if nothing is stored.
func (w *writer) digest(ctx context.Context) (etag, sum string, err error) {
	in, now, err := w.state.open(ctx, "", "")
	if hasCode(err, backend.NoState) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	hash := md5.New()
	_, err = io.Copy(hash, in)
	if err = cmp.Or(err, in.Close()); err != nil {
		return "", "", err
	}
	return now.etag, hex.EncodeToString(hash.Sum(nil)), nil
}

// repairDigest gives the table the digest of the object, if they may differ because a
// process ended, or lost a response, in between. Until then Terraform refuses the state.
func (w *writer) repairDigest(ctx context.Context) error {
	if !w.doubtful || w.target.bucket.table == nil {
		return nil
	}
	etag, sum, err := w.digest(ctx)
	if err != nil {
		return fmt.Errorf("cannot compare the object with its digest: %w", err)
	}
	if etag == "" { // Terraform would refuse a missing state that has a digest
		if err := w.state.removeDigest(ctx); err != nil {
			return err
		}
	} else {
		// A digest that is not an MD5 is replaced like any other wrong one.
		if now, _ := w.state.Digest(ctx); now != sum {
			if err := w.state.setDigest(ctx, sum); err != nil {
				return err
			}
		}
	}
	w.doubtful = false
	return nil
}

// checkConditions makes sure, once for each target, that the server does not ignore the
// conditions of a write. It tries on our own lock, which it writes as it is.
func (w *writer) checkConditions(ctx context.Context) error {
	place, isObject := w.places[0].(*lockObject)
	w.target.mu.Lock()
	defer w.target.mu.Unlock()
	if !isObject || w.target.conditions != nil { // in the table, conditions always work
		return nil
	}
	for _, condition := range []func(*awss3.PutObjectInput){
		func(in *awss3.PutObjectInput) { in.IfNoneMatch = aws.String("*") },
		func(in *awss3.PutObjectInput) { in.IfMatch = aws.String(`"00000000000000000000000000000000"`) },
	} {
		in := &awss3.PutObjectInput{
			Bucket: &w.target.bucket.name, Key: aws.String(place.key()),
			ContentType: aws.String("application/json"), ContentMD5: aws.String(contentMD5(w.text)),
		}
		w.target.bucket.encrypt(in)
		condition(in)
		_, err := place.put(ctx, in, w.text)
		switch status := httpStatus(err); {
		case err == nil:
			return w.failed(backend.Failed, noConditions, nil)
		case status != http.StatusPreconditionFailed && status != http.StatusConflict:
			return unconditional(w.state, err)
		}
	}
	met := true
	w.target.conditions = &met
	return nil
}

// noConditions explains what a server lacks.
const noConditions = "the server ignores the conditions of conditional writes (If-Match, If-None-Match), so tfhaul could overwrite another program's write without noticing; use a server, or a version of it, that supports them"

// unconditional explains the refusal of a server that does not know conditional writes.
func unconditional(o *object, err error) error {
	code, said := apiError(err)
	if httpStatus(err) == http.StatusNotImplemented || code == "NotImplemented" || code == "InvalidArgument" && strings.Contains(said, "If-") {
		return &backend.Error{Address: o.address, Code: backend.Failed, Err: err,
			Message: fmt.Sprintf("cannot write %q: the server does not support conditional writes (If-Match, If-None-Match), so tfhaul could overwrite another program's write without noticing; use a server that supports them", o.address)}
	}
	return err
}
