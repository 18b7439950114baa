//go:build linux

package s3_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"tfhaul/fixtures"
	"tfhaul/tfesim"
)

// A platform team's weekend: what TestHaulOfAWeekend moves, and its limits.
const (
	inBuckets, inDirectories = 500, 300

	limit     = 30 // API requests per second
	latency   = 40 * time.Millisecond
	maxTime   = 1.15        // multiple of API requests ÷ limit
	maxMemory = 150_000_000 // resident bytes
	newOnes   = 40          // workspaces that do not exist yet
	haulOrg   = "acme"
)

// TestHaulOfAWeekend moves 500 states from two buckets, one of them versioned, with two
// workspace prefixes, and 300 from directories, in one tfhaul migrate. The server allows 30
// requests per second and takes 40 ms for each.
func TestHaulOfAWeekend(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes two minutes")
	}
	program := buildProgram(t)
	sim, environ := startTFE(t)
	want := map[string][]byte{} // by workspace
	sources := plantWeekend(t, want)
	if len(want) != inBuckets+inDirectories {
		t.Fatalf("%d workspaces are named, want %d", len(want), inBuckets+inDirectories)
	}
	existing := 0
	for workspace := range want {
		if existing++; existing > newOnes {
			if _, err := sim.AddWorkspace(haulOrg, workspace); err != nil {
				t.Fatal(err)
			}
		}
	}
	sim.ResetRequests()
	journal := filepath.Join(t.TempDir(), "haul.jsonl")
	args := append([]string{"migrate", "--target", haulOrg, "--create", "--yes", "--json", "--journal", journal}, sources...)
	child := exec.CommandContext(t.Context(), program, args...)
	child.Env = environ
	var stdout, stderr bytes.Buffer
	child.Stdout, child.Stderr = &stdout, &stderr
	start := time.Now()
	var calls, memory, pid atomic.Int64
	sim.OnRequest(func(q tfesim.Request) {
		if strings.HasPrefix(q.Path, "/api/v2/") {
			calls.Add(1)
		}
		memory.Store(max(memory.Load(), peakMemory(pid.Load())))
	})
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid.Store(int64(child.Process.Pid))
	err := child.Wait()
	took := time.Since(start)
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(stderr.String()))
	}

	wantWeekend(t, sim, want)
	ideal := time.Duration(calls.Load()) * time.Second / limit
	ratio := took.Seconds() / ideal.Seconds()
	t.Logf("%d states in %.1f s with %d API calls: %.3f times calls ÷ %d/s; peak memory %d MiB on a machine with %d CPUs",
		len(want), took.Seconds(), int(calls.Load()), ratio, limit, memory.Load()>>20, runtime.NumCPU())
	if ratio > maxTime {
		t.Errorf("the haul took %.3f times calls ÷ limit, want at most %.2f", ratio, maxTime)
	}
	if m := memory.Load(); m == 0 || m > maxMemory {
		t.Errorf("peak memory is %d MiB, want at most %d", m>>20, maxMemory>>20)
	}
	var document struct {
		Summary  map[string]int
		APICalls int `json:"api_calls"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if document.Summary["moved"] != len(want) || document.APICalls != int(calls.Load()) {
		t.Errorf("it reports %v and %d API calls; the server counted %d", document.Summary, document.APICalls, int(calls.Load()))
	}
}

// buildProgram builds tfhaul from the main module.
func buildProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tfhaul")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, ".")
	build.Dir = filepath.Join("..", "..")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return path
}

// startTFE starts the server and returns the environment for its clients.
func startTFE(t *testing.T) (*tfesim.Server, []string) {
	t.Helper()
	sim, err := tfesim.New(tfesim.Options{Organizations: []string{haulOrg}, RateLimit: limit, Latency: latency})
	if err != nil {
		t.Fatal(err)
	}
	running, err := sim.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, running.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return sim, append(os.Environ(), "HOME="+t.TempDir(),
		"TFE_ADDRESS="+running.URL(), "TFE_TOKEN="+sim.Token(tfesim.Owner), "TFHAUL_CA_FILE="+authority)
}

// plantWeekend writes states into buckets and directories, records the expected content of
// each workspace, and returns the sources. Because there are several, the name of each
// workspace begins with that of its bucket or directory.
func plantWeekend(t *testing.T, want map[string][]byte) []string {
	t.Helper()
	made := 0
	state := func() []byte {
		made++
		size := int64(4_000 + made*977%90_000) // up to 94 KB
		if made%97 == 0 {
			size = 3 << 20
		}
		return fixtures.Spec{Seed: uint64(made), Serial: int64(made%400 + 1), Resources: 1, MinSize: size, Outputs: made % 7}.Bytes()
	}
	plain, versioned := gateway.bucket(t), gateway.versionedBucket(t)
	objects := map[*bucket]map[string][]byte{plain: {}, versioned: {}}
	plant := func(b *bucket, key, name string) {
		workspace := b.name + "-" + name
		want[workspace] = state()
		objects[b][key] = want[workspace]
	}
	for i := range inBuckets / 4 {
		plant(plain, fmt.Sprintf("team-%03d/terraform.tfstate", i), fmt.Sprintf("team-%03d", i))
		plant(plain, fmt.Sprintf("env:/prod/team-%03d/terraform.tfstate", i), fmt.Sprintf("team-%03d-prod", i))
		plant(versioned, fmt.Sprintf("app-%03d/terraform.tfstate", i), fmt.Sprintf("app-%03d", i))
		plant(versioned, fmt.Sprintf("live/staging/app-%03d/terraform.tfstate", i), fmt.Sprintf("app-%03d-staging", i))
	}
	var group errgroup.Group
	group.SetLimit(8)
	for b, states := range objects {
		for key, content := range states {
			group.Go(func() error {
				_, err := gateway.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(content)})
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "repos")
	for i := range inDirectories {
		name, workspace := fmt.Sprintf("repo-%03d/terraform.tfstate", i), fmt.Sprintf("repos-repo-%03d", i)
		if i%3 == 0 {
			name, workspace = fmt.Sprintf("repo-%03d/terraform.tfstate.d/dev/terraform.tfstate", i), workspace+"-dev"
		}
		want[workspace] = state()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want[workspace], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{plain.ref(""), versioned.ref("", "workspace-key-prefix", "live"), dir}
}

// wantWeekend fails unless every workspace has its state, stored once, and none is locked.
func wantWeekend(t *testing.T, sim *tfesim.Server, want map[string][]byte) {
	t.Helper()
	for workspace, state := range want {
		held, _, ok := sim.Current(haulOrg, workspace)
		if !ok || !bytes.Equal(held, state) {
			t.Errorf("%s does not have its state", workspace)
		}
		if n := len(sim.Versions(haulOrg, workspace)); n != 1 {
			t.Errorf("%s has %d state versions, want 1", workspace, n)
		}
	}
	if n := len(sim.Workspaces(haulOrg)); n != len(want) {
		t.Errorf("there are %d workspaces, want %d", n, len(want))
	}
	if locked := sim.Locked(haulOrg); len(locked) > 0 {
		t.Errorf("%q are locked", locked)
	}
}

// peakMemory returns the peak resident memory of a running process in bytes, or 0 if
// unknown. (The value from wait includes the parent's memory at the fork.)
func peakMemory(pid int64) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(after), &kib); err != nil {
		return 0
	}
	return kib << 10
}

// tail returns the end of a long text.
func tail(text string) string { return text[max(0, len(text)-4000):] }
