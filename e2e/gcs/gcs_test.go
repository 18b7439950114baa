package gcs_test

import (
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

func TestGCSIsABackend(t *testing.T) {
	for name, versioned := range map[string]bool{"unversioned": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			backendtest.Suite(t, kind(), func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
				b := newBucket(t, versioned)
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

func openTarget(t testing.TB, address string) backend.Target {
	t.Helper()
	target, err := kind().Target.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

func TestGCSIsATarget(t *testing.T) {
	for name, tt := range map[string]struct {
		versioned bool
		prefix    string
	}{"unversioned": {false, ""}, "versioned": {true, ""}, "below a prefix": {false, "live/"}} {
		t.Run(name, func(t *testing.T) {
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				return openTarget(t, newBucket(t, tt.versioned).ref(tt.prefix)), "network/default.tfstate"
			})
		})
	}
}

func TestGCSHoldsCopies(t *testing.T) {
	for name, versioned := range map[string]bool{"unversioned": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			backendtest.Objects(t, func(t *testing.T) backend.Objects {
				return openTarget(t, newBucket(t, versioned).ref("backup/")).(backend.Objects)
			})
		})
	}
}
