package command_test

import (
	"bytes"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"tfhaul/fixtures/cloudstorage"
	"tfhaul/tfesim"
)

// The address of an endpoint may end in a slash, as that of a container does. Journals with
// such targets can be verified and rolled back.
func TestJournalsOfTargetsThatEndInASlash(t *testing.T) {
	t.Parallel()
	google := &cloudstorage.Server{}
	google.AddBucket("acme", false)
	server := httptest.NewServer(google)
	t.Cleanup(server.Close)
	h := start(t, tfesim.Options{})
	h.environ = h.with("GOOGLE_OAUTH_ACCESS_TOKEN=ya29.of-the-test")
	google.Put("acme", cloudstorage.Object{Name: "back/default.tfstate", Text: state(7, 1)})
	source, journal := write(t, "terraform.tfstate", state(7, 2)), filepath.Join(t.TempDir(), "haul.jsonl")
	target := "gs://acme/back/?endpoint=" + server.URL + "/storage/v1/"
	holds := func(want []byte) {
		t.Helper()
		if o := google.Get("acme", "back/default.tfstate"); o == nil || !bytes.Equal(o.Text, want) {
			t.Errorf("the bucket holds another state: %+v", o)
		}
	}
	run := func(args ...string) {
		t.Helper()
		if r := h.tfhaul(t, args...); r.code != 0 {
			t.Fatalf("%s: exit code %d\n%s%s", args[0], r.code, r.stdout, r.stderr)
		}
	}
	run("migrate", filepath.Dir(source), "--target", target, "--key-name", "default.tfstate", "--yes", "--journal", journal, "--backup-dir", t.TempDir())
	holds(state(7, 2))
	run("verify", journal)
	run("unlock", journal)
	run("rollback", journal, "--yes", "--backup-dir", t.TempDir())
	holds(state(7, 1))
}
