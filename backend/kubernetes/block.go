package kubernetes

import (
	"context"
	"strings"

	"tfhaul/backend"
)

// block returns the block of Terraform's kubernetes backend for a state. What reaches the cluster
// is left to the environment.
func (c *clusters) block(_ context.Context, container, name string) (*backend.Block, error) {
	l, err := parseLocation(container)
	if err != nil {
		return nil, err
	}
	suffix, workspace, _ := strings.Cut(name, "/")
	b := &backend.Block{Type: "kubernetes", Workspace: workspace, Arguments: []backend.Argument{
		{Name: "secret_suffix", Value: suffix}, {Name: "namespace", Value: l.namespace},
	}}
	if named := l.params.Get(paramContext); named != "" {
		b.Arguments = append(b.Arguments, backend.Argument{Name: "config_context", Value: named})
	}
	if len(l.labels) > 0 {
		b.Arguments = append(b.Arguments, backend.Argument{Name: "labels", Value: l.labels})
	}
	b.Notes = append(b.Notes, "Terraform reads the kubeconfig from "+pathVariable+" and the other KUBE_ variables, as tfhaul does.")
	return b, nil
}
