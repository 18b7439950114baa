package s3_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestTheDocumentOnLeaving runs the commands of docs/leaving.md as they are written, in the
// document's order, except for the login. Only the confirmation of a haul is added, because
// no terminal can give it here.
func TestTheDocumentOnLeaving(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "leaving.md"))
	if err != nil {
		t.Fatal(err)
	}
	c := planned(t)
	state, err := os.ReadFile(filepath.Join(c.dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bucket{t: t, server: gateway, name: "acme-tfstate"} // as the document names it
	if _, err := gateway.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(b.name)}); err != nil {
		t.Fatal(err)
	}
	d := newDestination(t, "acme", "new-acme")
	held := map[string][]byte{}
	for i, workspace := range []string{"network", "net-a"} {
		if _, err := d.AddWorkspace("acme", workspace); err != nil {
			t.Fatal(err)
		}
		lineage := between(string(state), `"lineage": "`, `"`)
		own := lineage[:len(lineage)-1] + string(rune('a'+i))
		for serial := range int64(2) {
			text := strings.Replace(string(state), lineage, own, 1)
			held[workspace] = []byte(strings.Replace(text, `"serial": 1,`, fmt.Sprintf(`"serial": %d,`, serial+1), 1))
			if _, err := d.SeedVersion("acme", workspace, held[workspace], serial+1, own); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", gateway.url()) // instead of Amazon's
	t.Setenv("AWS_REGION", "us-east-1")
	d.environ = append(os.Environ(), d.environ...)
	t.Chdir(t.TempDir())
	if err := os.Mkdir("network", 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("network/main.tf", ofWorkspaces)
	ran := 0

	tfhaul := func(line string) string {
		t.Helper()
		words := shellWord.FindAllString(line, -1)
		for i := range words {
			words[i] = strings.Trim(words[i], "'")
		}
		if words[1] == "migrate" {
			words = append(words, "--yes")
		}
		exit, stdout, stderr := d.tfhaul(t, words[1:]...)
		if exit != 0 {
			t.Fatalf("%s: exit code %d\n%s%s", line, exit, stdout, stderr)
		}
		return stdout + stderr
	}
	frozen := map[string]string{} // the haul that froze a workspace
	freeze := func(said string) {
		t.Helper()
		m := unlockCommand.FindStringSubmatch(said)
		if m == nil {
			t.Fatalf("no command to unlock the workspaces again:\n%s", said)
		}
		for workspace := range held {
			frozen[workspace] = m[1]
		}
	}
	for _, m := range documentedCommand.FindAllStringSubmatch(string(text), -1) {
		line := m[1]
		if args, ok := strings.CutPrefix(line, "terraform "); ok {
			cmd := exec.CommandContext(t.Context(), c.terraform, strings.Fields(args)...)
			cmd.Dir, cmd.Env = "network", c.command().Env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", line, err, out)
			}
			continue
		}
		if begins.MatchString(line) {
			for workspace := range frozen {
				tfhaul("tfhaul unlock acme/" + workspace + " --haul " + frozen[workspace])
			}
			clear(frozen)
		}
		said := tfhaul(line)
		switch {
		case strings.HasPrefix(line, "tfhaul migrate haul.hcl"):
			freeze(said)
			for workspace, want := range held {
				if !bytes.Equal(b.get(workspace+"/terraform.tfstate"), want) {
					t.Errorf("the bucket lacks the state of %s", workspace)
				}
			}
			block, _ := recipe(said)
			write("network/backend.tf", strings.Replace(block, "net-a/", "network/", 1))
		case strings.HasPrefix(line, "tfhaul migrate across.hcl"):
			freeze(said)
			for workspace, want := range held {
				if current, _, _ := d.Current("new-acme", workspace); !bytes.Equal(current, want) {
					t.Errorf("new-acme lacks the state of %s", workspace)
				}
			}
		case strings.HasPrefix(line, "tfhaul migrate tfe://acme --target ./states/"):
			if older, err := filepath.Glob("states/network/1-*.tfstate"); err != nil || len(older) != 1 {
				t.Errorf("the older versions in the directory: %v, %v", older, err)
			}
		case strings.HasPrefix(line, "tfhaul move tfe://acme/network ./network.tfstate"):
			if got, err := os.ReadFile("network.tfstate"); err != nil || !bytes.Equal(got, held["network"]) {
				t.Errorf("the file lacks the state of network: %v", err)
			}
		}
		ran++
	}
	if ran < 13 {
		t.Errorf("only %d commands of tfhaul were found in the document", ran)
	}
}

var (
	documentedCommand = regexp.MustCompile(`(?m)^ {4,}((?:tfhaul|terraform (?:init|plan)) .*)$`)
	unlockCommand     = regexp.MustCompile(`tfhaul unlock \S+ --haul (\S+)`)
	begins            = regexp.MustCompile(`^tfhaul (plan|move|migrate tfe:)`) // commands that read the workspaces again
	shellWord         = regexp.MustCompile(`'[^']*'|\S+`)
)
