package s3_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/migrate"
)

// A fault is what happens to one request to a bucket.
type fault struct {
	name string
	// effect means that the request takes effect, and the program does not learn it.
	effect bool
	status int // of the response; 0 for a connection that is closed without one
}

var faults = []fault{
	{"reset before", false, 0}, {"reset after", true, 0}, {"500 before", false, 500}, {"500 after", true, 500},
	{"503", false, 503}, {"403", false, 403}, {"page of a proxy", true, 502},
}

// A faulty is a proxy in front of the server that fails at one request.
type faulty struct {
	url      string
	fault    fault
	at       int64 // counted from 1; 0 for none
	requests atomic.Int64
}

// newFaulty returns a proxy for the S3 server and, unless table is nil, for DynamoDB.
func newFaulty(t *testing.T, table *lockTable, f fault, at int64) *faulty {
	t.Helper()
	objects, err := url.Parse(gateway.url())
	if err != nil {
		t.Fatal(err)
	}
	items := objects
	if table != nil {
		if items, err = url.Parse(table.endpoint); err != nil {
			t.Fatal(err)
		}
	}
	p := &faulty{fault: f, at: at}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.Header.Get("X-Amz-Target") != "" { // DynamoDB has its operation here
			r.SetURL(items)
		} else {
			r.SetURL(objects)
		}
		r.Out.Host = r.In.Host // the signature covers it
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.requests.Add(1) != p.at {
			forward.ServeHTTP(w, r)
			return
		}
		if p.fault.effect {
			forward.ServeHTTP(httptest.NewRecorder(), r)
		}
		if p.fault.status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(p.fault.status)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	if table != nil {
		t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", p.url)
	}
	return p
}

// A faultCase is one move with a fault.
type faultCase struct {
	*destination
	t *testing.T
	*locking
	key      string
	old, new []byte
	source   string
	target   string
}

func newFaultCase(t *testing.T, l *locking, key string, replaces bool, at *faulty) *faultCase {
	t.Helper()
	c := &faultCase{destination: &destination{environ: []string{"HOME=" + t.TempDir()}}, t: t, key: key}
	c.locking = &locking{bucket: &bucket{t: t, server: l.bucket.server, name: l.bucket.name}, params: l.params}
	if l.table != nil {
		table := *l.table
		table.t = t
		c.table = &table
	}
	spec := fixtures.Spec{Seed: 7, Serial: 8, Resources: 1}
	c.new = spec.Bytes()
	if replaces {
		spec.Serial = 7
		c.old = spec.Bytes()
		c.bucket.put(key, c.old)
		if c.table != nil {
			c.table.put(c.bucket.name+"/"+key+"-md5", "Digest", md5Of(c.old))
		}
	}
	c.source = filepath.Join(t.TempDir(), "terraform.tfstate")
	if err := os.WriteFile(c.source, c.new, 0o600); err != nil {
		t.Fatal(err)
	}
	c.target = strings.Replace(c.bucket.ref(key, c.params...), url.QueryEscape(gateway.url()), url.QueryEscape(at.url), 1)
	return c
}

func (c *faultCase) move() (exit int, r migrate.Result) {
	c.t.Helper()
	exit, stdout, stderr := c.tfhaul(c.t, "move", "--json", "--backup-dir", c.t.TempDir(), c.source, c.target)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		c.t.Fatalf("exit %d, %v\n%s%s", exit, err, stdout, stderr)
	}
	return exit, r
}

// check runs the move with the fault and, where it fails, again without.
func (c *faultCase) check() {
	c.t.Helper()
	exit, r := c.move()
	now := c.bucket.get(c.key)
	if !bytes.Equal(now, c.old) && !bytes.Equal(now, c.new) {
		c.t.Error("the object has neither the old bytes nor the new ones")
	}
	if exit == 0 && !bytes.Equal(now, c.new) {
		c.t.Errorf("a success is reported, and the object has the old bytes: %s", r.Message)
	}
	if locked := c.locked(); locked && !r.Locked {
		c.t.Errorf("a lock was left, and not reported (%s): %s", r.Code, r.Message)
	}
	if r.Locked {
		command := strings.Fields(strings.ReplaceAll(r.UnlockCommand, "'", "")) // quoted for a shell
		if len(command) < 2 {
			c.t.Fatalf("there is no command to unlock it: %+v", r)
		}
		if exit, stdout, stderr := c.tfhaul(c.t, command[1:]...); exit != 0 {
			c.t.Errorf("%s: exit %d\n%s%s", r.UnlockCommand, exit, stdout, stderr)
		}
	}
	if exit != 0 {
		if exit, r := c.move(); exit != 0 {
			c.t.Errorf("without the fault: exit %d, %s: %s", exit, r.Code, r.Message)
		}
	}
	if !bytes.Equal(c.bucket.get(c.key), c.new) || c.locked() {
		c.t.Error("in the end, the object does not have the new bytes, or it is locked")
	}
	if c.table != nil && c.digest(c.key) != md5Of(c.new) {
		c.t.Error("in the end, the table does not have the object's digest")
	}
}

// locked reports whether the state is locked, in the bucket or in the table.
func (c *faultCase) locked() bool {
	c.t.Helper()
	return c.bucket.get(c.key+".tflock") != nil || c.table != nil && c.table.holds(c.bucket.name+"/"+c.key)
}

// Every request of a move into a bucket fails once in every way, with a lock table in DynamoDB
// also every request to that. The object has the old bytes or the new ones, the report agrees
// with it, every lock that is left is reported, with a command that removes it, and the same
// move succeeds afterwards.
func TestEveryRequestToABucketFails(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *locking{"locked by a file": lockFileOnly, "locked in both": lockFileAndTable} {
		t.Run(name, func(t *testing.T) { failEveryRequest(t, open(t)) })
	}
}

func failEveryRequest(t *testing.T, l *locking) {
	cases := 0
	for name, replaces := range map[string]bool{"fresh": false, "newer": true} {
		whole := newFaulty(t, l.table, fault{}, 0)
		newFaultCase(t, l, name+"/whole.tfstate", replaces, whole).check()
		n := whole.requests.Load()
		t.Logf("a %s move sends %d requests", name, n)
		for at := range n {
			for i, f := range faults {
				if l.table != nil && (int(at)+i)%4 != 0 { // migrate's sweep has every case
					continue
				}
				cases++
				t.Run(fmt.Sprintf("%s/request %d/%s", name, at+1, f.name), func(t *testing.T) {
					if l.table == nil { // otherwise the environment has the endpoint
						t.Parallel()
					}
					newFaultCase(t, l, fmt.Sprintf("%s/%d-%d.tfstate", name, at, i), replaces, newFaulty(t, l.table, f, at+1)).check()
				})
			}
		}
	}
	t.Logf("%d cases", cases)
}
