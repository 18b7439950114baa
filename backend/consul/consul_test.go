package consul

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/fixtures/consul"
)

// The real terraform is in e2e/consul.

// environ is an environment with nothing of this machine.
func environ(more ...string) []string { return append([]string{"HOME=/nonexistent"}, more...) }

// start serves a server and returns its address, with a slash at the end.
func start(t *testing.T, s *consul.Server) string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return "consul://" + strings.TrimPrefix(server.URL, "http://") + "/"
}

func kind(more ...string) backend.Kind { return Kind(backend.Connection{Environ: environ(more...)}) }

func openTarget(t *testing.T, address string, more ...string) *target {
	t.Helper()
	opened, err := kind(more...).Target.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return opened.(*target)
}

// packed compresses a state.
func packed(text []byte) []byte {
	var b bytes.Buffer
	to := gzip.NewWriter(&b)
	_, _ = to.Write(text) // into memory
	_ = to.Close()
	return b.Bytes()
}

func md5Of(text []byte) string {
	sum := md5.Sum(text)
	return hex.EncodeToString(sum[:])
}

// plant stores a state as Terraform does, in chunks if it is large, and compressed if asked.
func plant(s *consul.Server, key string, text []byte, compressed bool) {
	stored := text
	if compressed {
		stored = packed(text)
	}
	if len(stored) <= 390_000 {
		s.Put(key, stored)
		return
	}
	var chunks []string
	for i := 0; len(stored) > 0; i++ {
		n := min(len(stored), chunkSize)
		chunks = append(chunks, fmt.Sprintf("%s/tfstate.%s/%d", key, md5Of(text), i))
		s.Put(chunks[i], stored[:n])
		stored = stored[n:]
	}
	list, err := json.Marshal(map[string]any{"current-hash": md5Of(text), "chunks": chunks})
	if err != nil {
		panic(err) // strings can be encoded
	}
	s.Put(key, list)
}

// unplant removes a state as Terraform does.
func unplant(s *consul.Server, key string) {
	s.Delete(key)
	for _, chunk := range s.Keys(key + "/tfstate.") {
		s.Delete(chunk)
	}
}

func TestConsulIsABackend(t *testing.T) {
	for name, compressed := range map[string]bool{"plain": false, "gzip": true} {
		t.Run(name, func(t *testing.T) {
			backendtest.Suite(t, kind(), func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
				s := &consul.Server{}
				address := start(t, s)
				for key, data := range files {
					state, isLock := strings.CutSuffix(key, ".tflock")
					if isLock && files[state] != nil {
						s.Lock(state, "6d3f", data) // the ID in the description
						continue
					}
					plant(s, key, data, compressed)
				}
				return address, func(key string, data []byte) {
					unplant(s, key)
					if data != nil {
						plant(s, key, data, compressed)
					}
				}
			})
		})
	}
}

func TestConsulIsATarget(t *testing.T) {
	for name, tt := range map[string]struct{ prefix, query string }{
		"the whole store": {}, "below a prefix": {prefix: "live/"}, "gzip": {query: "?gzip=true"},
	} {
		t.Run(name, func(t *testing.T) {
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				return openTarget(t, start(t, &consul.Server{})+tt.prefix+tt.query), "network/terraform.tfstate-env:prod"
			})
		})
	}
}

func TestTheRoleOfATarget(t *testing.T) {
	backendtest.Role(t, kind(), "consul://127.0.0.1:8500/live/network-env:prod", "consul://127.0.0.1:8500/live/")
	backendtest.Role(t, kind(), "consul://consul.example.com/network?datacenter=eu&gzip=true", "consul://consul.example.com/?datacenter=eu&gzip=true")
}

// find returns the only state that an address names.
func find(t *testing.T, address string, more ...string) *state {
	t.Helper()
	listing, err := backend.Kinds{kind(more...)}.Find(t.Context(), address, backend.Filter{})
	if err != nil || len(listing.States) != 1 {
		t.Fatalf("%s: %+v, %v", address, listing, err)
	}
	return listing.States[0].(*state)
}

// read reads the current version.
func read(t *testing.T, s *state) (string, backend.Version, error) {
	t.Helper()
	in, v, err := s.Open(t.Context(), nil)
	if err != nil {
		return "", v, err
	}
	defer func() { _ = in.Close() }() // only read
	text, err := io.ReadAll(in)
	return string(text), v, err
}

// A search takes states of all workspaces, and leaves out what Terraform keeps beside them.
func TestASearch(t *testing.T) {
	s := &consul.Server{}
	address := start(t, s)
	large := bytes.Repeat([]byte("state "), 200_000)
	for _, key := range []string{"tf/network", "tf/network-env:prod", "tf/network-env:a.b", "tf/app.tfstate", "tf/v1.2/db", "tf/x-env:", "tf/-env:y"} {
		s.Put(key, []byte("{}"))
	}
	plant(s, "tf/large", large, false)
	s.Put("tf/gone/tfstate.0123456789abcdef0123456789abcdef/0", []byte("a part that was left"))
	s.Put("tf/stale/.lockinfo", []byte("{}"))
	s.Put("tf/folder/", nil)
	s.Put("tf/settings.json", []byte("{}"))
	s.Put("tf/v1.2", []byte("{}"))
	s.Put("other/network", []byte("{}"))
	s.Lock("tf/network", "c0ffee", []byte(`{"ID":"c0ffee","Who":"ann@build-7"}`))
	listing, err := backend.Kinds{kind()}.Find(t.Context(), address+"tf/", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, found := range listing.States {
		p := found.Place()
		got[p.Key] = p.Dir + "|" + p.Base + "|" + p.Workspace
		if p.Root != "tf" {
			t.Errorf("%s has the root %q", p.Key, p.Root)
		}
		if layout("", "tf/"+strings.TrimPrefix(p.Dir+"/", "/")+p.Base, p.Workspace) != strings.TrimSuffix(p.Key, ".tfstate") {
			t.Errorf("%s has a place that leads elsewhere: %+v", p.Key, p)
		}
		lock, err := found.Holder(t.Context())
		if err != nil || (lock != nil) != (p.Key == "tf/network") {
			t.Errorf("%s: lock %+v, %v", p.Key, lock, err)
		}
		if lock != nil && (lock.ID != "c0ffee" || lock.Who != "ann@build-7" || lock.Lift() != "terraform force-unlock c0ffee in its configuration") {
			t.Errorf("%s: lock %+v", p.Key, lock)
		}
	}
	want := map[string]string{
		"tf/network": "|network|default", "tf/network-env:prod": "|network|prod", "tf/network-env:a.b": "|network|a.b", "tf/app.tfstate": "|app|default",
		"tf/v1.2/db": "v1.2|db|default", "tf/x-env:": "|x-env:|default", "tf/-env:y": "|-env:y|default", "tf/large": "|large|default",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("found %v\nwant  %v", got, want)
	}
	var skipped []string
	for _, s := range listing.Skipped {
		skipped = append(skipped, s.Code+" "+strings.TrimPrefix(s.Name, address))
	}
	if fmt.Sprint(skipped) != "[other-name tf/settings.json other-name tf/v1.2]" {
		t.Errorf("skipped %v", skipped)
	}
	if text, v, err := read(t, find(t, address+"tf/large")); err != nil || text != string(large) || v.Size != 0 {
		t.Errorf("a state in chunks: %d bytes, %+v, %v", len(text), v, err)
	}
	for _, key := range []string{"tf/network/.lock", "tf/stale/.lockinfo", "tf/gone/tfstate.0123456789abcdef0123456789abcdef/0"} {
		if _, err := (backend.Kinds{kind()}).Find(t.Context(), address+key, backend.Filter{}); err == nil || !strings.Contains(err.Error(), "leave out the last part") && !strings.Contains(err.Error(), "name the state") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// A description without a session is stale, and one of another session is not the holder's.
func TestStaleLocks(t *testing.T) {
	s := &consul.Server{}
	address := start(t, s)
	s.Put("net", []byte("{}"))
	s.Put("net/.lock", nil)
	s.Put("net/.lockinfo", []byte(`{"ID":"dead","Who":"ann@build-7"}`))
	if lock, err := find(t, address+"net").Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("a stale lock: %+v, %v", lock, err)
	}
	s.Lock("net", "c0ffee", []byte(`{"ID":"dead","Who":"ann@build-7"}`))
	if lock, err := find(t, address+"net").Holder(t.Context()); err != nil || lock == nil || lock.Who != "" || lock.ID != "c0ffee" {
		t.Errorf("a lock with the description of another: %+v, %v", lock, err)
	}
}

// always allows each request.
func always(context.Context) error { return nil }
