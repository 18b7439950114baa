package s3

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfhaul/backend"
	"tfhaul/pairing"
)

func TestS3URLs(t *testing.T) {
	for _, tt := range []struct {
		ref         string
		bucket, key string
		searches    bool
		name        string // "" means ref
	}{
		{ref: "s3://acme/network/terraform.tfstate", bucket: "acme", key: "network/terraform.tfstate"},
		{ref: "s3://acme/env:/prod/network/terraform.tfstate", bucket: "acme", key: "env:/prod/network/terraform.tfstate"},
		{ref: "S3://acme/a.tfstate", bucket: "acme", key: "a.tfstate", name: "s3://acme/a.tfstate"},
		{ref: "s3://acme/network/", bucket: "acme", key: "network/", searches: true},
		{ref: "s3://acme/", bucket: "acme", searches: true},
		{ref: "s3://acme", bucket: "acme", searches: true, name: "s3://acme/"},
		{ref: "s3://acme//absolute//twice", bucket: "acme", key: "/absolute//twice"},
		{ref: "s3://a.c_M-1/k", bucket: "a.c_M-1", key: "k"},
		{ref: "s3://acme/a b", bucket: "acme", key: "a b", name: "s3://acme/a%20b"},
		{ref: "s3://acme/a%20b", bucket: "acme", key: "a b"},
		{ref: "s3://acme/a+b", bucket: "acme", key: "a+b"},
		{ref: "s3://acme/a%2Bb", bucket: "acme", key: "a+b", name: "s3://acme/a+b"},
		{ref: "s3://acme/100%25", bucket: "acme", key: "100%"},
		{ref: "s3://acme/a%3Fb#c", bucket: "acme", key: "a?b#c", name: "s3://acme/a%3Fb%23c"},
		{ref: "s3://acme/zürich/日本", bucket: "acme", key: "zürich/日本"},
		{ref: "s3://acme/%E2%80%AEevil%1B%FF", bucket: "acme", key: "\u202eevil\x1b\xff"},
		{ref: "s3://acme/k?versionId=3%2Fl4", bucket: "acme", key: "k", name: "s3://acme/k?versionId=3/l4"},
		{ref: "s3://acme/k?region=eu-west-1&endpoint=http%3A%2F%2F127.0.0.1%3A9000", bucket: "acme", key: "k", name: "s3://acme/k?endpoint=http://127.0.0.1:9000&region=eu-west-1"},
		{ref: "s3://acme/k?endpoint=https://minio.example:9000&lock-table=locks&path-style=true&profile=my%20team", bucket: "acme", key: "k"},
		{ref: "s3://acme/k?path-style=false", bucket: "acme", key: "k", name: "s3://acme/k"},
		{ref: "s3://acme/k?", bucket: "acme", key: "k", name: "s3://acme/k"},
		{ref: "s3://acme/?workspace-key-prefix=app&workspace-key-prefix=net/ws", bucket: "acme", searches: true},
	} {
		t.Run(tt.ref, func(t *testing.T) {
			u, err := parseLocation(tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			if u.bucket != tt.bucket || u.key != tt.key || u.searches() != tt.searches {
				t.Errorf("bucket %q, key %q, searches %v", u.bucket, u.key, u.searches())
			}
			want := tt.name
			if want == "" {
				want = tt.ref
			}
			if got := u.name(u.key); got != want {
				t.Errorf("its address is %s\nwant           %s", got, want)
			}
			again, err := parseLocation(u.name(u.key))
			if err != nil || again.key != u.key || again.name(again.key) != u.name(u.key) {
				t.Errorf("typing the address finds %+v, %v", again, err)
			}
		})
	}
}

func TestS3URLErrors(t *testing.T) {
	for _, tt := range []struct{ does, ref, want string }{
		{"no bucket", "s3://", `"" is not a bucket name: write s3://BUCKET/KEY or s3://BUCKET/PREFIX/`},
		{"no bucket before a key", "s3:///key", `"" is not a bucket name`},
		{"an ARN", "s3://arn:aws:s3:::acme/key", `"arn:aws:s3:::acme" is not a bucket name`},
		{"credentials", "s3://AKIA:hunter2@acme/key", "an s3:// URL must not contain credentials, because URLs are shown and logged: use the environment, the shared AWS files or ?profile=NAME"},
		{"an unescaped percent sign", "s3://acme/100%", `the key "100%" is not percent-encoded correctly: write %25 for a percent sign and %3F for a question mark`},
		{"an unknown parameter", "s3://acme/k?regoin=eu-west-1", `s3:// URLs have no parameter "regoin": they have endpoint, kms-key-id, lock-file, lock-table, path-style, profile, region, sse, versionId, workspace-key-prefix (write a question mark in a name as %3F)`},
		{"a parameter without a value", "s3://acme/k?region", "region in the s3:// URL has no value"},
		{"a parameter twice", "s3://acme/k?region=a&region=b", "region appears twice in the s3:// URL"},
		{"a malformed value", "s3://acme/k?region=%zz", "the value of region in the s3:// URL is not percent-encoded correctly"},
		{"neither true nor false", "s3://acme/k?path-style=yes", `path-style must be true or false, not "yes"`},
		{"a version of a prefix", "s3://acme/p/?versionId=1", `versionId names a version of one object, but "s3://acme/p/?versionId=1" is a prefix to search: name the object`},
		{"a region that would change the host", "s3://acme/k?region=x.evil.example/", `"x.evil.example/" is not a region name`},
		{"an endpoint without a scheme", "s3://acme/k?endpoint=minio:9000", "the endpoint of an s3:// URL is not an https:// URL"},
		{"an endpoint with credentials", "s3://acme/k?endpoint=https://u:hunter2@minio", "the endpoint of an s3:// URL must not contain credentials: use the environment, the shared AWS files or ?profile=NAME"},
		{"an endpoint with a query", "s3://acme/k?endpoint=https://minio/%3Fsig=hunter2", "the endpoint of an s3:// URL must not have a query or a fragment"},
		{"plain http", "s3://acme/k?endpoint=http://minio:9000", "http://minio:9000 would send state over plain http, which is allowed only for loopback addresses: use https"},
		{"an empty workspace key prefix", "s3://acme/?workspace-key-prefix=/", "workspace-key-prefix is the directory where Terraform keeps other workspaces, and cannot be empty"},
	} {
		t.Run(tt.does, func(t *testing.T) {
			_, err := findWith(t, backend.Connection{}, tt.ref, backend.Filter{})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("error %v\nwant  %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the error reveals a secret")
			}
		})
	}
}

func TestPlacesOfTerraformsS3Backend(t *testing.T) {
	const def = backend.DefaultWorkspace
	for _, tt := range []struct {
		ref, key string
		want     backend.Place
		name     string
	}{
		{"s3://acme/", "network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: def, Root: "acme"}, "network"},
		{"s3://acme/", "env:/prod/network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: "prod", Root: "acme"}, "network-prod"},
		{"s3://acme/", "terraform.tfstate", backend.Place{Base: "terraform", Workspace: def, Root: "acme"}, "acme"},
		{"s3://acme/", "env:/prod/terraform.tfstate", backend.Place{Base: "terraform", Workspace: "prod", Root: "acme"}, "acme-prod"},
		{"s3://acme/", "env:/prod/network", backend.Place{Base: "network", Workspace: "prod", Root: "acme"}, "network-prod"},
		{"s3://acme/live/", "live/network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: def, Root: "live"}, "network"},
		{"s3://acme/live/", "live/terraform.tfstate", backend.Place{Base: "terraform", Workspace: def, Root: "live"}, "live"},
		// The workspace and its directory do not depend on where the search begins.
		{"s3://acme/env:/", "env:/prod/network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: "prod", Root: "acme"}, "network-prod"},
		{"s3://acme/env:/prod/", "env:/prod/terraform.tfstate", backend.Place{Base: "terraform", Workspace: "prod", Root: "acme"}, "acme-prod"},
		{"s3://acme/env:/prod/network/", "env:/prod/network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: "prod", Root: "acme"}, "network-prod"},
		{"s3://acme/env:/prod/network/terraform.tfstate", "env:/prod/network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: "prod", Root: "acme"}, "network-prod"},
		// env: below a directory, as with workspace_key_prefix = "team/env:".
		{"s3://acme/", "team/env:/prod/network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: "prod", Root: "team"}, "network-prod"},
		{"s3://acme/team/", "team/env:/prod/team/network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: "prod", Root: "team"}, "network-prod"},
		{"s3://acme/team/", "team/env:/prod/terraform.tfstate", backend.Place{Base: "terraform", Workspace: "prod", Root: "team"}, "team-prod"},
		// Another prefix is recognized only if it is named.
		{"s3://acme/", "app/prod/terraform.tfstate", backend.Place{Dir: "app/prod", Base: "terraform", Workspace: def, Root: "acme"}, "app-prod"},
		{"s3://acme/?workspace-key-prefix=app", "app/prod/terraform.tfstate", backend.Place{Base: "terraform", Workspace: "prod", Root: "app"}, "app-prod"},
		{"s3://acme/?workspace-key-prefix=ws", "ws/prod/network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: "prod", Root: "ws"}, "network-prod"},
		{"s3://acme/?workspace-key-prefix=a&workspace-key-prefix=a/b", "a/b/prod/net/terraform.tfstate", backend.Place{Dir: "net", Base: "terraform", Workspace: "prod", Root: "b"}, "net-prod"},
		{"s3://acme/?workspace-key-prefix=app", "application/prod/x.tfstate", backend.Place{Dir: "application/prod", Base: "x", Workspace: def, Root: "acme"}, "application-prod-x"},
		{"s3://acme/?workspace-key-prefix=app", "env:/prod/network/terraform.tfstate", backend.Place{Dir: "network", Base: "terraform", Workspace: "prod", Root: "acme"}, "network-prod"},
		// Similar to the layout, but not the same.
		{"s3://acme/", "env:/terraform.tfstate", backend.Place{Dir: "env:", Base: "terraform", Workspace: def, Root: "acme"}, "env"},
		{"s3://acme/", "myenv:/prod/terraform.tfstate", backend.Place{Dir: "myenv:/prod", Base: "terraform", Workspace: def, Root: "acme"}, "myenv-prod"},
		{"s3://acme/", "/absolute/terraform.tfstate", backend.Place{Dir: "absolute", Base: "terraform", Workspace: def, Root: "acme"}, "absolute"},
	} {
		t.Run(tt.ref+" "+tt.key, func(t *testing.T) {
			u, err := parseLocation(tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Key, tt.want.Bucket, tt.want.Searched = tt.key, "acme", "acme"
			address, _, _ := strings.Cut(strings.TrimPrefix(tt.ref, "s3://acme/"), "?")
			if prefix, ok := strings.CutSuffix(address, "/"); ok {
				tt.want.Searched = path.Base(prefix)
			}
			got := placeInBucket(u, tt.key)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("place (-want +got):\n%s", d)
			}
			namer, err := pairing.ParseNamer("")
			if err != nil {
				t.Fatal(err)
			}
			if name, err := namer.Name(got); err != nil || name != tt.name {
				t.Errorf("its address is %q (%v), want %q", name, err, tt.name)
			}
		})
	}
}

func FuzzS3URL(f *testing.F) {
	f.Add("acme", "net/ünï +%?#&\x00\xff.tfstate", "v")
	f.Fuzz(func(t *testing.T, bucket, key, version string) {
		u := &location{bucket: "acme", params: map[string][]string{}}
		if version != "" && key != "" && !strings.HasSuffix(key, "/") {
			u.params.Set(paramVersion, version)
		}
		name := u.name(key)
		again, err := parseLocation(name)
		if err != nil || again.key != key || again.params.Get(paramVersion) != u.params.Get(paramVersion) {
			t.Errorf("%q has address %q, which parses to %+v, %v", key, name, again, err)
		}
		_, _ = parseLocation("s3://" + bucket + "/" + key + "?" + version) // must not panic
	})
}
