package main

import (
	"context"
	_ "embed"
)

// script is the documentation's sequence for one state after the other, by curl, as
// scripts that people pass on do it.
//
//go:embed documentation.sh
var script string

// scripted are the programs that it needs.
var scripted = []string{"sh", "curl", "jq", "openssl", "base64"}

// byScript moves states by the script.
func (s *site) byScript(ctx context.Context, v *server, states []state) (usage, error) {
	list, err := s.list(states)
	if err != nil {
		return usage{}, err
	}
	u, _, err := s.measure(ctx, task{env: v.environ(), args: []string{"sh", "-c", script, "documentation.sh", list}})
	return u, err
}
