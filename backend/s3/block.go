package s3

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"tfhaul/backend"
)

// The versions of Terraform that introduced arguments of its s3 backend
// (https://github.com/hashicorp/terraform/blob/main/CHANGELOG.md).
const (
	checksumSince = "1.6.3"
	lockFileSince = "1.10.0"
)

// block returns the block of Terraform's s3 backend for an object, with the parameters of
// the address, and the region and endpoints that are used.
func (c *connections) block(ctx context.Context, container, name string) (*backend.Block, error) {
	u, err := parseLocation(container)
	if err != nil {
		return nil, err
	}
	b, err := c.bucket(ctx, u)
	if err != nil {
		return nil, err
	}
	key := (&target{url: u}).key(name)
	if strings.HasPrefix(key, "/") {
		return nil, fmt.Errorf("the key %q begins with a slash, which Terraform's s3 backend refuses", key)
	}
	out := &builder{Block: &backend.Block{Type: "s3", Workspace: backend.DefaultWorkspace}}
	prefix := ""
	if at, workspace, rest, named := u.splitWorkspace(key); named && backend.IsWorkspaceName(workspace) {
		out.Workspace, key, prefix = workspace, rest, at
	}
	out.text("bucket", b.name)
	out.text("key", key)
	if prefix != defaultKeyPrefix {
		out.text("workspace_key_prefix", prefix)
	}
	out.region(b)
	out.text("profile", b.profile)
	out.server(b, u)
	out.encryption(b)
	out.locks(b)
	return out.Block, nil
}

// A builder collects the arguments of a block.
type builder struct{ *backend.Block }

func (o *builder) add(name string, value any) {
	o.Arguments = append(o.Arguments, backend.Argument{Name: name, Value: value})
}

func (o *builder) text(name, value string) {
	if value != "" {
		o.add(name, value)
	}
}

func (o *builder) yes(name string) { o.add(name, true) }

// region adds the region, unless it is only where a search for the bucket would begin.
func (o *builder) region(b *bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known {
		o.text("region", b.region)
		return
	}
	o.Notes = append(o.Notes, "Add the bucket's region, unless AWS_REGION is set: region = \"…\".")
}

// server adds what a server other than Amazon's needs: Terraform would ask AWS about the
// credentials and the region, and send a checksum that only AWS has to know.
func (o *builder) server(b *bucket, u *location) {
	endpoints := map[string]string{}
	if e := aws.ToString(b.client.Options().BaseEndpoint); e != "" {
		endpoints["s3"] = e
	}
	if b.table != nil {
		if e := aws.ToString(b.table.client.Options().BaseEndpoint); e != "" {
			endpoints["dynamodb"] = e
		}
	}
	if len(endpoints) > 0 {
		o.add("endpoints", endpoints)
		o.since("endpoints", checksumSince)
	}
	if u.pathStyle || withoutBucketHosts(endpoints["s3"], b.name) {
		o.yes("use_path_style")
		o.since("use_path_style", checksumSince)
	}
	if e := endpoints["s3"]; e == "" || isAmazon(e) {
		return
	}
	for _, skip := range []string{"skip_credentials_validation", "skip_requesting_account_id", "skip_region_validation", "skip_s3_checksum"} {
		o.yes(skip)
	}
}

// withoutBucketHosts reports whether an endpoint cannot have a host name for the bucket.
// tfhaul's SDK then puts the bucket into the path by itself, but Terraform's does not.
func withoutBucketHosts(endpoint, bucket string) bool {
	e, err := url.Parse(endpoint)
	return err == nil && (net.ParseIP(e.Hostname()) != nil || e.Scheme == "https" && strings.Contains(bucket, "."))
}

// isAmazon reports whether an endpoint is one of AWS, such as a VPC endpoint.
func isAmazon(endpoint string) bool {
	e, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	host := strings.TrimSuffix(e.Hostname(), ".cn")
	return strings.HasSuffix(host, ".amazonaws.com")
}

// encryption adds the encryption of what Terraform will write.
func (o *builder) encryption(b *bucket) {
	switch {
	case b.sse != nil:
		o.yes("encrypt")
		o.Notes = append(o.Notes, "Terraform reads the SSE-C key from "+customerKeyVariable+", as tfhaul does: do not write it into the configuration.")
	case b.encryption == sseKMS && b.kmsKey == "":
		// With encrypt alone, Terraform asks for AES256.
		o.Notes = append(o.Notes, "Terraform can ask for "+sseKMS+" only with a key. Without kms_key_id, the bucket's own encryption applies to what it writes.")
	case b.encryption != "":
		o.yes("encrypt")
		o.text("kms_key_id", b.kmsKey)
	}
}

// locks adds where the state is locked.
func (o *builder) locks(b *bucket) {
	if !b.noLockFile {
		o.yes("use_lockfile")
		o.since("use_lockfile", lockFileSince)
	}
	if b.table != nil {
		o.text("dynamodb_table", b.table.name)
	}
}

// since records the version that introduced an argument. Later calls have later versions.
func (o *builder) since(argument, version string) { o.Newest, o.Terraform = argument, version }
