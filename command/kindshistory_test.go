package command_test

import (
	"crypto/md5"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/fixtures/blobstorage"
	"tfhaul/fixtures/cloudstorage"
	"tfhaul/fixtures/gitlab"
	"tfhaul/tfesim"
)

// TestOlderVersionsFromEveryKind moves all versions of a state from each kind of server that
// keeps them, other than S3, into a workspace.
func TestOlderVersionsFromEveryKind(t *testing.T) {
	t.Parallel()
	h := start(t, tfesim.Options{})
	serve := func(handler http.Handler) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
	google, azure, lab := &cloudstorage.Server{}, &blobstorage.Server{}, &gitlab.Server{}
	google.AddBucket("acme", true)
	azure.AddContainer("acme", true)
	lab.AddProject("acme/infra")
	lab.AddToken("glpat-of-the-test", gitlab.Token{User: "ann", Role: gitlab.Maintainer})
	h.environ = h.with("GOOGLE_OAUTH_ACCESS_TOKEN=ya29.of-the-test", "ARM_ACCESS_KEY=c2VjcmV0LWtleS1vZi10aGUtdGVzdHM=", "GITLAB_TOKEN=glpat-of-the-test")
	serials := []int64{3, 4, 9}
	var want []string
	for _, serial := range serials {
		text := state(5, serial)
		sum := md5.Sum(text)
		want = append(want, hex.EncodeToString(sum[:]))
		google.Put("acme", cloudstorage.Object{Name: "net/default.tfstate", Text: text})
		azure.Put("acme", blobstorage.Blob{Name: "net.tfstate", Text: text})
		lab.Put("acme/infra", "net", serial, text)
	}
	labURL := "gitlab+" + serve(lab) + "/acme/infra/"
	for name, source := range map[string]string{
		"gcs":    "gs://acme/net/default.tfstate?endpoint=" + serve(google) + "/storage/v1/",
		"azure":  "azurerm://account/acme/net.tfstate?endpoint=" + serve(azure),
		"gitlab": labURL + "net",
	} {
		r := h.tfhaul(t, "move", source, org+"/"+name, "--create", "--history", "all", "--journal", filepath.Join(t.TempDir(), "haul.jsonl"))
		if r.code != 0 {
			t.Errorf("%s: exit code %d\n%s%s", name, r.code, r.stdout, r.stderr)
		}
		mustBeSums(t, name, h.sums(org, name), want)
	}
	if r := h.tfhaul(t, "move", "tfe://"+org+"/gcs", labURL+"back", "--history", "all", "--journal", filepath.Join(t.TempDir(), "haul.jsonl")); r.code != 0 || lab.State("acme/infra", "back") == nil || len(lab.State("acme/infra", "back").Versions) != len(serials) {
		t.Errorf("into GitLab: exit code %d\n%s%s%+v", r.code, r.stdout, r.stderr, lab.State("acme/infra", "back"))
	}
	r := h.tfhaul(t, "migrate", "tfe://"+org, "--target", "gs://acme/back/", "--history", "all", "--yes")
	if r.code != 4 || !strings.Contains(r.stderr, "cannot store older versions") {
		t.Errorf("into Google Cloud Storage: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}
