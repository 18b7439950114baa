package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// exitRefused is the exit code of a move that was refused.
const exitRefused = 3

// move runs tfhaul move for one file and returns what it used and how it ended.
func (s *site) move(ctx context.Context, v *server, file, workspace string, flags ...string) (usage, string, error) {
	args := append([]string{s.tfhaul, "move", "--json", "--backup-dir", filepath.Join(s.dir, "backup")}, flags...)
	u, out, err := s.measure(ctx, task{env: v.environ(), args: append(args, file, v.address(workspace)), exits: []int{exitRefused}})
	var result struct{ Outcome string }
	if err == nil {
		err = json.Unmarshal(out, &result)
	}
	return u, result.Outcome, err
}

// haul runs tfhaul migrate for a landscape, and fails unless every state has the expected
// outcome.
func (s *site) haul(ctx context.Context, v *server, l *landscape, parallelism int, outcome string, flags ...string) (usage, error) {
	journals, err := os.MkdirTemp(s.dir, "journal-*")
	if err != nil {
		return usage{}, err
	}
	args := append([]string{s.tfhaul, "migrate", "--json", "--yes", "--target", v.address(""),
		"--parallelism", strconv.Itoa(parallelism), "--journal", filepath.Join(journals, "haul.jsonl")}, flags...)
	u, out, err := s.measure(ctx, task{env: v.environ(), args: append(args, l.dir)})
	if err != nil {
		return u, err
	}
	var result struct{ Summary map[string]int }
	if err := json.Unmarshal(out, &result); err != nil {
		return u, err
	}
	if got := result.Summary[outcome]; got != len(l.states) {
		return u, fmt.Errorf("tfhaul migrate: %d of %d %s: %v", got, len(l.states), outcome, result.Summary)
	}
	return u, nil
}
