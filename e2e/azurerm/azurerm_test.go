package azurerm_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

const leaseOfTheSuite = "6d3f1111-2222-3333-4444-555566667777"

func TestAzurermIsABackend(t *testing.T) {
	backendtest.Suite(t, kind(), func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
		c := newContainer(t)
		for key, data := range files {
			c.put(key, data)
		}
		for key, data := range files { // the lock of the gcs backend stands for the lease
			state, ok := strings.CutSuffix(key, ".tflock")
			if state += backend.StateExt; ok && files[state] != nil {
				description := strings.Replace(string(data), `"6d3f"`, `"`+leaseOfTheSuite+`"`, 1)
				c.must(201, "PUT", state, "comp=lease", map[string]string{"x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1", "x-ms-proposed-lease-id": leaseOfTheSuite}, nil)
				c.must(200, "PUT", state, "comp=metadata", map[string]string{"x-ms-lease-id": leaseOfTheSuite, "x-ms-meta-terraformlockid": base64.StdEncoding.EncodeToString([]byte(description))}, nil)
			}
		}
		return c.ref(""), func(key string, data []byte) {
			if data == nil {
				c.remove(key)
				return
			}
			c.put(key, data)
		}
	})
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

func TestAzurermIsATarget(t *testing.T) {
	for _, prefix := range []string{"", "live/"} {
		t.Run("below "+prefix, func(t *testing.T) {
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				return openTarget(t, newContainer(t).ref(prefix)), "network.tfstateenv:prod"
			})
		})
	}
}

func TestAzurermHoldsCopies(t *testing.T) {
	backendtest.Objects(t, func(t *testing.T) backend.Objects {
		return openTarget(t, newContainer(t).ref("backup/")).(backend.Objects)
	})
}
