// Package s3_test tests s3:// sources against a real S3 server (versitygw, on loopback, started by
// the tests), the real terraform if it is on PATH, and DynamoDB's protocol (dynalite) if node and
// npm are installed. It is a module of its own, so that none of this is in the main go.mod. Run it
// with
//
//	cd e2e/s3 && go test ./...
package s3_test

import (
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/backend/s3"
)

func TestS3IsABackend(t *testing.T) {
	for _, kind := range []struct {
		name string
		make func(testing.TB) *bucket
	}{
		{"unversioned", gateway.bucket},
		{"versioned", gateway.versionedBucket},
	} {
		t.Run(kind.name, func(t *testing.T) {
			backendtest.Suite(t, s3.Kind(backend.Connection{}), func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
				b := kind.make(t)
				for key, data := range files {
					b.put(key, data)
				}
				return b.ref(""), func(key string, data []byte) {
					if data == nil {
						b.remove(key)
						return
					}
					b.put(key, data)
				}
			})
		})
	}
}
