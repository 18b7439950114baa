package azurerm

import (
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/fixtures/blobstorage"
)

// A real server, and the real terraform, are in e2e/azurerm.

// secretKey is the account's key in tests: it must not appear in any output.
const secretKey = "c2VjcmV0LWtleS1vZi10aGUtdGVzdHMtd2l0aC02NC1ieXRlcy10by1maW5kLWl0LWFnYWlu"

// environ is an environment with credentials and nothing of this machine.
func environ(more ...string) []string {
	return append([]string{keyVariable + "=" + secretKey, "HOME=/nonexistent"}, more...)
}

// start serves a fake server with the container acme, and returns the parameter that names it.
func start(t *testing.T, s *blobstorage.Server, versioned bool) (endpoint string) {
	t.Helper()
	s.AddContainer("acme", versioned)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return "?endpoint=" + server.URL
}

const acme = "azurerm://account/acme/"

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

func put(s *blobstorage.Server, key, text string) {
	s.Put("acme", blobstorage.Blob{Name: key, Text: []byte(text), ContentType: contentType, Metadata: map[string]string{"owner": "ann"}})
}

// lockLikeTerraform gives a blob a lease with this description.
func lockLikeTerraform(s *blobstorage.Server, key, id, description string) {
	s.Change("acme", key, func(b *blobstorage.Blob) {
		b.Lease, b.Metadata[lockMetadata] = id, base64.StdEncoding.EncodeToString([]byte(description))
	})
}

const terraformLease = "6d3f1111-2222-3333-4444-555566667777"

func TestAzurermIsABackend(t *testing.T) {
	for name, versioned := range map[string]bool{"unversioned": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			backendtest.Suite(t, kind(), func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
				s := &blobstorage.Server{PageSize: 2}
				endpoint := start(t, s, versioned)
				for key, data := range files {
					put(s, key, string(data))
				}
				for key, data := range files { // the lock of the gcs backend stands for the lease
					if state, ok := strings.CutSuffix(key, ".tflock"); ok && s.Get("acme", state+backend.StateExt) != nil {
						lockLikeTerraform(s, state+backend.StateExt, terraformLease, strings.Replace(string(data), `"6d3f"`, `"`+terraformLease+`"`, 1))
					}
				}
				return acme + endpoint, func(key string, data []byte) {
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

func TestAzurermIsATarget(t *testing.T) {
	for name, tt := range map[string]struct {
		versioned bool
		prefix    string
	}{"unversioned": {false, ""}, "versioned": {true, ""}, "below a prefix": {false, "live/"}} {
		t.Run(name, func(t *testing.T) {
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				return openTarget(t, acme+tt.prefix+start(t, &blobstorage.Server{PageSize: 1}, tt.versioned)), "network.tfstateenv:prod"
			})
		})
	}
}

func TestAzurermHoldsCopies(t *testing.T) {
	for name, versioned := range map[string]bool{"unversioned": false, "versioned": true} {
		t.Run(name, func(t *testing.T) {
			backendtest.Objects(t, func(t *testing.T) backend.Objects {
				return openTarget(t, acme+"backup/"+start(t, &blobstorage.Server{}, versioned)).(backend.Objects)
			})
		})
	}
}
