package migrate

import (
	"context"
	"errors"
	"io"

	"tfhaul/plainwords"
	"tfhaul/statefile"
)

// divergence returns how the source and the workspace differ when both have the same serial. It
// downloads both again, which only this message needs.
func (x *execution) divergence(ctx context.Context) (statefile.Difference, error) {
	if x.read.snapshot.Serial != x.held.snapshot.Serial { // only the serial that was announced is the same
		return statefile.Difference{State: true}, nil
	}
	ours, err := x.sourceContent(ctx)
	if err != nil {
		return statefile.Difference{}, err
	}
	var theirs *statefile.Content
	err = x.download(ctx, x.held.version, func(body io.Reader) (err error) {
		theirs, err = statefile.ReadContent(body)
		return err
	})
	switch {
	case err != nil:
		return statefile.Difference{}, err
	case ours.MD5 != x.read.snapshot.MD5 || theirs.MD5 != x.held.snapshot.MD5:
		return statefile.Difference{}, errors.New("one of the two states changed meanwhile")
	}
	return ours.Difference(theirs), nil
}

// sourceContent digests the source's state.
func (x *execution) sourceContent(ctx context.Context) (*statefile.Content, error) {
	body, _, err := x.Object.Open(ctx, x.read.version())
	if err != nil {
		return nil, err
	}
	content, err := statefile.ReadContent(body)
	if closed := body.Close(); err == nil {
		err = closed
	}
	return content, err
}

// diverged refuses to replace a different state with the same serial, and explains how the two
// differ. choices tells the user what to do about it.
func (x *execution) diverged(ctx context.Context, choices string) error {
	serial := x.read.snapshot.Serial
	difference, err := x.divergence(ctx)
	var message string
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		message = x.sayf("The workspace and the source both have serial %d but differ. Their contents could not be compared: %s Decide which is correct.%s", serial, plainwords.Ended(err.Error()), choices)
	case difference.State:
		message = x.sayf("The workspace and the source both have serial %d but different contents. Decide which is correct.%s", serial, choices)
	default:
		message = x.sayf("The workspace holds serial %d with %s. No resource or output differs. Keep the workspace's state.%s", serial, difference.Says(), choices)
	}
	return &stop{code: CodeDiverged, message: message}
}
