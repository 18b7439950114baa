package kubernetes

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	fake "tfhaul/fixtures/kubernetes"
	"tfhaul/lockwait"
)

// A real server, and the real terraform, are in e2e/kubernetes.

// Parts and listings of megabytes are for e2e/kubernetes.
func init() { partSize, maxListed, maxState = 16<<10, 1<<20, 8<<20 }

// token is the one that servers of tests accept.
const token = "token-of-the-test"

// A cluster of a test is a server with the namespace infra and a kubeconfig.
type testCluster struct {
	*fake.Server
	environ []string
	path    string // of the kubeconfig
}

// start serves a fake cluster over TLS.
func start(t *testing.T) *testCluster {
	t.Helper()
	c := &testCluster{Server: &fake.Server{Token: token}}
	c.AddNamespace("infra")
	server := httptest.NewTLSServer(c)
	t.Cleanup(server.Close)
	c.path = writeFile(t, "config", fake.Kubeconfig(server.URL, authorityOf(server), token))
	c.environ = []string{pathVariable + "=" + c.path}
	return c
}

func authorityOf(server *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *testCluster) kind(more ...string) backend.Kind {
	return Kind(backend.Connection{Environ: append(slices.Clone(c.environ), more...)})
}

func (c *testCluster) target(t *testing.T, address string) backend.Target {
	t.Helper()
	target, err := c.kind().Target.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

// find returns the only state that an address names.
func (c *testCluster) find(t *testing.T, address string) backend.State {
	t.Helper()
	listing := c.search(t, address, backend.Filter{})
	if len(listing.States) != 1 {
		t.Fatalf("%s: %+v", address, listing)
	}
	return listing.States[0]
}

func (c *testCluster) search(t *testing.T, address string, f backend.Filter) *backend.Listing {
	t.Helper()
	listing, err := backend.Kinds{c.kind()}.Find(t.Context(), address, f)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return listing
}

func zip(t testing.TB, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// put stores a state as Terraform does.
func (c *testCluster) put(t testing.TB, suffix, workspace string, text []byte) {
	t.Helper()
	for number, data := range cut(zip(t, text)) {
		c.putPart(suffix, workspace, number, data)
	}
}

// putPart stores a part of a state; one without a state if data is nil.
func (c *testCluster) putPart(suffix, workspace string, number int, data []byte) {
	l := &location{suffix: suffix, workspace: workspace}
	o := fake.Object{Name: secretName(suffix, workspace, number), Labels: l.allLabels(), Annotations: map[string]string{"encoding": "gzip"}}
	if data != nil {
		o.Data = map[string][]byte{"tfstate": data}
	}
	c.Put("infra", fake.Secrets, o)
}

// stored returns a state as Terraform reads it: all Secrets with its labels, in their order; nil if one
// has no state.
func (c *testCluster) stored(t testing.TB, suffix, workspace string) []byte {
	t.Helper()
	var all []byte
	for number := 0; ; number++ {
		o := c.Get("infra", fake.Secrets, secretName(suffix, workspace, number))
		if o == nil {
			break
		}
		if o.Data["tfstate"] == nil {
			return nil
		}
		all = append(all, o.Data["tfstate"]...)
	}
	if all == nil {
		return nil
	}
	z, err := gzip.NewReader(bytes.NewReader(all))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(z) // Terraform ignores the error
	return text
}

// large returns a state of so many parts.
func large(count int) []byte {
	text := make([]byte, (count-1)*partSize+partSize/2)
	random := rand.NewChaCha8([32]byte{byte(count)})
	_, _ = random.Read(text) // never fails
	return text
}

// read reads a state's current version.
func read(t *testing.T, s backend.State, v *backend.Version) ([]byte, backend.Version, error) {
	t.Helper()
	in, got, err := s.Open(t.Context(), v)
	if err != nil {
		return nil, got, err
	}
	defer func() { _ = in.Close() }() // only read
	text, err := io.ReadAll(in)
	return text, got, err
}

func always(context.Context) error { return nil }

func newWriter(t *testing.T, target backend.Target, name string, o backend.WriterOptions) backend.Writer {
	t.Helper()
	s, err := target.Look(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	o.Reason = "tfhaul moves this state (haul h-7)"
	return target.Writer(s, o)
}

func toWrite(lease *lockwait.Lease, text []byte, was *backend.Version) backend.Write {
	sum := md5.Sum(text)
	return backend.Write{Lease: lease, Sending: always, Serial: 1, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)), Was: was,
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}
}

func acquire(t *testing.T, w backend.Writer) *lockwait.Lease {
	t.Helper()
	lease, err := lockwait.Acquire(t.Context(), w, lockwait.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// moveInto writes a state under its lock, and returns the error of the write.
func moveInto(t *testing.T, target backend.Target, name string, text []byte) error {
	t.Helper()
	was, err := target.Current(t.Context(), &backend.Standing{ID: name})
	if err != nil {
		return err
	}
	w := newWriter(t, target, name, backend.WriterOptions{})
	lease := acquire(t, w)
	_, failed := w.Write(t.Context(), toWrite(lease, text, was))
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	return failed
}

func TestKubernetesIsATarget(t *testing.T) {
	for name, labels := range map[string]string{"plain": "", "with labels": "?labels=team%3Dnet,env%3D"} {
		t.Run(name, func(t *testing.T) {
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				c := start(t)
				c.PageSize = 1
				c.put(t, "network", "staging", []byte("another state"))
				return c.target(t, "kubernetes://infra"+labels), "network/prod"
			})
		})
	}
	backendtest.Role(t, start(t).kind(), "kubernetes://infra/network/prod?context=test", "kubernetes://infra?context=test")
}

func TestKubernetesIsABackend(t *testing.T) {
	environ, last := []string(nil), (*testCluster)(nil)
	kind := Kind(backend.Connection{Environ: []string{pathVariable + "=" + filepath.Join(t.TempDir(), "unused")}})
	kind.Open = func(ctx context.Context, address string) (backend.Backend, error) {
		return Kind(backend.Connection{Environ: environ}).Open(ctx, address)
	}
	backendtest.Named(t, kind, func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
		c := start(t)
		environ, last = c.environ, c
		for workspace, text := range files {
			c.put(t, "net", workspace, text)
		}
		return "kubernetes://infra/net", func(workspace string, text []byte) {
			if text == nil {
				last.Remove("infra", fake.Secrets, secretName("net", workspace, 0))
				return
			}
			last.put(t, "net", workspace, text)
		}
	})
}

func TestEveryStateIsFound(t *testing.T) {
	c := start(t)
	c.PageSize = 3
	want := map[string][]byte{}
	for _, name := range []string{"app.eu/default", "app.eu/prod", "dns/default", "old-2/default", "net/a-b", "net-a/b2"} {
		suffix, workspace, _ := strings.Cut(name, "/")
		want[name] = []byte("the state " + name)
		c.put(t, suffix, workspace, want[name])
	}
	want["large/default"] = large(12) // sorted by name, part 10 comes before part 2
	c.put(t, "large", "default", want["large/default"])
	c.Put("infra", fake.Secrets, fake.Object{Name: "unrelated", Data: map[string][]byte{"tfstate": zip(t, nil)}})
	c.Put("infra", fake.Secrets, fake.Object{Name: "copy", Labels: map[string]string{"tfstate": "true", "tfstateSecretSuffix": "net", "tfstateWorkspace": "prod"}})
	c.Put("infra", fake.Secrets, fake.Object{Name: "bare", Labels: map[string]string{"tfstate": "true"}})

	listing := c.search(t, "kubernetes://infra", backend.Filter{})
	got := map[string][]byte{}
	for _, s := range listing.States {
		text, v, err := read(t, s, nil)
		if err != nil || v.Size != int64(len(text)) || s.(backend.Listed).Listed().ID != v.ID {
			t.Errorf("%s: %+v, %v", s.Address(), v, err)
		}
		got[s.Place().Key] = text
		alone := c.find(t, s.Address())
		if again, _, err := read(t, alone, &v); err != nil || !bytes.Equal(again, text) || alone.Address() != s.Address() {
			t.Errorf("%s alone: %v", s.Address(), err)
		}
		if at := layout("", s.Place().Dir+"/terraform.tfstate", s.Place().Workspace); at != s.Place().Key {
			t.Errorf("the place %+v leads to %s", s.Place(), at)
		}
	}
	if len(got) != len(want) {
		t.Errorf("found %d states, want %d", len(got), len(want))
	}
	for name, text := range want {
		if !bytes.Equal(got[name], text) {
			t.Errorf("%s: %d bytes, which differ from the %d stored", name, len(got[name]), len(text))
		}
	}
	if len(listing.Skipped) != 2 || !strings.Contains(fmt.Sprint(listing.Skipped), "Secret copy") || !strings.Contains(fmt.Sprint(listing.Skipped), "Secret bare") {
		t.Errorf("skipped: %+v", listing.Skipped)
	}

	names := func(address string, f backend.Filter) (names []string) {
		for _, s := range c.search(t, address, f).States {
			names = append(names, s.Place().Key)
		}
		return names
	}
	for _, tt := range []struct {
		address string
		filter  backend.Filter
		want    []string
	}{
		{"kubernetes://infra/app.eu", backend.Filter{}, []string{"default", "prod"}},
		{"kubernetes://infra/app.eu/", backend.Filter{Include: []string{"p*"}}, []string{"prod"}},
		{"kubernetes://infra", backend.Filter{Include: []string{"app.eu/*", "dns/*"}, Exclude: []string{"*/prod"}}, []string{"app.eu/default", "dns/default"}},
	} {
		if got := names(tt.address, tt.filter); !slices.Equal(got, tt.want) {
			t.Errorf("%s %+v finds %q, want %q", tt.address, tt.filter, got, tt.want)
		}
	}
	if _, err := (backend.Kinds{c.kind()}).Find(t.Context(), "kubernetes://infra/none", backend.Filter{}); err == nil || !strings.Contains(err.Error(), `no state found in "kubernetes://infra/none"`) {
		t.Error(err)
	}
}

func TestALargeStateIsReplaced(t *testing.T) {
	for _, tt := range []struct{ from, to int }{{1, 1}, {1, 3}, {3, 1}, {3, 2}, {2, 3}, {0, 3}, {0, 1}} {
		t.Run(fmt.Sprintf("%d to %d parts", tt.from, tt.to), func(t *testing.T) {
			c := start(t)
			if tt.from > 0 {
				c.put(t, "net", "default", append(large(tt.from), 0))
			}
			target := c.target(t, "kubernetes://infra")
			if err := moveInto(t, target, "net/default", large(tt.to)); err != nil {
				t.Fatal(err)
			}
			if got := c.stored(t, "net", "default"); !bytes.Equal(got, large(tt.to)) {
				t.Error("Terraform would read other bytes")
			}
			if names := c.Names("infra", fake.Secrets); len(names) != tt.to {
				t.Errorf("the Secrets are %q", names)
			}
			backendtest.WantBytes(t, target, "net/default", large(tt.to))
		})
	}
}

// What tfhaul creates is like what Terraform creates, and what it replaces keeps everything else.
func TestWhatIsStored(t *testing.T) {
	c := start(t)
	target := c.target(t, "kubernetes://infra?labels=team%3Dnet")
	if err := moveInto(t, target, "net/prod", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"tfstate": "true", "tfstateSecretSuffix": "net", "tfstateWorkspace": "prod", "app.kubernetes.io/managed-by": "terraform", "team": "net"}
	o, l := c.Get("infra", fake.Secrets, "tfstate-prod-net"), c.Get("infra", fake.Leases, "lock-tfstate-prod-net")
	if o == nil || fmt.Sprint(o.Labels) != fmt.Sprint(labels) || fmt.Sprint(o.Annotations) != "map[encoding:gzip]" || len(o.Data) != 1 {
		t.Errorf("the Secret is %+v", o)
	}
	if l == nil || fmt.Sprint(l.Labels) != fmt.Sprint(labels) || len(l.Annotations) != 0 || len(l.Spec) != 0 {
		t.Errorf("the Lease is %+v", l)
	}

	o.Annotations["note"], o.Data["other"], o.Type = "kept", []byte("kept"), "acme/state"
	c.Put("infra", fake.Secrets, *o)
	l.Annotations, l.Spec = map[string]string{"note": "kept"}, map[string]any{"leaseDurationSeconds": 15}
	c.Put("infra", fake.Leases, *l)
	w := newWriter(t, target, "net/prod", backend.WriterOptions{})
	was, err := target.Current(t.Context(), &backend.Standing{ID: "net/prod"})
	if err != nil {
		t.Fatal(err)
	}
	lease := acquire(t, w)
	held := c.Get("infra", fake.Leases, "lock-tfstate-prod-net")
	if info := held.Annotations["app.terraform.io/lock-info"]; held.Spec["holderIdentity"] == "" || !strings.Contains(info, fmt.Sprintf(`{"ID":"%s","Operation":"OperationTypeMigrate","Info":"tfhaul moves this state (haul h-7)"`, held.Spec["holderIdentity"])) || !strings.HasSuffix(info, `"Path":""}`) {
		t.Errorf("the held Lease is %+v", held)
	}
	if _, err := w.Write(t.Context(), toWrite(lease, []byte("[]"), was)); err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	o, l = c.Get("infra", fake.Secrets, "tfstate-prod-net"), c.Get("infra", fake.Leases, "lock-tfstate-prod-net")
	if o.Annotations["note"] != "kept" || string(o.Data["other"]) != "kept" || o.Type != "acme/state" || len(o.Labels) != 5 {
		t.Errorf("the Secret is %+v", o)
	}
	if l.Annotations["note"] != "kept" || fmt.Sprint(l.Spec) != "map[leaseDurationSeconds:15]" || len(l.Annotations) != 1 {
		t.Errorf("the Lease is %+v", l)
	}
}

// Two pairs of a suffix and a workspace can have the same Secret: tfhaul replaces none of another.
func TestASecretOfAnotherStateIsNotReplaced(t *testing.T) {
	c := start(t)
	c.put(t, "c", "a-b", []byte("theirs"))
	err := moveInto(t, c.target(t, "kubernetes://infra"), "b-c/a", []byte("ours"))
	if backend.CodeOf(err) != backend.Malformed || !strings.Contains(err.Error(), "get secret --namespace infra --show-labels tfstate-a-b-c") {
		t.Error(err)
	}
	if got := c.stored(t, "c", "a-b"); string(got) != "theirs" {
		t.Errorf("it holds %q", got)
	}
}

func TestLocksOfASource(t *testing.T) {
	c := start(t)
	c.put(t, "net", "default", []byte("{}"))
	s := c.find(t, "kubernetes://infra/net/default").(*state)
	ask := func(want string) {
		t.Helper()
		lock, err := s.Holder(t.Context())
		if err != nil || (lock == nil) != (want == "") || lock != nil && lock.ID != want {
			t.Errorf("the holder is %+v, %v; want %q", lock, err, want)
		}
	}
	ask("")
	const info = `{"ID":"6d3f","Operation":"OperationTypeApply","Info":"why","Who":"ann@build-7","Version":"1.11.4","Created":"2025-03-04T05:06:07.89Z","Path":""}`
	c.Put("infra", fake.Leases, fake.Object{Name: s.at.leaseName(), Spec: map[string]any{"holderIdentity": "6d3f"}, Annotations: map[string]string{lockAnnotation: info}})
	ask("6d3f")
	lock, err := s.Holder(t.Context())
	if err != nil || lock.Who != "ann@build-7" || lock.Operation != "OperationTypeApply" || lock.Created.IsZero() || lock.Lift() != "terraform force-unlock 6d3f in its configuration" {
		t.Errorf("%+v, %v", lock, err)
	}
	if _, err := s.TakeLock(t.Context(), backend.LockRequest{}); err == nil || !strings.Contains(err.Error(), "locked at its source by ann@build-7") {
		t.Error(err)
	}
	if err := s.FreeLock(t.Context(), "another"); !backend.IsLockLost(err) {
		t.Error(err)
	}
	c.Put("infra", fake.Leases, fake.Object{Name: s.at.leaseName(), Spec: map[string]any{"holderIdentity": "6d3f"}, Annotations: map[string]string{lockAnnotation: "no JSON"}})
	ask("6d3f")
	if err := s.FreeLock(t.Context(), "6d3f"); err != nil {
		t.Error(err)
	}
	ask("")
	lease, err := s.TakeLock(t.Context(), backend.LockRequest{Operation: "OperationTypeMigrate", Info: "tfhaul moves"})
	if err != nil {
		t.Fatal(err)
	}
	ask(lease.Lock().ID)
	if text := lease.Leave(); !strings.Contains(text, `kubectl --kubeconfig "$KUBE_CONFIG_PATH" delete lease --namespace infra lock-tfstate-default-net`) {
		t.Error(text)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := lease.Release(t.Context()); !backend.IsLockLost(err) {
		t.Error(err)
	}
	ask("")
}

// once makes the first request of this kind fail.
func once(op string, fail func(w http.ResponseWriter, answer func() *httptest.ResponseRecorder)) func(http.ResponseWriter, *http.Request, string, func() *httptest.ResponseRecorder) {
	failed := false
	return func(w http.ResponseWriter, _ *http.Request, at string, answer func() *httptest.ResponseRecorder) {
		if at != op || failed {
			fake.Give(w, answer())
			return
		}
		failed = true
		fail(w, answer)
	}
}

// lose lets a request take effect and closes the connection.
func lose(_ http.ResponseWriter, answer func() *httptest.ResponseRecorder) {
	answer()
	panic(http.ErrAbortHandler)
}

// drop closes the connection before the request takes effect.
func drop(http.ResponseWriter, func() *httptest.ResponseRecorder) { panic(http.ErrAbortHandler) }

// Whatever response of a move is lost, and whether or not the request took effect, the state is the
// former or the new one, the move can be repeated, and in the end the lock is free.
func TestLostResponses(t *testing.T) {
	for _, sizes := range [][2]int{{0, 1}, {1, 1}, {0, 3}, {1, 3}, {3, 1}} {
		for _, op := range []string{"list secrets", "get leases", "create leases", "update leases", "create secrets", "update secrets", "delete secrets"} {
			for name, fail := range map[string]func(http.ResponseWriter, func() *httptest.ResponseRecorder){"lost": lose, "dropped": drop} {
				t.Run(fmt.Sprintf("%s %s, %d to %d parts", op, name, sizes[0], sizes[1]), func(t *testing.T) {
					t.Parallel()
					c := start(t)
					former, next := []byte(nil), large(sizes[1])
					if sizes[0] > 0 {
						former = append(large(sizes[0]), 0)
						c.put(t, "net", "default", former)
					}
					target := c.target(t, "kubernetes://infra")
					was, err := target.Current(t.Context(), &backend.Standing{ID: "net/default"})
					if err != nil {
						t.Fatal(err)
					}
					w := newWriter(t, target, "net/default", backend.WriterOptions{})
					c.Intercept = once(op, fail)
					lease := acquire(t, w)
					for attempt := range 2 {
						_, err = w.Write(t.Context(), toWrite(lease, next, was))
						got := c.stored(t, "net", "default")
						if err == nil {
							break
						}
						if !bytes.Equal(got, former) && !bytes.Equal(got, next) || backend.CodeOf(err) != backend.Ambiguous && backend.CodeOf(err) != backend.Unreachable || attempt == 1 {
							t.Fatalf("attempt %d: %d bytes are stored, %v", attempt, len(got), err)
						}
					}
					if got := c.stored(t, "net", "default"); !bytes.Equal(got, next) || len(c.Names("infra", fake.Secrets)) != sizes[1] {
						t.Errorf("%d bytes are stored in %q", len(got), c.Names("infra", fake.Secrets))
					}
					if err := lease.Release(t.Context()); err != nil {
						t.Error(err)
					}
					if l := c.Get("infra", fake.Leases, "lock-tfstate-default-net"); l == nil || l.Spec["holderIdentity"] != nil {
						t.Errorf("the Lease is %+v", l)
					}
				})
			}
		}
	}
}

// A write that is cut off after any request leaves the former state, for Terraform and for tfhaul,
// and another writer of the haul finishes it.
func TestKilledBetweenParts(t *testing.T) {
	for _, sizes := range [][2]int{{0, 3}, {1, 3}, {3, 1}} {
		for requests := range 5 {
			t.Run(fmt.Sprintf("%d to %d parts, after %d requests", sizes[0], sizes[1], requests), func(t *testing.T) {
				t.Parallel()
				c := start(t)
				former, next := []byte(nil), large(sizes[1])
				if sizes[0] > 0 {
					former = append(large(sizes[0]), 0)
					c.put(t, "net", "default", former)
				}
				target := c.target(t, "kubernetes://infra")
				was, err := target.Current(t.Context(), &backend.Standing{ID: "net/default"})
				if err != nil {
					t.Fatal(err)
				}
				w := newWriter(t, target, "net/default", backend.WriterOptions{})
				lease := acquire(t, w)
				sent := 0
				p := toWrite(lease, next, was)
				p.Sending = func(context.Context) error {
					if sent++; sent > requests {
						c.Intercept = func(http.ResponseWriter, *http.Request, string, func() *httptest.ResponseRecorder) {
							panic(http.ErrAbortHandler)
						}
						return io.ErrClosedPipe
					}
					return nil
				}
				_, _ = w.Write(t.Context(), p) // the process is gone
				c.Intercept = nil
				if got := c.stored(t, "net", "default"); !bytes.Equal(got, former) && !bytes.Equal(got, next) {
					t.Fatalf("%d bytes are stored", len(got))
				}
				heir := newWriter(t, target, "net/default", backend.WriterOptions{Inherited: true})
				resumed := lockwait.Resume(heir, nil, lockwait.Instant{})
				if holder, err := heir.Holder(t.Context(), always); err != nil || !holder.Ours {
					t.Fatalf("the heir sees %+v, %v", holder, err)
				}
				if was, err = target.Current(t.Context(), &backend.Standing{ID: "net/default"}); err != nil {
					t.Fatal(err)
				}
				if _, err := heir.Write(t.Context(), toWrite(resumed, next, was)); err != nil {
					t.Fatal(err)
				}
				if got := c.stored(t, "net", "default"); !bytes.Equal(got, next) || len(c.Names("infra", fake.Secrets)) != sizes[1] {
					t.Errorf("%d bytes are stored in %q", len(got), c.Names("infra", fake.Secrets))
				}
			})
		}
	}
}
