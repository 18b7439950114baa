package migrate_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/s3"
	"tfhaul/fixtures/testenv"
)

// An s3Layout is how a bucket keeps and locks states.
type s3Layout struct {
	name                       string
	versioned, table, lockFile bool
}

var s3Layouts = []s3Layout{
	{name: "unversioned", lockFile: true},
	{name: "versioned", versioned: true, lockFile: true},
	{name: "with a table, too", table: true, lockFile: true},
	{name: "versioned, with a table alone", versioned: true, table: true},
}

// newS3Bench returns a bench with a bucket of its own.
func newS3Bench(t *testing.T, server *s3Server, l s3Layout, held []byte) (*storeBench, *s3Bucket) {
	b := newEmptyBench(t, "network/terraform.tfstate")
	b.faults.hangs = true
	bucket := server.bucket(l.versioned, b.faults)
	params := url.Values{"endpoint": {server.URL}, "path-style": {"true"}}
	if l.table {
		params.Set("lock-table", bucket.name)
	}
	if !l.lockFile {
		params.Set("lock-file", "false")
	}
	address := "s3://" + bucket.name + "/live/?" + params.Encode()
	b.open = func() backend.Target {
		target, err := s3.Kind(backend.Connection{}).Target.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	key := "live/" + b.key
	b.put = func(text []byte) { bucket.put(key, text) }
	b.force = func(reason string) { bucket.forceLock(l, key, reason) }
	b.lockedBy = func() string { return bucket.lockedBy(l, key) }
	if held != nil {
		b.put(held)
	}
	b.aim(b.open())
	b.engine.Clock = b.faults.clock
	return b, bucket
}

// sampledS3 is how many faults there are for each one of the sample.
const sampledS3 = 41

// TestS3SurvivesEveryFault spoils every request of every kind of move into a bucket.
func TestS3SurvivesEveryFault(t *testing.T) {
	if testing.Short() {
		t.Skip("sweeps all requests of all moves into buckets")
	}
	server := startS3(t)
	ran, of := 0, 0
	t.Run("sweep", func(t *testing.T) {
		for _, l := range s3Layouts {
			for _, name := range slices.Sorted(maps.Keys(storeMoves)) {
				s := storeMoves[name]
				b, bucket := newS3Bench(t, server, l, s.held)
				if r := b.move(t.Context(), s.change); !r.Arrived() {
					t.Fatalf("%s, %s: %+v", l.name, name, r)
				}
				checkDigest(t, bucket, l, name != "identical")
				for k := 1; k <= b.faults.n; k++ {
					for _, f := range s3Faults {
						if of++; !testenv.Full() && of%sampledS3 != 0 {
							continue
						}
						ran++
						t.Run(fmt.Sprintf("%s/%s/%s at request %d", l.name, name, f, k), func(t *testing.T) {
							t.Parallel()
							b, bucket := newS3Bench(t, server, l, s.held)
							b.faults.at, b.faults.fault = k, f
							b.survives(s.held, s.change)
							if b.faults.rival == nil {
								checkDigest(t, bucket, l, name != "identical")
							}
						})
					}
				}
			}
		}
	})
	t.Logf("%d of %d faults were swept over %d kinds of move into a bucket", ran, of, len(s3Layouts)*len(storeMoves))
}

// checkDigest checks that the table has the digest of what was moved.
func checkDigest(t *testing.T, b *s3Bucket, l s3Layout, written bool) {
	t.Helper()
	sum := md5.Sum(sweepSnapshot)
	if got := b.digest("live/network/terraform.tfstate"); l.table && written && got != hex.EncodeToString(sum[:]) {
		t.Errorf("the table has the digest %q of other bytes", got)
	}
}
