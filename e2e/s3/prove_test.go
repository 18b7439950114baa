package s3_test

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/prove"
)

// ofWorkspaces is a configuration whose state depends on the workspace.
const ofWorkspaces = "resource \"terraform_data\" \"one\" { input = terraform.workspace }\n"

// planned writes a configuration without a backend, and applies it in the default workspace
// and in prod.
func planned(t *testing.T) *configuration {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("NOT TESTED against the real terraform, which is not on PATH")
	}
	c := &configuration{t: t, dir: t.TempDir(), terraform: terraform}
	c.write(ofWorkspaces)
	for _, args := range [][]string{{"init"}, {"apply", "-auto-approve"}, {"workspace", "new", "prod"}, {"apply", "-auto-approve"}, {"workspace", "select", "default"}} {
		c.must(args...)
	}
	return c
}

// Hauls into buckets are proven there by the real terraform, in the workspace of each state,
// whatever the lock. A proof writes nothing to the bucket, the lock table or the
// configuration, and takes no lock.
func TestProofsInABucket(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *locking{"locked by a file": lockFileOnly, "versioned, locked in a table": tableOnly} {
		t.Run(name, func(t *testing.T) {
			l, c := open(t), planned(t)
			d := newDestination(t)
			d.environ = append(os.Environ(), d.environ...)
			before := contents(t, c.dir)
			exit, stdout, stderr := d.tfhaul(t, "migrate", c.dir, "--target", l.bucket.ref("net/", l.params...), "--prove", "--yes", "--json",
				"--journal", filepath.Join(t.TempDir(), "haul.jsonl"))
			var haul struct {
				Proofs map[prove.Verdict]int
				Moves  []struct {
					StateVersionID string `json:"state_version_id"`
					Proof          prove.Result
				}
			}
			if err := json.Unmarshal([]byte(stdout), &haul); err != nil || exit != 0 || haul.Proofs[prove.Proven] != 2 {
				t.Fatalf("exit %d, %v\n%s%s", exit, err, stdout, stderr)
			}
			for _, m := range haul.Moves {
				if m.Proof.Instances != 1 || m.Proof.StateVersionID != m.StateVersionID || !m.Proof.Local {
					t.Errorf("a proof: %+v", m.Proof)
				}
			}
			stored := versions(t, l.bucket)
			key := "env:/prod/net/terraform.tfstate"
			proof := func(key string, want prove.Verdict, code prove.Code, wantExit int) prove.Result {
				t.Helper()
				exit, stdout, stderr := d.tfhaul(t, "prove", "--local", "--json", c.dir, l.bucket.ref(key, l.params...))
				var r prove.Result
				if err := json.Unmarshal([]byte(stdout), &r); err != nil || exit != wantExit || r.Verdict != want || r.Code != code {
					t.Errorf("%s: exit %d, %v\n%s%s", key, exit, err, stdout, stderr)
				}
				return r
			}
			proof(key, prove.Proven, "", 0)
			// Terraform would create an empty state for the workspace.
			proof("env:/staging/net/terraform.tfstate", prove.Unproven, prove.CodeNoState, 1)
			if after := contents(t, c.dir); after != before {
				t.Errorf("the configuration was changed from\n%s\nto\n%s", before, after)
			}
			c.write(strings.Replace(ofWorkspaces, "terraform.workspace", "upper(terraform.workspace)", 1))
			if r := proof(key, prove.Changes, "", 3); len(r.Changes) != 1 || r.Changes[0].Address != "terraform_data.one" {
				t.Errorf("the changes are %+v", r.Changes)
			}
			if l.table != nil {
				// Terraform refuses a state whose digest is another.
				l.table.put(l.bucket.name+"/"+key+"-md5", "Digest", md5Of(nil))
				if r := proof(key, prove.Unproven, prove.CodeRunErrored, 1); !strings.Contains(r.Message, "digest in the DynamoDB table") {
					t.Errorf("%s", r.Message)
				}
			}
			if after := versions(t, l.bucket); !slices.Equal(after, stored) {
				t.Errorf("the bucket had\n%q\nand has\n%q", stored, after)
			}
			if l.table != nil && l.table.holds(l.bucket.name+"/"+key) {
				t.Error("the state is locked")
			}
		})
	}
}

// contents lists the files below a directory with their digests.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			fmt.Fprintln(&b, path)
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		fmt.Fprintf(&b, "%s %x\n", path, md5.Sum(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// versions lists every version of every object.
func versions(t *testing.T, b *bucket) []string {
	t.Helper()
	var found []string
	pages := s3.NewListObjectVersionsPaginator(gateway.client, &s3.ListObjectVersionsInput{Bucket: &b.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Versions {
			found = append(found, aws.ToString(v.Key)+" "+aws.ToString(v.VersionId)+" "+aws.ToString(v.ETag))
		}
		for _, v := range page.DeleteMarkers {
			found = append(found, aws.ToString(v.Key)+" "+aws.ToString(v.VersionId)+" deleted")
		}
	}
	return found
}

// The recipe that a move into a bucket prints, run as printed, ends with a plan without
// changes, whatever the workspace and the lock. Terraform then applies the next change there.
func TestRecipeAfterAMoveIntoABucket(t *testing.T) {
	for _, tt := range []struct {
		name, source, key string
		open              func(*testing.T) *locking
	}{
		{"default, locked by a file", "terraform.tfstate", "net/terraform.tfstate", lockFileOnly},
		{"prod, locked in a table", "terraform.tfstate.d/prod/terraform.tfstate", "env:/prod/net/terraform.tfstate", tableOnly},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, c, d := tt.open(t), planned(t), newDestination(t)
			exit, stdout, stderr := d.tfhaul(t, "move", filepath.Join(c.dir, tt.source), l.bucket.ref(tt.key, l.params...))
			block, commands := recipe(stderr)
			if exit != 0 || block == "" {
				t.Fatalf("exit %d\n%s%s", exit, stdout, stderr)
			}
			stored := versions(t, l.bucket)
			c.write(ofWorkspaces + block)
			for _, line := range commands {
				cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
				cmd.Dir, cmd.Env = t.TempDir(), append(c.command().Env, "HOME="+t.TempDir())
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s\n%s", line, err, out, stderr)
				}
			}
			if after := versions(t, l.bucket); !slices.Equal(after, stored) {
				t.Errorf("the bucket had\n%q\nand has\n%q", stored, after)
			}
			c.write(strings.Replace(ofWorkspaces, "terraform.workspace", `"next"`, 1) + block)
			c.must("apply", "-auto-approve", "-input=false")
			if !strings.Contains(string(l.bucket.get(tt.key)), `"next"`) {
				t.Errorf("terraform applied, but not to %s", tt.key)
			}
		})
	}
}

// recipe returns the block and the commands of the recipe in an output.
func recipe(output string) (block string, commands []string) {
	_, output, _ = strings.Cut(output, "Next: make ")
	const indent = "       "
	for line := range strings.Lines(output) {
		text, ok := strings.CutPrefix(line, indent)
		switch {
		case !ok:
		case block == "" || !strings.HasSuffix(block, "\n}\n"):
			block += text
		default:
			commands = append(commands, strings.TrimSpace(text))
		}
	}
	return block, commands
}
