package s3

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tfhaul/backend"
)

// The states of Terraform's backends oss, cos and oci are found behind an S3-compatible
// endpoint, with the addresses in docs/buckets-and-files.md. The lock of oci and cos is an object
// beside the state, as for s3.
func TestLayoutsOfOtherBackends(t *testing.T) {
	awsEnvironment(t)
	for _, tt := range []struct {
		backend, prefix, query string
		keys                   []string
		want                   map[string]string // directory, name and workspace, by key
	}{
		{"oss and cos", "", "", []string{"env:/prod/terraform.tfstate", "env:/terraform.tfstate"}, map[string]string{
			"env:/terraform.tfstate": "env:|terraform|default", "env:/prod/terraform.tfstate": "|terraform|prod",
		}},
		{"oss and cos with a prefix", "live/", "", []string{"live/prod/terraform.tfstate", "live/terraform.tfstate"}, map[string]string{
			"live/terraform.tfstate": "|terraform|default", "live/prod/terraform.tfstate": "prod|terraform|default",
		}},
		{"oci", "", "&path-style=true&workspace-key-prefix=tf-state-env", []string{"net.tfstate", "net.tfstate.tflock", "tf-state-env/prod/net.tfstate"}, map[string]string{
			"net.tfstate": "|net|default", "tf-state-env/prod/net.tfstate": "|net|prod",
		}},
	} {
		t.Run(tt.backend, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				page := "<ListBucketResult><IsTruncated>false</IsTruncated>"
				for _, key := range tt.keys {
					if strings.HasPrefix(key, r.URL.Query().Get("prefix")) {
						page += fmt.Sprintf("<Contents><Key>%s</Key><Size>2</Size><ETag>&quot;e&quot;</ETag></Contents>", key)
					}
				}
				_, _ = fmt.Fprint(w, page+"</ListBucketResult>") // the client may have disconnected
			}))
			defer server.Close()
			query := tt.query
			if !strings.Contains(query, "path-style") {
				query += "&path-style=true" // the test has no names for buckets
			}
			found, err := findWith(t, backend.Connection{}, "s3://acme/"+tt.prefix+"?region=eu&endpoint="+server.URL+query, backend.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, s := range found.States {
				p := s.Place()
				got[p.Key] = p.Dir + "|" + p.Base + "|" + p.Workspace
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("found %v\nwant  %v", got, tt.want)
			}
			if slices.Contains(tt.keys, "net.tfstate.tflock") && !found.States[0].(*object).lockListed {
				t.Error("the lock beside the state was not seen")
			}
		})
	}
}
