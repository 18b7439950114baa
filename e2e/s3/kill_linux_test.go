//go:build linux

package s3_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/fixtures/testenv"
)

// TestKilledAtEveryRequestToABucket kills the real program at every request to S3 and DynamoDB of
// a haul of one state, before or after the request takes effect. The command that it printed for
// this case continues the haul. Then the object has the state's bytes, nothing is locked, and the
// table has the object's digest.
func TestKilledAtEveryRequestToABucket(t *testing.T) {
	if testing.Short() {
		t.Skip("runs hundreds of processes")
	}
	const sampled = 9
	program := buildProgram(t)
	ran, of := 0, 0
	t.Run("sweep", func(t *testing.T) {
		for _, layout := range []struct {
			name string
			open func(*testing.T) *locking
		}{{"locked by a file", lockFileOnly}, {"locked in both", lockFileAndTable}, {"versioned", tableOnly}} {
			l := layout.open(t)
			for _, kind := range []string{"fresh", "newer"} {
				whole := newKilledHaul(t, l, program, layout.name+"-"+kind, kind == "newer")
				if _, said, err := whole.run(whole.command, 0, false); err != nil {
					t.Fatalf("%v\n%s", err, said)
				}
				whole.wantDone()
				t.Logf("%s, %s: %d requests", layout.name, kind, whole.front.seen)
				for at := 1; at <= whole.front.seen; at++ {
					for _, before := range []bool{true, false} {
						if of++; !testenv.Full() && of%sampled != 0 {
							continue
						}
						ran++
						t.Run(fmt.Sprintf("%s/%s/request %d, before %v", layout.name, kind, at, before), func(t *testing.T) {
							t.Parallel()
							h := newKilledHaul(t, l, program, fmt.Sprintf("%s-%s-%d-%v", layout.name, kind, at, before), kind == "newer")
							h.check(at, before)
						})
					}
				}
			}
		}
	})
	t.Logf("%d of %d kills", ran, of)
}

// A killedHaul is a haul of one state into a prefix of a bucket.
type killedHaul struct {
	*locking
	t       *testing.T
	front   *killer
	dir     string // where the program runs
	environ []string
	command string // for a shell
	key     string
	state   []byte
}

func newKilledHaul(t *testing.T, l *locking, program, name string, replaces bool) *killedHaul {
	t.Helper()
	prefix := regexp.MustCompile(`\W+`).ReplaceAllString(name, "-") + "/"
	h := &killedHaul{locking: &locking{bucket: &bucket{t: t, server: l.bucket.server, name: l.bucket.name}, params: l.params},
		t: t, front: newKiller(t, l.table), dir: t.TempDir(), key: prefix + "net/terraform.tfstate"}
	if l.table != nil {
		table := *l.table
		table.t = t
		h.table = &table
	}
	spec := fixtures.Spec{Seed: 7, Serial: 8, Resources: 1}
	spec.Lineage = spec.LineageOf()
	h.state = spec.Bytes()
	if replaces {
		spec.Serial = 7
		old := spec.Bytes()
		h.bucket.put(h.key, old)
		if h.table != nil {
			h.table.put(h.bucket.name+"/"+h.key+"-md5", "Digest", md5Of(old))
		}
	}
	source := filepath.Join(h.dir, "states", "net")
	if err := os.MkdirAll(source, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(source, "terraform.tfstate"), h.state, 0o600); err != nil {
		t.Fatal(err)
	}
	h.environ = append(os.Environ(), "HOME="+t.TempDir(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "AWS_ENDPOINT_URL_DYNAMODB="+h.front.url)
	h.command = "tfhaul migrate states --yes --journal haul.jsonl --target '" + h.front.below(l, prefix) + "'"
	return h
}

// run runs a command, which is killed at a request unless that is 0.
func (h *killedHaul) run(command string, at int, before bool) (killed bool, said string, err error) {
	h.t.Helper()
	child := exec.CommandContext(h.t.Context(), "sh", "-c", "exec "+command)
	child.Dir, child.Env = h.dir, h.environ
	var output bytes.Buffer
	child.Stdout, child.Stderr = &output, &output
	h.front.aim(child, at, before)
	if err := child.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.front.started()
	err = child.Wait()
	return h.front.struck(), output.String(), err
}

// printed finds the command that continues the haul.
var printed = regexp.MustCompile(`After an interruption: (tfhaul .*)`)

func (h *killedHaul) check(at int, before bool) {
	h.t.Helper()
	killed, first, err := h.run(h.command, at, before)
	if !killed || err == nil {
		h.t.Fatalf("killed %v: %v\n%s", killed, err, first)
	}
	command := h.command // nothing is recorded while the haul is planned
	if found := printed.FindStringSubmatch(first); found != nil {
		command = found[1]
	} else if h.locked() {
		h.t.Error("it is locked, and no command was printed")
	}
	if _, second, err := h.run(command, 0, false); err != nil {
		h.t.Errorf("%s: %v\n%s\nthe first run:\n%s", command, err, second, first)
	}
	h.wantDone()
}

func (h *killedHaul) locked() bool {
	h.t.Helper()
	return h.bucket.get(h.key+".tflock") != nil || h.table != nil && h.table.holds(h.bucket.name+"/"+h.key)
}

func (h *killedHaul) wantDone() {
	h.t.Helper()
	if !bytes.Equal(h.bucket.get(h.key), h.state) {
		h.t.Error("the object does not have the bytes of the state")
	}
	if h.locked() {
		h.t.Error("it is locked")
	}
	if h.table != nil && h.digest(h.key) != md5Of(h.state) {
		h.t.Errorf("the table has the digest %q of other bytes", h.digest(h.key))
	}
}
