package command_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfhaul/fixtures/blobstorage"
	"tfhaul/fixtures/cloudstorage"
	"tfhaul/fixtures/consul"
	"tfhaul/fixtures/gitlab"
)

// TestEveryKindUsesProxiesAndAuthorities reads a state from each kind of server that has TLS,
// through a proxy with a password and with a certificate of a private authority.
func TestEveryKindUsesProxiesAndAuthorities(t *testing.T) {
	t.Parallel()
	want := state(3, 10)
	google := &cloudstorage.Server{}
	google.AddBucket("acme", false)
	google.Put("acme", cloudstorage.Object{Name: "good/default.tfstate", Text: want})
	azure, keys, lab, plain := &blobstorage.Server{}, &consul.Server{}, &gitlab.Server{}, &gitlab.Plain{}
	azure.AddContainer("acme", false)
	azure.Put("acme", blobstorage.Blob{Name: "good.tfstate", Text: want})
	keys.Put("good", want)
	lab.AddProject("acme/infra")
	lab.AddToken("glpat-of-the-test", gitlab.Token{User: "ann", Role: gitlab.Maintainer})
	lab.Put("acme/infra", "good", 10, want)
	plain.Put("/good", want)
	for _, tt := range []struct {
		kind, host, source string
		server             http.Handler
		environ            []string
	}{
		{"S3", "acme.s3.us-east-1.amazonaws.com", "s3://acme/good/terraform.tfstate", http.HandlerFunc(carelessBucket),
			[]string{"AWS_ACCESS_KEY_ID=" + awsKeyID, "AWS_SECRET_ACCESS_KEY=" + awsKey, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1"}},
		{"Google Cloud Storage", "storage.googleapis.com", "gs://acme/good/default.tfstate", google, []string{"GOOGLE_OAUTH_ACCESS_TOKEN=ya29.of-the-test"}},
		{"Azure Blob Storage", "account.blob.core.windows.net", "azurerm://account/acme/good.tfstate", azure, []string{"ARM_ACCESS_KEY=c2VjcmV0LWtleS1vZi10aGUtdGVzdHM="}},
		{"Consul", "consul.example.test", "consul://consul.example.test/good", keys, nil},
		{"GitLab", "gitlab.example.test", "gitlab://gitlab.example.test/acme/infra/good", lab, []string{"GITLAB_TOKEN=glpat-of-the-test"}},
		{"http backend", "state.example.test", "http+https://state.example.test/good", plain, nil},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			authority, dir := newAuthority(t), t.TempDir()
			front := serveTLS(t, tt.server, authority.certificate(t, tt.host, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
			proxy := httptest.NewServer(tunnel(front))
			t.Cleanup(proxy.Close)
			ca, target := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "out", "terraform.tfstate")
			writeTo(t, ca, authority.pem)
			run := func(args ...string) (code int, said string) {
				cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"move", tt.source, target}, args...)...)
				cmd.Dir = dir
				cmd.Env = append([]string{
					"PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"), "HOME=" + dir,
					"HTTPS_PROXY=" + strings.Replace(proxy.URL, "://", "://haul:"+proxyPassword+"@", 1),
				}, tt.environ...)
				out, _ := cmd.CombinedOutput() // the exit code is checked
				return cmd.ProcessState.ExitCode(), string(out)
			}
			code, said := run()
			if _, err := os.Stat(target); code != 1 || !strings.Contains(said, "certificate") || !os.IsNotExist(err) {
				t.Errorf("with an unknown authority: exit code %d, the target: %v\n%s", code, err, said)
			}
			code, said = run("--ca-file", ca)
			if got, err := os.ReadFile(target); code != 0 || err != nil || !bytes.Equal(got, want) {
				t.Errorf("with --ca-file: exit code %d, the target has %d bytes (%v)\n%s", code, len(got), err, said)
			}
			mustHide(t, "the output", said, []string{proxyPassword, awsKey, "ya29.of-the-test", "c2VjcmV0LWtleS1vZi10aGUtdGVzdHM=", "glpat-of-the-test"})
		})
	}
}
