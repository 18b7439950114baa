package consul

import (
	"context"
	"fmt"

	"tfhaul/backend"
)

// block returns the block of Terraform's consul backend for a state.
func (s *servers) block(_ context.Context, container, name string) (*backend.Block, error) {
	l, err := s.parse(container)
	if err != nil {
		return nil, err
	}
	path, workspace := cutWorkspace(l.key + name)
	b := &backend.Block{Type: "consul", Workspace: workspace}
	add := func(name string, value any) {
		b.Arguments = append(b.Arguments, backend.Argument{Name: name, Value: value})
	}
	if l.inherited {
		b.Notes = append(b.Notes, fmt.Sprintf("The server comes from %s.", addressVariable))
	} else {
		add("address", l.host)
		scheme := "http"
		if l.tls {
			scheme = "https"
		}
		add("scheme", scheme)
	}
	add("path", path)
	if dc := l.params.Get(paramDatacenter); dc != "" {
		add("datacenter", dc)
	}
	if l.params.Get(paramGzip) == "true" {
		add("gzip", true)
	}
	for _, p := range []struct{ param, variable string }{{paramNamespace, namespaceVariable}, {paramPartition, partitionVariable}} {
		if value := l.params.Get(p.param); value != "" {
			b.Notes = append(b.Notes, fmt.Sprintf("The %s is set in %s=%s, because the backend has no argument for it.", p.param, p.variable, value))
		}
	}
	b.Notes = append(b.Notes, fmt.Sprintf("The token comes from %s or %s.", tokenVariable, tokenFileVariable))
	return b, nil
}
