package command_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tfhaul/fixtures"
)

const good = "terraform.tfstate"

// badFiles are files that are not what they should be: every sample of package
// fixtures that is refused, and what the file system makes odd.
func badFiles() []badInput {
	var all []badInput
	for _, sample := range fixtures.Samples() {
		if sample.Code == "" {
			continue
		}
		exit := 3
		if sample.Code == "empty" {
			exit = 0
		}
		all = append(all, badInput{name: sample.Name, args: []string{"move", good, "acme/net"},
			files: map[string]string{good: string(sample.Bytes())}, exit: exit})
	}
	snapshot := string(state(1, 10))
	all = append(all,
		badInput{name: "a state without content", args: []string{"move", good, "acme/net"},
			files: map[string]string{good: string(fixtures.SampleNamed("v4-workspace-new.tfstate").Bytes())}, exit: 0},
		badInput{name: "errored.tfstate", args: []string{"move", "errored.tfstate", "acme/net"}, files: map[string]string{"errored.tfstate": snapshot}, exit: 3},
		badInput{name: "Terraform's lock next to the state", args: []string{"move", good, "acme/net"}, files: map[string]string{good: snapshot,
			".terraform.tfstate.lock.info": `{"ID":"1f0c5ab9-0d4c-1f3a-8d1e-000000000001","Operation":"OperationTypeApply","Info":"","Who":"ada@build-7","Version":"1.11.4","Created":"2026-03-01T10:00:00Z","Path":"terraform.tfstate"}`}, exit: 3},
		badInput{name: "an empty lock", args: []string{"move", good, "acme/net"}, files: map[string]string{good: snapshot, ".terraform.tfstate.lock.info": ""}, exit: 3},
		badInput{name: "a lock that would control a terminal", args: []string{"move", good, "acme/net"}, files: map[string]string{good: snapshot,
			".terraform.tfstate.lock.info": `{"ID":"\u001b]0;owned\u0007","Operation":"\u001b[2J","Who":"eve\r\nroot"}`}, exit: 3},
		badInput{name: "older than the workspace's", args: []string{"move", good, "acme/full"}, files: map[string]string{good: string(state(1, 9))}, exit: 3},
		badInput{name: "other bytes under the same serial", args: []string{"move", good, "acme/full"}, files: map[string]string{good: string(fixtures.Spec{Seed: 1, Serial: 10, Resources: 4}.Bytes())}, exit: 3},
		badInput{name: "another lineage", args: []string{"move", good, "acme/full"}, files: map[string]string{good: string(state(2, 11))}, exit: 3},
		badInput{name: "another lineage, verified", args: []string{"verify", good, "acme/full"}, files: map[string]string{good: string(state(2, 11))}, exit: 3},
		badInput{name: "nothing on standard input", args: []string{"move", "-", "acme/net"}, exit: 3},
		badInput{name: "an error message on standard input", args: []string{"move", "-", "acme/net"}, stdin: "Error: No valid credential sources found\n", exit: 3},
		badInput{name: "half a state on standard input", args: []string{"move", "-", "acme/net"}, stdin: snapshot[:len(snapshot)/2], exit: 3},
		badInput{name: "an audit of a file that is not a state", args: []string{"audit", "."}, files: map[string]string{good: "hello", "b/terraform.tfstate": snapshot[:40]}, exit: 0},
	)
	return append(all, oddFiles(snapshot)...)
}

// oddFiles are files that cannot be read as files are, or have names to fear.
func oddFiles(snapshot string) []badInput {
	const loud = "a\x1b[31m\x1b]0;owned\x07\u202e.tfstate"
	all := []badInput{
		{name: "no such file", args: []string{"move", "terrafrom.tfstate", "acme/net"}, files: map[string]string{good: snapshot}, exit: 4},
		{name: "a directory without states", args: []string{"move", ".", "acme/net"}, files: map[string]string{"main.tf": ""}, exit: 4},
		{name: "a directory whose states are skipped", args: []string{"move", ".", "acme/net"}, files: map[string]string{"errored.tfstate": snapshot, "terraform.tfstate.backup": snapshot, ".terraform/terraform.tfstate": "{}"}, exit: 4},
		{name: "a directory with several states", args: []string{"move", ".", "acme/net"}, files: map[string]string{"a.tfstate": snapshot, "b/terraform.tfstate": snapshot}, exit: 4},
		{name: "a directory as a journal", args: []string{"move", good, "acme/net", "--journal", "."}, files: map[string]string{good: snapshot}, exit: 4},
	}
	if runtime.GOOS == "windows" {
		return all
	}
	all = append(all,
		badInput{name: "a name that would control a terminal", args: []string{"move", loud, "acme/net"}, files: map[string]string{loud: "hello"}, exit: 3},
		badInput{name: "a name that would control a terminal, missing", args: []string{"move", loud, "acme/net"}, exit: 4},
		badInput{name: "a name that would control a terminal, audited", args: []string{"audit", "."}, files: map[string]string{loud: "hello"}, exit: 0},
		badInput{name: "names that would control a terminal, listed", args: []string{"move", ".", "acme/net"}, files: map[string]string{loud: snapshot, "two\nlines.tfstate": snapshot}, exit: 4},
		badInput{name: "a link to nowhere", args: []string{"move", good, "acme/net"}, prepare: link("gone.tfstate", good), exit: 4},
		badInput{name: "a link to itself", args: []string{"move", good, "acme/net"}, prepare: link(good, good), exit: 4},
		badInput{name: "a path through a file", args: []string{"move", good + "/x", "acme/net"}, files: map[string]string{good: snapshot}, exit: 4},
		badInput{name: "a socket", args: []string{"move", "s.tfstate", "acme/net"}, prepare: func(t *testing.T, dir string) {
			listener, err := net.Listen("unix", filepath.Join(dir, "s.tfstate"))
			if err != nil {
				t.Skip("the path is too long for a socket here")
			}
			t.Cleanup(func() { _ = listener.Close() }) // the directory goes, too
		}, exit: 4},
		badInput{name: "a name that is too long", args: []string{"move", strings.Repeat("a", 300) + ".tfstate", "acme/net"}, exit: 4},
	)
	if os.Getuid() != 0 {
		all = append(all,
			badInput{name: "a file that may not be read", args: []string{"move", good, "acme/net"}, files: map[string]string{good: snapshot}, prepare: chmod(good, 0), exit: 1})
	}
	return all
}

func link(to, name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func chmod(name string, mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// badSources are sources that name nothing, or what cannot be read.
func badSources() []badInput {
	move := func(name, source string, exit int) badInput {
		return badInput{name: name, args: []string{"move", source, "acme/net"}, exit: exit}
	}
	return []badInput{
		move("nothing", "", 4),
		move("no bucket", "s3://", 4),
		move("a key without a bucket", "s3:///network/terraform.tfstate", 4),
		move("a bucket's name too short", "s3://ab/terraform.tfstate", 4),
		move("a bucket's name with blanks", "s3://my bucket/terraform.tfstate", 4),
		move("credentials in the URL", "s3://AKIAPLANTEDSECRET000:pLaNtEd0secret0key0pLaNtEd0secret0key000@bucket/terraform.tfstate", 4),
		move("a wrongly encoded key", "s3://acme-tfstate/100%/terraform.tfstate", 4),
		move("an unknown parameter", "s3://acme-tfstate/terraform.tfstate?versionid=1", 4),
		move("a parameter without a value", "s3://acme-tfstate/terraform.tfstate?region=", 4),
		move("a parameter twice", "s3://acme-tfstate/terraform.tfstate?region=a&region=b", 4),
		move("an invalid boolean", "s3://acme-tfstate/terraform.tfstate?path-style=yes", 4),
		move("an invalid region", "s3://acme-tfstate/terraform.tfstate?region=eu_west_1", 4),
		move("an invalid endpoint", "s3://acme-tfstate/terraform.tfstate?endpoint=minio.example.com", 4),
		move("an endpoint with a password", "s3://acme-tfstate/terraform.tfstate?endpoint=https://root:pLaNtEd-pa55word-7Qx2vK9@minio.example.com", 4),
		move("an unencrypted endpoint", "s3://acme-tfstate/terraform.tfstate?endpoint=http://minio.example.com:9000", 4),
		move("a version of a prefix", "s3://acme-tfstate/network/?versionId=abc", 4),
		move("an unknown profile", "s3://acme-tfstate/terraform.tfstate?profile=nosuch", 4),
		move("an endpoint where nothing listens", "s3://acme-tfstate/terraform.tfstate?path-style=true&endpoint=http://127.0.0.1:1", 1),
		{name: "an audit of an endpoint where nothing listens", args: []string{"audit", "s3://acme-tfstate/?path-style=true&endpoint=http://127.0.0.1:1"}, exit: 1},
		move("Google's storage with a password", "gs://user:pLaNtEd-pa55word-7Qx2vK9@acme-tfstate/default.tfstate", 4),
		move("an unknown parameter of Google's storage", "gs://acme-tfstate/default.tfstate?key=pLaNtEd-pa55word-7Qx2vK9", 4),
		move("Azure's storage with a key", "azurerm://account:pLaNtEd-pa55word-7Qx2vK9@acme/network.tfstate", 4),
		move("Azure's storage with a SAS token", "azurerm://account/acme/network.tfstate?sv=2021-12-02&sig=pLaNtEd-pa55word-7Qx2vK9", 4),
		move("the host of Azure's storage", "azurerm://account.blob.core.windows.net/acme/network.tfstate", 4),
		move("an unencrypted endpoint of Azure's storage", "azurerm://account/acme/network.tfstate?endpoint=http://storage.example.com/", 4),
		move("an unencrypted endpoint of Google's storage", "gs://acme-tfstate/default.tfstate?endpoint=http://storage.example.com/", 4),
		move("Azure's storage", "https://acme.blob.core.windows.net/state/terraform.tfstate?sig=pLaNtEd-pa55word-7Qx2vK9", 4),
		move("an address of HTTP", "http://user:pLaNtEd-pa55word-7Qx2vK9@example.com/state", 4),
		move("a file as a URL", "file:///tmp/terraform.tfstate", 4),
		move("a URL of an unknown kind", "terraform://acme/net", 4),
		{name: "an audit without a source", args: []string{"audit"}, exit: 4},
		{name: "an audit of an empty name", args: []string{"audit", ""}, exit: 4},
		{name: "an audit of a missing file", args: []string{"audit", "nowhere"}, exit: 4},
		{name: "an audit of a directory without states", args: []string{"audit", "."}, exit: 4},
		{name: "an audit of an existing and a missing file", args: []string{"audit", good, "nowhere"}, files: map[string]string{good: string(state(1, 1))}, exit: 4},
		{name: "an invalid glob", args: []string{"audit", ".", "--include", "[a-"}, files: map[string]string{good: string(state(1, 1))}, exit: 4},
		{name: "a glob that excludes everything", args: []string{"audit", ".", "--exclude", "**"}, files: map[string]string{good: string(state(1, 1))}, exit: 4},
	}
}
