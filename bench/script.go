package main

import (
	"context"
	_ "embed"
)

// script follows the sequence in the documentation for one state after another, with curl,
// as published scripts do.
//
//go:embed documentation.sh
var script string

// scripted lists the programs it needs.
var scripted = []string{"sh", "curl", "jq", "openssl", "base64"}

// byScript moves states with the script.
func (s *site) byScript(ctx context.Context, v *server, states []state) (usage, error) {
	list, err := s.list(states)
	if err != nil {
		return usage{}, err
	}
	u, _, err := s.measure(ctx, task{env: v.environ(), args: []string{"sh", "-c", script, "documentation.sh", list}})
	return u, err
}
