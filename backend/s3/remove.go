package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

// CheckRemoval implements backend.Remover: only a conditional delete never removes what
// another program wrote. Under the lock it tries, once for each target, whether the server
// has them: it deletes our own lock on a condition that is not met.
func (w *writer) CheckRemoval(ctx context.Context) error {
	place, isObject := w.places[0].(*lockObject)
	switch {
	case !isObject:
		return w.notRemovable("without a lock file, tfhaul cannot find out whether the server has conditional deletes")
	case !w.held:
		return nil // under the lock
	}
	w.target.mu.Lock()
	defer w.target.mu.Unlock()
	if w.target.deletes {
		return nil
	}
	err := w.deleteIf(ctx, place.request("delete the lock", "s3:DeleteObject"), place.key(), `"00000000000000000000000000000000"`)
	switch status := httpStatus(err); {
	case status == http.StatusPreconditionFailed, status == http.StatusConflict:
		w.target.deletes = true
		return nil
	case err == nil: // it ignored the condition
		w.held = w.take(ctx, place) == nil
	case status != http.StatusNotImplemented && status != http.StatusBadRequest:
		return err
	}
	return w.notRemovable("the server has no conditional deletes (DeleteObject with If-Match), so tfhaul could delete what another program has just written")
}

func (w *writer) notRemovable(why string) error {
	return &backend.Error{Address: w.state.address, Code: backend.NotRemovable, Answer: why, Message: fmt.Sprintf("%q was not deleted: %s. If it is not needed, delete it yourself.", w.state.address, why)}
}

// deleteIf deletes an object that has this entity tag.
func (w *writer) deleteIf(ctx context.Context, r request, key, etag string) error {
	b := w.target.bucket
	in := &awss3.DeleteObjectInput{Bucket: &b.name, Key: &key, IfMatch: aws.String(etag)}
	_, err := ask(ctx, b, r, func(here ...func(*awss3.Options)) (*awss3.DeleteObjectOutput, error) {
		return b.client.DeleteObject(ctx, in, append(here, b.wire.once)...)
	})
	return err
}

// Remove implements backend.Remover. A bucket with versions keeps them, and gets a delete
// marker. The table's digest goes, too: Terraform would refuse the missing state otherwise.
func (w *writer) Remove(ctx context.Context, p backend.Write) error {
	if !w.held || !w.target.deletes {
		return w.failed(backend.NotLocked, "the lock is not held", nil)
	}
	_, was, err := parseVersionID(p.Was.ID)
	if err != nil {
		return err
	}
	ctx, cancel := backend.Landing(ctx)
	defer cancel()
	maybe, pause := false, firstThrottle
	for attempt := 1; ; attempt++ {
		err := w.deleteIf(backend.WithSending(ctx, p.Sending), request{doing: "delete", object: w.state.address, action: "s3:DeleteObject"}, w.state.key, was.etag)
		status := httpStatus(err)
		unmet := status == http.StatusPreconditionFailed || status == http.StatusConflict || status == http.StatusNotFound
		if err != nil && !unmet && !mayHaveHappened(err) && !maybe {
			return err
		}
		maybe = maybe || err != nil && !unmet && !isThrottled(err)
		head, looked := w.state.stored(ctx)
		switch {
		case looked != nil && (err == nil || maybe):
			return w.failed(backend.Ambiguous, "the object cannot be read after the request to delete it", errors.Join(err, looked))
		case looked != nil:
			return looked
		case head == nil && unmet && !maybe:
			return w.failed(backend.Changed, "another program deleted it meanwhile", err)
		case head == nil:
			w.removed(ctx, p, was)
			return nil
		case !pinOf(head).sameTag(was), unmet:
			return w.failed(backend.Changed, "another program wrote it meanwhile; nothing was deleted", err)
		case attempt == throttledAttempts && maybe, err == nil:
			return w.failed(backend.Ambiguous, "the object is still there after the request to delete it", err)
		case attempt == throttledAttempts:
			return w.failed(backend.RateLimited, "the server still asks to slow down after several attempts: try again with a lower --parallelism", err)
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return w.failed(backend.Ambiguous, "the object is still there after the request to delete it", err)
		}
		pause *= 2
	}
}

// removed removes the digest of the object that was deleted. If that fails, Unlock tries
// again.
func (w *writer) removed(ctx context.Context, p backend.Write, was pin) {
	if was.numbered() {
		w.notes = append(w.notes, fmt.Sprintf("The bucket keeps the deleted version %s behind a delete marker.", was.version))
	}
	if w.target.bucket.table != nil {
		w.doubtful = w.state.removeDigest(backend.WithSending(ctx, p.Sending)) != nil
	}
}
