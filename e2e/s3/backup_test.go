package s3_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/tfesim"
)

// A backup in a bucket stores what is new, and brings back a workspace that was deleted, with
// its bytes and with the settings that --create can set.
func TestABackupInABucketBringsWorkspacesBack(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *bucket{"unversioned": gateway.bucket, "versioned": gateway.versionedBucket} {
		t.Run(name, func(t *testing.T) {
			d, b := newDestination(t), open(t)
			current := map[string][]byte{}
			seed := func(workspace string, serial int64) {
				t.Helper()
				text := fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.4","serial":%d,"lineage":"of-%s","outputs":{"name":{"value":"x","type":"string"}},"resources":[]}`, serial, workspace)
				if _, err := d.SeedVersion("demo", workspace, text, serial, "of-"+workspace); err != nil {
					t.Fatal(err)
				}
				current[workspace] = text
			}
			run := func(args ...string) string {
				t.Helper()
				exit, stdout, stderr := d.tfhaul(t, args...)
				if exit != 0 {
					t.Fatalf("%v: exit code %d\n%s%s", args, exit, stdout, stderr)
				}
				return stdout
			}
			for i := range 30 {
				workspace := fmt.Sprintf("net-%02d", i)
				if _, err := d.AddWorkspace("demo", workspace); err != nil {
					t.Fatal(err)
				}
				seed(workspace, 1)
			}
			local := filepath.Join(t.TempDir(), "terraform.tfstate")
			if err := os.WriteFile(local, current["net-00"], 0o600); err != nil {
				t.Fatal(err)
			}
			run("move", local, "demo/kept-local", "--create", "--execution-mode", "local", "--terraform-version", "1.9.8", "--tag", "team:core")
			current["kept-local"] = current["net-00"]

			place := b.ref("backups/demo/")
			for _, want := range []string{"31 stored", "31 unchanged"} {
				if said := run("backup", "tfe://demo", place); !strings.Contains(said, "31 states: "+want) {
					t.Errorf("want %s:\n%s", want, said)
				}
			}
			seed("net-07", 2)
			if said := run("backup", "tfe://demo", place); !strings.Contains(said, "1 stored") || !strings.Contains(said, "30 unchanged") {
				t.Errorf("after one change:\n%s", said)
			}

			for _, workspace := range []string{"net-07", "kept-local"} {
				if answer := d.workspace("DELETE", workspace); answer.Code != http.StatusNoContent {
					t.Fatalf("deleting %s: status %d", workspace, answer.Code)
				}
			}
			run("migrate", place, "--target", "demo", "--create", "--yes", "--journal", filepath.Join(t.TempDir(), "haul.jsonl"))
			for workspace, want := range current {
				if held, _, _ := d.Current("demo", workspace); !bytes.Equal(held, want) {
					t.Errorf("%s does not hold the state that was backed up", workspace)
				}
			}
			restored := d.workspace("GET", "kept-local").Body.String()
			for _, setting := range []string{`"execution-mode":"local"`, `"terraform-version":"1.9.8"`, `"team:core"`} {
				if !strings.Contains(restored, setting) {
					t.Errorf("the restored workspace lacks %s", setting)
				}
			}
		})
	}
}

// workspace sends a request to a workspace.
func (d *destination) workspace(method, name string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, "/api/v2/organizations/demo/workspaces/"+name, nil)
	request.Header.Set("Authorization", "Bearer "+d.Token(tfesim.Owner))
	response := httptest.NewRecorder()
	d.ServeHTTP(response, request)
	return response
}
