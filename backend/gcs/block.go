package gcs

import (
	"context"
	"fmt"
	"path"
	"strings"

	"tfhaul/backend"
)

// blockSince is the version of Terraform that introduced the arguments for a KMS key and an
// endpoint (https://github.com/hashicorp/terraform/blob/v1.4/CHANGELOG.md).
const blockSince = "1.4.0"

// block returns the block of Terraform's gcs backend for an object, with the parameters of
// the address.
func (c *connections) block(_ context.Context, container, name string) (*backend.Block, error) {
	b, err := c.bucket(container)
	if err != nil {
		return nil, err
	}
	prefix, file := path.Split(b.url.key + name)
	workspace, ok := strings.CutSuffix(file, backend.StateExt)
	if !ok || !backend.IsWorkspaceName(workspace) {
		return nil, fmt.Errorf("the object %q has a name that Terraform's gcs backend cannot use: without %s, it must be the name of a workspace", b.url.key+name, backend.StateExt)
	}
	out := &backend.Block{Type: "gcs", Workspace: workspace}
	add := func(name, value string) {
		if value != "" {
			out.Arguments = append(out.Arguments, backend.Argument{Name: name, Value: value})
		}
	}
	add("bucket", b.url.bucket)
	add("prefix", strings.TrimSuffix(prefix, "/"))
	for _, argument := range []struct{ name, value string }{
		{"kms_encryption_key", b.url.params.Get(paramKMSKey)}, {"storage_custom_endpoint", b.url.params.Get(paramEndpoint)},
	} {
		if add(argument.name, argument.value); argument.value != "" {
			out.Newest, out.Terraform = argument.name, blockSince
		}
	}
	if b.key != nil {
		out.Notes = append(out.Notes, "Terraform reads the encryption key from "+keyVariable+", as tfhaul does: do not write it into the configuration.")
	}
	return out, nil
}
