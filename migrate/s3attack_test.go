package migrate_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"tfhaul/backend"
	"tfhaul/fixtures/testenv"
	"tfhaul/lockwait"
)

// s3Attacks are what other programs, slow networks and caches do to one request.
var s3Attacks = []string{"robbed", "unlocked", "late", "suspended", "repeated", "doubled", "altered", "empty", "page"}

// attack answers a request with the attack of the case.
func (b *s3Bucket) attack(op, what string, answer func() *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	f := b.faults
	reads := slices.Contains([]string{"GET", "HEAD", "GET lock", "GetItem"}, op)
	switch f.fault {
	case "robbed":
		f.rival = state(30, lineage, 7)
		f.bench.put(f.rival)
		f.bench.force(theirLock)
	case "unlocked":
		f.bench.force("")
	case "suspended":
		f.jump()
	case "late":
		defer f.jump()
	case "doubled":
		answer()
	case "repeated":
		f.mu.Lock()
		earlier, ok := f.earlier[what].(*httptest.ResponseRecorder)
		f.mu.Unlock()
		if ok && reads {
			return earlier
		}
	case "altered":
		out := answer()
		if text := out.Body.Bytes(); op == "GET" && out.Code == 200 && len(text) > 0 {
			given := bytes.Replace(text, []byte("a"), []byte("b"), 1)
			f.misread = bytes.Equal(text, sweepSnapshot)
			out.Body = bytes.NewBuffer(given)
		}
		return out
	case "empty":
		if reads || op == "PUT" { // a success that a proxy invents
			return httptest.NewRecorder()
		}
	case "page":
		if reads || op == "PUT" {
			out := httptest.NewRecorder()
			out.Header().Set("Content-Type", "text/html")
			out.WriteHeader(200)
			if op != "HEAD" {
				fmt.Fprint(out, "<html><body>Please log in</body></html>")
			}
			return out
		}
	}
	return answer()
}

// remember keeps the last answer to each request.
func (f *faults) remember(what string, out *httptest.ResponseRecorder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.earlier == nil {
		f.earlier = map[string]any{}
	}
	same := httptest.NewRecorder()
	maps.Copy(same.Header(), out.Header().Clone())
	same.Code, same.Body = out.Code, bytes.NewBuffer(bytes.Clone(out.Body.Bytes()))
	f.earlier[what] = same
}

// jump makes the clock of the move jump, as after a suspension.
func (f *faults) jump() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jumped += time.Minute
}

// clock is the clock of the move.
func (f *faults) clock() lockwait.Instant {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := lockwait.SystemClock()
	now.Wall = now.Wall.Add(f.jumped)
	return now
}

// forceLock gives the locks of a key to another holder, as a terraform that ignores ours; ""
// unlocks it.
func (b *s3Bucket) forceLock(l s3Layout, key, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.name + "/" + key
	if reason == "" {
		if b.find(key+".tflock", "") != nil {
			b.store(key+".tflock", nil)
		}
		delete(b.items, id)
		return
	}
	info := backend.NewLockInfo(backend.LockRequest{Operation: "OperationTypeApply", Info: reason}, id).Marshal()
	if l.lockFile {
		b.store(key+".tflock", info)
	}
	if l.table {
		b.items[id] = map[string]map[string]string{"LockID": {"S": id}, "Info": {"S": string(info)}}
		if o := b.find(key, ""); o != nil { // and what it wrote
			sum := md5.Sum(o.text)
			b.items[id+"-md5"] = map[string]map[string]string{"LockID": {"S": id + "-md5"}, "Digest": {"S": hex.EncodeToString(sum[:])}}
		}
	}
}

// lockedBy returns the reason of the lock of a key, "" if it is not locked, and "several" if its
// places differ.
func (b *s3Bucket) lockedBy(l s3Layout, key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	reasons := map[string]bool{}
	add := func(text []byte) {
		var lock backend.Lock
		lock.Describe(text)
		reasons[lock.Info] = true
	}
	if o := b.find(key+".tflock", ""); l.lockFile && o != nil {
		add(o.text)
	}
	if item := b.items[b.name+"/"+key]; l.table && item != nil {
		add([]byte(item["Info"]["S"]))
	}
	all := slices.Collect(maps.Keys(reasons))
	switch len(all) {
	case 0:
		return ""
	case 1:
		return all[0]
	}
	return "several"
}

// TestS3WithstandsEveryAttack is TestStoresWithstandEveryAttack for buckets: at every request,
// another program takes the lock by force and writes, the lock is lost, the process is suspended,
// the response is late, repeated, altered or invented, or the request takes effect twice.
func TestS3WithstandsEveryAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("sweeps all requests of all moves into buckets")
	}
	server := startS3(t)
	ran, of := 0, 0
	ops := map[string]int{}
	t.Run("sweep", func(t *testing.T) {
		for _, l := range s3Layouts {
			for _, name := range slices.Sorted(maps.Keys(storeMoves)) {
				s := storeMoves[name]
				b, _ := newS3Bench(t, server, l, s.held)
				if r := b.move(t.Context(), s.change); !r.Arrived() {
					t.Fatalf("%s, %s: %+v", l.name, name, r)
				}
				for k := 1; k <= b.faults.n; k++ {
					for _, f := range s3Attacks {
						if of++; !testenv.Full() && of%sampledS3 != 0 {
							continue
						}
						ran++
						t.Run(fmt.Sprintf("%s/%s/%s at request %d", l.name, name, f, k), func(t *testing.T) {
							t.Parallel()
							b, bucket := newS3Bench(t, server, l, s.held)
							b.faults.at, b.faults.fault = k, f
							b.survives(s.held, s.change)
							b.checkTheirLock()
							server.mu.Lock()
							ops[b.faults.op]++
							server.mu.Unlock()
							if b.faults.rival == nil {
								checkDigest(t, bucket, l, name != "identical")
							}
						})
					}
				}
			}
		}
	})
	t.Logf("%d of %d attacks were swept over %d kinds of move into a bucket: %v", ran, of, len(s3Layouts)*len(storeMoves), ops)
}
