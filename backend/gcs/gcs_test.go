package gcs

import (
	"net/http/httptest"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/fixtures/cloudstorage"
)

// A real server, and the real terraform, are in e2e/gcs.

// environ is an environment with credentials and nothing of this machine.
func environ(more ...string) []string {
	return append([]string{tokenVariable + "=ya29.of-the-test", "HOME=/nonexistent"}, more...)
}

// start serves a fake server with the bucket acme, and returns the parameter that names it.
func start(t *testing.T, s *cloudstorage.Server, versioned bool) (endpoint string) {
	t.Helper()
	s.AddBucket("acme", versioned)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return "?endpoint=" + server.URL + "/storage/v1/"
}

func kind(more ...string) backend.Kind { return Kind(backend.Connection{Environ: environ(more...)}) }

func openTarget(t *testing.T, address string, more ...string) backend.Target {
	t.Helper()
	target, err := kind(more...).Target.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

func put(s *cloudstorage.Server, key, text string) int64 {
	return s.Put("acme", cloudstorage.Object{Name: key, Text: []byte(text), ContentType: contentType})
}

func TestGCSIsABackend(t *testing.T) {
	for name, versioned := range map[string]bool{"unversioned": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			backendtest.Suite(t, kind(), func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
				s := &cloudstorage.Server{PageSize: 2}
				endpoint := start(t, s, versioned)
				for key, data := range files {
					put(s, key, string(data))
				}
				return "gs://acme/" + endpoint, func(key string, data []byte) {
					if data == nil {
						s.Remove("acme", key)
						return
					}
					put(s, key, string(data))
				}
			})
		})
	}
}

func TestGCSIsATarget(t *testing.T) {
	for name, tt := range map[string]struct {
		versioned bool
		prefix    string
	}{"unversioned": {false, ""}, "versioned": {true, ""}, "below a prefix": {false, "live/"}} {
		t.Run(name, func(t *testing.T) {
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				return openTarget(t, "gs://acme/"+tt.prefix+start(t, &cloudstorage.Server{PageSize: 1}, tt.versioned)), "network/default.tfstate"
			})
		})
	}
}

func TestGCSHoldsCopies(t *testing.T) {
	for name, versioned := range map[string]bool{"unversioned": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			backendtest.Objects(t, func(t *testing.T) backend.Objects {
				return openTarget(t, "gs://acme/backup/"+start(t, &cloudstorage.Server{}, versioned)).(backend.Objects)
			})
		})
	}
}
