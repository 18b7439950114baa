package pg_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/fixtures/blobstorage"
	"tfhaul/fixtures/cloudstorage"
	"tfhaul/fixtures/consul"
	"tfhaul/fixtures/gitlab"
	"tfhaul/fixtures/kubernetes"
)

// The credentials for the servers of newStores.
const (
	googleToken  = "ya29.of-the-test"
	azureKey     = "c2VjcmV0LWtleS1vZi10aGUtdGVzdHM="
	clusterToken = "token-of-the-test"
	labToken     = "glpat-of-the-test"
)

// A store holds states in one kind of backend. Its functions take the name of a Terraform
// workspace.
type store struct {
	name   string // begins the names of its workspaces
	states int
	source string
	put    func(workspace string, state []byte)
	// target is where the states move back to, with names by keyName, and back returns one of
	// them.
	target, keyName string
	back            func(workspace string) []byte
}

// serve serves a fake server on loopback and returns its URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// zipped and unzipped are what Kubernetes stores of a small state.
func zipped(t *testing.T, state []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(state); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	state, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// newStores starts a server of every kind that is not a file, S3 or an organization, and
// returns the environment for the program.
func newStores(t *testing.T) (*testDatabase, []store, []string) {
	t.Helper()
	d := newDatabase(t)
	d.createTable()
	google, azure, keys, lab := &cloudstorage.Server{}, &blobstorage.Server{}, &consul.Server{}, &gitlab.Server{}
	google.AddBucket("acme", false)
	azure.AddContainer("states", false)
	lab.AddProject("acme/infra")
	lab.AddToken(labToken, gitlab.Token{User: "ann", Role: gitlab.Maintainer})
	cluster := &kubernetes.Server{Token: clusterToken}
	cluster.AddNamespace("infra")
	api := httptest.NewTLSServer(cluster)
	t.Cleanup(api.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	kubeconfig := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(kubeconfig, []byte(kubernetes.Kubeconfig(api.URL, string(authority), cluster.Token)), 0o600); err != nil {
		t.Fatal(err)
	}
	gs, blobs := "?endpoint="+serve(t, google)+"/storage/v1/", "?endpoint="+serve(t, azure)
	consulHost := strings.TrimPrefix(serve(t, keys), "http://")
	labURL := "gitlab+" + serve(t, lab) + "/acme/infra/"
	outside := *d
	outside.schema = "back"
	outside.createTable()
	stores := []store{
		{
			name: "pg", states: states, source: d.address(""), target: outside.address(""), keyName: "{{ .Workspace }}", put: d.put,
			back: func(w string) []byte { data, _ := outside.has(w); return data },
		},
		{
			name: "gcs", states: states, source: "gs://acme/net/" + gs, target: "gs://acme/back/" + gs, keyName: "{{ .Workspace }}.tfstate",
			put: func(w string, s []byte) {
				google.Put("acme", cloudstorage.Object{Name: "net/" + w + ".tfstate", Text: s})
			},
			back: func(w string) []byte {
				if o := google.Get("acme", "back/"+w+".tfstate"); o != nil {
					return o.Text
				}
				return nil
			},
		},
		{
			name: "azure", states: states, source: "azurerm://account/states/net/" + blobs, target: "azurerm://account/states/back/" + blobs, keyName: "{{ .Workspace }}.tfstate",
			put: func(w string, s []byte) {
				azure.Put("states", blobstorage.Blob{Name: "net/terraform.tfstateenv:" + w, Text: s})
			},
			back: func(w string) []byte {
				if b := azure.Get("states", "back/"+w+".tfstate"); b != nil {
					return b.Text
				}
				return nil
			},
		},
		{
			name: "consul", states: states / 10, source: "consul://" + consulHost + "/net/", target: "consul://" + consulHost + "/back/", keyName: "{{ .Workspace }}",
			put: func(w string, s []byte) { keys.Put("net/app-env:"+w, s) },
			back: func(w string) []byte {
				if e := keys.Get("back/" + w); e != nil {
					return e.Value
				}
				return nil
			},
		},
		{
			name: "kube", states: states / 10, source: "kubernetes://infra/net", target: "kubernetes://infra", keyName: "back/{{ .Workspace }}",
			put: func(w string, s []byte) {
				cluster.Put("infra", kubernetes.Secrets, kubernetes.Object{
					Name: "tfstate-" + w + "-net", Annotations: map[string]string{"encoding": "gzip"}, Data: map[string][]byte{"tfstate": zipped(t, s)},
					Labels: map[string]string{"tfstate": "true", "tfstateSecretSuffix": "net", "tfstateWorkspace": w, "app.kubernetes.io/managed-by": "terraform"},
				})
			},
			back: func(w string) []byte {
				if o := cluster.Get("infra", kubernetes.Secrets, "tfstate-"+w+"-back"); o != nil {
					return unzipped(t, o.Data["tfstate"])
				}
				return nil
			},
		},
		{
			name: "lab", states: states / 10, source: labURL, target: labURL, keyName: "back-{{ .Workspace }}",
			put: func(w string, s []byte) {
				var header struct{ Serial int64 }
				if err := json.Unmarshal(s, &header); err != nil {
					t.Fatal(err)
				}
				lab.Put("acme/infra", w, header.Serial, s)
			},
			back: func(w string) []byte { return lab.Current("acme/infra", "back-"+w) },
		},
	}
	environment := []string{
		"GOOGLE_OAUTH_ACCESS_TOKEN=" + googleToken, "ARM_ACCESS_KEY=" + azureKey, "KUBE_CONFIG_PATH=" + kubeconfig, "GITLAB_TOKEN=" + labToken,
		"CONSUL_HTTP_ADDR=", "CONSUL_HTTP_TOKEN=", "TF_HTTP_PASSWORD=", "TF_HTTP_USERNAME=",
	}
	return d, stores, environment
}

// In one haul, the states of all six kinds move into the organization: 500 from each database
// and bucket, 50 from each of the others. The program is killed twice and continues. Then they
// move back out, into other places of the same kinds.
func TestAllKindsInOneHaul(t *testing.T) {
	t.Parallel()
	d, stores, environment := newStores(t)
	sim, tfe := startTFE(t)
	environment = append(environment, tfe...)
	want := map[string][]byte{}
	in := []string{"migrate"}
	for n, s := range stores {
		for i := range s.states {
			workspace := fmt.Sprintf("%s-%03d", s.name, i)
			want[workspace] = fixtures.Spec{Seed: uint64(1000*n + i + 1), Serial: int64(i%40 + 1), Resources: 1, MinSize: int64(1_000 + i*977%9_000)}.Bytes()
			s.put(workspace, want[workspace])
		}
		in = append(in, s.source)
	}
	in = append(in, "--target", haulOrg, "--create", "--yes", "--workspace-name", `{{ if eq .Workspace "default" }}{{ .Base }}{{ else }}{{ .Workspace }}{{ end }}`,
		"--parallelism", "12", "--journal", "in.jsonl")
	dir, p := t.TempDir(), d.newProxy()
	in[1] = d.address("")                      // through the proxy
	for _, number := range []int64{520, 250} { // reads of states: when planning, and when moving
		killAt(t, p, command(t, dir, environment, in...), "CROSS JOIN LATERAL generate_series", number, cutBefore)
	}
	tfhaul(t, dir, environment, in...).want(t, 0)
	for workspace, text := range want {
		if got, _, ok := sim.Current(haulOrg, workspace); !ok || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes arrived, which differ from the %d at the source", workspace, len(got), len(text))
		}
	}
	if locked := sim.Locked(haulOrg); len(locked) > 0 {
		t.Errorf("locked: %v", locked)
	}
	tfhaul(t, dir, environment, "verify", "in.jsonl").want(t, 0)

	for _, s := range stores {
		journal := s.name + ".jsonl"
		tfhaul(t, dir, environment, "migrate", "tfe://"+haulOrg, "--include", s.name+"-*", "--target", s.target, "--key-name", s.keyName, "--yes",
			"--parallelism", "12", "--journal", journal).want(t, 0)
		for i := range s.states {
			workspace := fmt.Sprintf("%s-%03d", s.name, i)
			if got := s.back(workspace); !bytes.Equal(got, want[workspace]) {
				t.Errorf("%s: %d bytes came back, which differ from the %d before", workspace, len(got), len(want[workspace]))
			}
		}
		text, err := os.ReadFile(filepath.Join(dir, journal))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{d.password, googleToken, azureKey, labToken, clusterToken} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s contains a secret", journal)
			}
		}
		tfhaul(t, dir, environment, "verify", journal).want(t, 0)
	}
}
