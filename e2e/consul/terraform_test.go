package consul_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tfhaul/fixtures"
	"tfhaul/fixtures/testenv"
)

// Terraform writes states in all forms. An audit finds them, and a haul moves them into
// workspaces, byte for byte.
func TestTerraformsStatesAreMoved(t *testing.T) {
	t.Parallel()
	s, p := newStore(t), newPlace(t)
	plain := newConfiguration(t, s, "tf/network", "", "")
	plain.apply("first")
	plain.must("workspace", "new", "prod")
	plain.apply("prod")
	newConfiguration(t, s, "tf/packed", "gzip = true", "").apply("first")
	newConfiguration(t, s, "tf/large", "", large).apply("first")
	newConfiguration(t, s, "tf/both", "gzip = true", large).apply("first")
	for key, chunks := range map[string]bool{"tf/packed": false, "tf/large": true, "tf/both": true} {
		if got := len(s.Keys(key+"/tfstate.")) > 0; got != chunks {
			t.Errorf("terraform has stored %s in parts: %t", key, got)
		}
	}
	if out := p.run(0, "audit", s.address("tf/")); !strings.Contains(out, "5 states") {
		t.Errorf("the audit prints\n%s", out)
	}
	p.run(0, "migrate", s.address("tf/"), "--target", organization, "--create", "--yes", "--journal", "haul.jsonl")
	for key, workspace := range map[string]string{"tf/network": "network", "tf/network-env:prod": "network-prod", "tf/packed": "packed", "tf/large": "large", "tf/both": "both"} {
		if held, _, _ := p.Current(organization, workspace); len(held) == 0 || !bytes.Equal(held, s.has(key)) {
			t.Errorf("%s does not have the bytes of %s", workspace, key)
		}
	}
	p.run(0, "verify", "haul.jsonl")
	s.wantFree("tf/network")
	if out := p.run(3, "move", "--lock-source", s.address("tf/network"), organization+"/network"); !strings.Contains(out, "tfhaul does not lock this source") {
		t.Errorf("with --lock-source it prints\n%s", out)
	}
}

// tfhaul writes states in all forms. Terraform plans no changes there and applies the next
// change, and a newer state then replaces it.
func TestTerraformContinuesFromAMovedState(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, arguments, query, more string }{
		{"plain", "", "", ""}, {"gzip", "gzip = true", "?gzip=true", ""}, {"large", "", "", large}, {"large-gzip", "gzip = true", "?gzip=true", large},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			old, s, p := newStore(t), newStore(t), newPlace(t)
			from := newConfiguration(t, old, "network", "", tt.more)
			from.apply("first")
			from.must("workspace", "new", "prod")
			from.apply("prod")
			p.run(0, "migrate", old.address(""), "--target", s.address("live/")+tt.query, "--key-name", "{{ .Dir }}{{ .Base }}{{ if ne .Workspace \"default\" }}-env:{{ .Workspace }}{{ end }}", "--yes", "--journal", "haul.jsonl")
			p.write("bare/main.tf", []byte(resources+tt.more))
			p.run(0, "prove", "--local", "bare", s.address("live/network"))
			to := newConfiguration(t, s, "live/network", tt.arguments, tt.more)
			to.wantNoChanges("first")
			to.apply("next")
			to.must("workspace", "select", "prod")
			to.wantNoChanges("prod")
			from.must("workspace", "select", "default")
			from.apply("second")
			from.apply("third") // to overtake it
			p.run(0, "move", old.address("network"), s.address("live/network")+tt.query)
			to.must("workspace", "select", "default")
			to.wantNoChanges("third")
			to.apply("fourth")
			s.wantFree("live/network")
			for _, key := range []string{"live/network", "live/network-env:prod"} {
				if trees := treesOf(s, key); len(trees) > 1 {
					t.Errorf("old parts of %s are left: %v", key, trees)
				}
			}
		})
	}
}

// treesOf returns the hashes whose parts are stored for a key.
func treesOf(s *store, key string) map[string]bool {
	trees := map[string]bool{}
	for _, chunk := range s.Keys(key + "/tfstate.") {
		trees[chunk[:strings.LastIndex(chunk, "/")]] = true
	}
	return trees
}

// A lock that a running terraform holds stops moves from and to its state.
func TestTerraformsLockStopsMoves(t *testing.T) {
	t.Parallel()
	s, p := newStore(t), newPlace(t)
	c := newConfiguration(t, s, "network", "", "")
	c.apply("first")
	before := s.has("network")
	p.write("terraform.tfstate", bytes.Replace(before, []byte(`"serial": `), []byte(`"serial": 1`), 1))
	locked := make(chan struct{})
	var once sync.Once
	s.aimAt(func(op string, r *http.Request, answer func()) bool {
		answer()
		if e := s.Get("network/.lockinfo"); e != nil {
			once.Do(func() { close(locked) })
		}
		return false
	})
	console := c.command("console")
	in, err := console.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := console.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-locked:
	case <-time.After(30 * time.Second):
		t.Fatal("terraform console holds no lock")
	}
	for _, args := range [][]string{
		{"move", "--create", s.address("network"), organization + "/network"},
		{"move", "terraform.tfstate", s.address("network")},
	} {
		if out := p.run(3, args...); !strings.Contains(out, "locked") || !strings.Contains(out, "@") {
			t.Errorf("tfhaul %s does not show who holds the lock:\n%s", strings.Join(args, " "), out)
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := console.Wait(); err != nil {
		t.Error(err)
	}
	s.wantFree("network")
	p.run(0, "move", "terraform.tfstate", s.address("network"))
	if !bytes.Contains(s.has("network"), []byte(`"serial": 1`)) {
		t.Error("it was not moved after the lock was released")
	}
}

// The lock of a move stops terraform, which shows who holds it.
func TestAMovesLockStopsTerraform(t *testing.T) {
	t.Parallel()
	s, p := newStore(t), newPlace(t)
	c := newConfiguration(t, s, "network", "", "")
	c.apply("first")
	p.write("terraform.tfstate", bytes.Replace(s.has("network"), []byte(`"serial": `), []byte(`"serial": 1`), 1))
	var tried sync.Once
	s.aimAt(func(op string, r *http.Request, _ func()) bool {
		if e := s.Get("network/.lock"); op == "PUT txn" && e != nil && e.Session != "" {
			tried.Do(func() { // before the move writes
				out, err := c.run("apply", "-auto-approve", "-input=false", "-var=note=second")
				if err == nil {
					t.Errorf("terraform applied under the lock of a move:\n%s", out)
				}
				for _, want := range []string{"Error acquiring the state lock", e.Session, "OperationTypeMigrate", "tfhaul"} {
					if !strings.Contains(out, want) {
						t.Errorf("terraform does not show %q:\n%s", want, out)
					}
				}
			})
		}
		return false
	})
	p.run(0, "move", "terraform.tfstate", s.address("network"))
	s.aimAt(nil)
	s.wantFree("network")
	c.apply("second")
}

// states is how many states move into the organization, and back out.
const states = 50

// 50 states move into the organization, and back into another prefix, in one migrate each,
// killed and resumed with the same command.
func TestFiftyStatesInAndBackOut(t *testing.T) {
	t.Parallel()
	s, p := newStore(t), newPlace(t)
	want := map[string][]byte{}
	for i := range states {
		size := int64(2_000)
		if i%25 == 0 {
			size = 300_000
		}
		name := fmt.Sprintf("net-%03d", i)
		want[name] = fixtures.Spec{Seed: uint64(i + 1), Serial: int64(i%40 + 1), Resources: 1, MinSize: size}.Bytes()
		s.Put("from/"+name, want[name])
	}
	p.killAt(s, 70, false, "GET kv", "migrate", s.address("from/"), "--target", organization, "--create", "--yes", "--journal", "in.jsonl")
	p.run(0, "migrate", s.address("from/"), "--target", organization, "--create", "--yes", "--journal", "in.jsonl")
	for name, text := range want {
		if got, _, ok := p.Current(organization, name); !ok || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes arrived, which differ from the %d in Consul", name, len(got), len(text))
		}
	}
	out := []string{"migrate", "tfe://" + organization, "--target", s.address("back/"), "--yes", "--journal", "out.jsonl"}
	p.killAt(s, 60, true, "PUT txn", out...)
	s.ExpireSessions()
	p.run(0, out...)
	for name, text := range want {
		if got := s.has("back/" + name + "/terraform.tfstate"); !bytes.Equal(got, text) && !bytes.Equal(s.has("back/"+name+".tfstate"), text) {
			t.Errorf("%s: %d bytes came back, which differ from the %d before", name, len(got), len(text))
		}
	}
	if s.Sessions("tfhaul") != 0 {
		t.Errorf("%d sessions are left", s.Sessions("tfhaul"))
	}
	p.run(0, "verify", "out.jsonl")
	p.run(0, "unlock", "out.jsonl")
}

// killAt runs the program and kills it at a request of this kind, before it arrives or after it
// took effect. It reports whether there was such a request.
func (p *place) killAt(s *store, number int, after bool, kind string, args ...string) (killed bool) {
	p.t.Helper()
	cmd := p.command(args...)
	started, seen := make(chan struct{}), 0
	var mu sync.Mutex
	s.aimAt(func(op string, _ *http.Request, answer func()) bool {
		<-started
		mu.Lock()
		defer mu.Unlock()
		if kind != "" && op != kind {
			return killed
		}
		if seen++; seen == number {
			if after {
				answer()
			}
			killed = true
			_ = cmd.Process.Kill() // Wait reports how it ended
		}
		return killed // nothing arrives after the kill
	})
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	close(started)
	_ = cmd.Wait() // it ends with an error if it was killed
	s.aimAt(nil)
	mu.Lock()
	defer mu.Unlock()
	return killed
}

// The program is killed at every request of a haul. Its session expires, and the same command
// finishes the move.
func TestKilledAtEveryRequest(t *testing.T) {
	t.Parallel()
	text, old := fixtures.Spec{Seed: 5, Serial: 4, Resources: 1, MinSize: 600_000}.Bytes(), fixtures.Spec{Seed: 5, Serial: 3, Resources: 1, MinSize: 600_000}.Bytes()
	args := func(s *store, name string) []string {
		return []string{"migrate", "src", "--target", s.address(""), "--yes", "--journal", name + ".jsonl", "--backup-dir", name}
	}
	p := newPlace(t)
	cases := 0
	for number := 1; ; number++ {
		if !testenv.Full() && number%4 != 0 {
			continue // a sample
		}
		s := newStore(t)
		name := fmt.Sprintf("haul-%d", number)
		p.write("src/terraform.tfstate", old)
		p.run(0, "migrate", "src", "--target", s.address(""), "--yes", "--journal", name+"-old.jsonl", "--backup-dir", name)
		p.write("src/terraform.tfstate", text)
		killed := p.killAt(s, number, number%2 == 0, "", args(s, name)...)
		if got := s.has("terraform.tfstate"); !bytes.Equal(got, old) && !bytes.Equal(got, text) {
			t.Errorf("killed at %d, the key has neither state", number)
		}
		s.ExpireSessions() // what Consul does after at most 30 s
		if killed {
			p.run(0, args(s, name)...)
		}
		if !bytes.Equal(s.has("terraform.tfstate"), text) {
			t.Errorf("killed at %d, the state is not there in the end", number)
		}
		s.wantFree("terraform.tfstate")
		if cases++; !killed {
			break
		}
	}
	t.Logf("%d kills", cases-1)
}
