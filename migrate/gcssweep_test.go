package migrate_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/gcs"
	"tfhaul/fixtures/cloudstorage"
	"tfhaul/fixtures/testenv"
)

// newGCSBench returns a bench with a bucket and a server of its own.
func newGCSBench(t *testing.T, versioned bool, held []byte) *storeBench {
	b := newEmptyBench(t, "network/default.tfstate")
	b.faults.hangs = true
	store, end := &cloudstorage.Server{}, make(chan struct{})
	store.AddBucket("acme", versioned)
	store.Intercept = func(w http.ResponseWriter, _ *http.Request, op string, answer func() *httptest.ResponseRecorder) {
		b.faults.spoilAnswer(w, op, &spoiled{answer: answer, end: end, refuse: func(fault string) *httptest.ResponseRecorder {
			out := httptest.NewRecorder()
			switch fault {
			case "slow down":
				cloudstorage.Refuse(out, 429, "rateLimitExceeded", "refused by the test")
			case "denied":
				cloudstorage.Refuse(out, 403, "forbidden", "refused by the test")
			default:
				cloudstorage.Refuse(out, 500, "backendError", "refused by the test")
			}
			return out
		}})
	}
	server := httptest.NewServer(store)
	t.Cleanup(func() {
		close(end)
		server.CloseClientConnections()
		server.Close()
	})
	connection := backend.Connection{Environ: []string{"GOOGLE_OAUTH_ACCESS_TOKEN=of-the-sweep"}}
	b.open = func() backend.Target {
		target, err := gcs.Kind(connection).Target.Open(t.Context(), "gs://acme/live/?endpoint="+server.URL)
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	const key = "live/network/default"
	b.put = func(text []byte) { store.Put("acme", cloudstorage.Object{Name: key + ".tfstate", Text: text}) }
	if held != nil {
		b.put(held)
	}
	b.aim(b.open())
	return b
}

// sampledGCS is how many faults there are for each one of the sample.
const sampledGCS = 31

// TestGCSSurvivesEveryFault spoils every request of every kind of move into a bucket of Google
// Cloud Storage.
func TestGCSSurvivesEveryFault(t *testing.T) {
	if testing.Short() {
		t.Skip("sweeps all requests of all moves into buckets")
	}
	ran, of := 0, 0
	t.Run("sweep", func(t *testing.T) {
		for _, versioned := range []bool{false, true} {
			name := fmt.Sprintf("versioned %t", versioned)
			for _, move := range slices.Sorted(maps.Keys(storeMoves)) {
				s := storeMoves[move]
				b := newGCSBench(t, versioned, s.held)
				if r := b.move(t.Context(), s.change); !r.Arrived() {
					t.Fatalf("%s, %s: %+v", name, move, r)
				}
				for k := 1; k <= b.faults.n; k++ {
					for _, f := range s3Faults {
						if of++; !testenv.Full() && of%sampledGCS != 0 {
							continue
						}
						ran++
						t.Run(fmt.Sprintf("%s/%s/%s at request %d", name, move, f, k), func(t *testing.T) {
							t.Parallel()
							b := newGCSBench(t, versioned, s.held)
							b.faults.at, b.faults.fault = k, f
							b.survives(s.held, s.change)
						})
					}
				}
			}
		}
	})
	t.Logf("%d of %d faults were swept", ran, of)
}
