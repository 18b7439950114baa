//go:build linux

package s3_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/tfesim"
)

// An organization that leaves: 300 workspaces, some with a history, and how often the haul is
// killed.
const (
	leaving, withHistory, older = 300, 5, 19
	kills                       = 10
	betweenKills                = 180 // requests to the bucket
)

// TestLeavingForABucket moves the workspaces of an organization into a bucket. The program is
// killed ten times, at requests to the bucket, before or after they take effect, and run
// again with the same command. In the end every object has the current state's bytes,
// nothing is locked, and the real terraform goes on from there.
func TestLeavingForABucket(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	program := buildProgram(t)
	for name, open := range map[string]func(*testing.T) *locking{"unversioned": lockFileOnly, "versioned": tableOnly} {
		t.Run(name, func(t *testing.T) {
			l := open(t)
			sim, environ := startTFE(t)
			want := plantOrganization(t, sim)
			front := newKiller(t, nil)
			args := []string{
				"migrate", "tfe://" + haulOrg, "--target", front.address(l), "--yes", "--parallelism", "16",
				"--journal", filepath.Join(t.TempDir(), "haul.jsonl"), "--backup-dir", t.TempDir(),
			}
			for run := 0; ; run++ {
				child := exec.CommandContext(t.Context(), program, args...)
				child.Env = environ
				var said bytes.Buffer
				child.Stdout, child.Stderr = &said, &said
				at := 0
				if run < kills {
					at = betweenKills + 7*run
				}
				front.aim(child, at, run%2 == 0)
				if err := child.Start(); err != nil {
					t.Fatal(err)
				}
				front.started()
				err := child.Wait()
				if run < kills && front.struck() {
					continue
				}
				if err != nil || run < kills {
					t.Fatalf("run %d: %v\n%s", run, err, tail(said.String()))
				}
				break
			}
			wantLeft(t, l, want)
			for _, workspace := range []string{"net-000", "net-150", "net-299"} {
				c := newConfiguration(t, l.bucket, workspace+"/terraform.tfstate", "", l.settings...)
				c.wantNoChanges("first")
				apply(t, c, "next")
			}
		})
	}
}

// plantOrganization gives every workspace a state that terraform wrote, with a lineage of its
// own, and returns the current ones.
func plantOrganization(t *testing.T, sim *tfesim.Server) map[string][]byte {
	t.Helper()
	b := gateway.bucket(t)
	apply(t, newConfiguration(t, b, someKey, "", lockFile), "first")
	made := b.get(someKey)
	lineage := between(string(made), `"lineage": "`, `"`)
	serial := between(string(made), `"serial": `, ",")
	want := map[string][]byte{}
	for i := range leaving {
		name, versions := fmt.Sprintf("net-%03d", i), 1
		if i < withHistory {
			versions += older
		}
		if _, err := sim.AddWorkspace(haulOrg, name); err != nil {
			t.Fatal(err)
		}
		own := fmt.Sprintf("%s%03d", lineage[:len(lineage)-3], i)
		for n := range versions {
			text := strings.Replace(string(made), lineage, own, 1)
			text = strings.Replace(text, `"serial": `+serial, fmt.Sprintf(`"serial": %d`, n+1), 1)
			want[name] = []byte(text)
			if _, err := sim.SeedVersion(haulOrg, name, want[name], int64(n+1), own); err != nil {
				t.Fatal(err)
			}
		}
	}
	return want
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

// wantLeft fails unless the bucket has exactly the states, each written once, with their
// digests, and no lock.
func wantLeft(t *testing.T, l *locking, want map[string][]byte) {
	t.Helper()
	for workspace, state := range want {
		key := workspace + "/terraform.tfstate"
		if !bytes.Equal(l.bucket.get(key), state) {
			t.Errorf("%s does not have the bytes of its workspace", key)
		}
		if l.table == nil {
			continue
		}
		if got := l.digest(key); got != md5Of(state) {
			t.Errorf("%s has the digest %q", key, got)
		}
		if l.table.holds(l.bucket.name + "/" + key) {
			t.Errorf("%s is still locked", key)
		}
	}
	objects := 0
	pages := s3.NewListObjectVersionsPaginator(gateway.client, &s3.ListObjectVersionsInput{Bucket: &l.bucket.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		objects += len(page.Versions)
	}
	if objects != len(want) {
		t.Errorf("the bucket has %d versions of objects, want %d", objects, len(want))
	}
}

// A killer is a proxy in front of the bucket that kills a program at one of its requests.
type killer struct {
	url string

	mu     sync.Mutex
	seen   int // requests
	child  *exec.Cmd
	ready  chan struct{} // closed when the child has started
	left   int           // requests until the blow; 0 for none
	before bool          // the request takes no effect
	hit    bool
}

// newKiller returns a killer in front of the S3 server and, unless table is nil, of DynamoDB.
func newKiller(t *testing.T, table *lockTable) *killer {
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
	k := &killer{}
	// The signature covers the Host header, so it stays.
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			if r.In.Header.Get("X-Amz-Target") != "" {
				r.SetURL(items)
			} else {
				r.SetURL(objects)
			}
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }, // the program is gone
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strike, before := k.count()
		if strike && before {
			k.kill()
			return
		}
		forward.ServeHTTP(w, r)
		if strike {
			k.kill()
		}
	}))
	t.Cleanup(server.Close)
	k.url = server.URL
	return k
}

// address returns the bucket's address behind the killer.
func (k *killer) address(l *locking) string { return k.below(l, "") }

// below returns the address of a prefix behind the killer.
func (k *killer) below(l *locking, prefix string) string {
	return strings.Replace(l.bucket.ref(prefix, l.params...), url.QueryEscape(gateway.url()), url.QueryEscape(k.url), 1)
}

func (k *killer) aim(child *exec.Cmd, at int, before bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.child, k.left, k.before, k.hit, k.ready = child, at, before, false, make(chan struct{})
}

func (k *killer) started() { close(k.ready) }

func (k *killer) struck() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.hit
}

func (k *killer) count() (strike, before bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen++
	if k.left == 0 {
		return false, false
	}
	k.left--
	k.hit = k.left == 0
	return k.hit, k.before
}

func (k *killer) kill() {
	<-k.ready
	_ = k.child.Process.Kill() // SIGKILL; it may have ended
}
