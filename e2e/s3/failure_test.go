package s3_test

import (
	"errors"
	"testing"

	"tfhaul/source"
)

func wantS3Error(t *testing.T, err error, code string) {
	t.Helper()
	var e *source.S3Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error %v\nwant an *S3Error with the code %s", err, code)
	}
}
