package s3_test

import (
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/backend/s3"
)

// openTarget opens a bucket or prefix as a target.
func openTarget(t testing.TB, address string) backend.Target {
	t.Helper()
	target, err := s3.Kind(backend.Connection{}).Target.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

func TestS3IsATarget(t *testing.T) {
	for _, tt := range []struct {
		name   string
		make   func(testing.TB) *bucket
		prefix string
		params func(*testing.T) []string
	}{
		{"unversioned", gateway.bucket, "", nil},
		{"below a prefix", gateway.bucket, "states/", nil},
		{"with a table, too", gateway.bucket, "", func(t *testing.T) []string { return []string{"lock-table", newLockTable(t).name} }},
		// versitygw refuses to create a lock object again after it was deleted.
		{"versioned, locked in a table", gateway.versionedBucket, "", func(t *testing.T) []string {
			return []string{"lock-file", "false", "lock-table", newLockTable(t).name}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var params []string
			if tt.params != nil {
				params = tt.params(t)
			}
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				return openTarget(t, tt.make(t).ref(tt.prefix, params...)), "network/terraform.tfstate"
			})
		})
	}
}

func TestS3HoldsCopies(t *testing.T) {
	for name, make := range map[string]func(testing.TB) *bucket{"unversioned": gateway.bucket, "versioned": gateway.versionedBucket} {
		t.Run(name, func(t *testing.T) {
			backendtest.Objects(t, func(t *testing.T) backend.Objects { return openTarget(t, make(t).ref("backup/")).(backend.Objects) })
		})
	}
}
