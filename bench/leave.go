package main

import (
	"context"
	"crypto/md5"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// leaveScript downloads every state of an organization, as published scripts do.
//
//go:embed leave.sh
var leaveScript string

// measureLeaving copies the states of an organization to a directory.
func measureLeaving(ctx context.Context, s *site, w io.Writer) (err error) {
	n := 1000
	if s.quick {
		n = 40
	}
	const median = 10_000
	l, err := s.plant(ctx, n, median)
	if err != nil {
		return err
	}
	v, err := s.open(ctx, serverOptions{Limit: realLimit})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	for _, state := range l.states {
		if _, err := v.do(order{Do: "seed", Workspaces: []string{state.workspace}, File: state.file}); err != nil {
			return err
		}
	}
	say(w, `All %d states of an organization (median %d KB, %s in total) to a directory, at HCP Terraform's 30 requests a second, without
latency. The script uses curl and jq. It lists the workspaces, reads the current state version of each, downloads the state, and
copies it with cp, where a real script would run aws s3 cp. "Of the limit" is the minimum, API calls ÷ 30, divided by the time.
The script's memory is that of its largest process.`, len(l.states), median/1000, mb(l.bytes))
	t := &table{head: []string{"program", "wall time", "÷ script", "CPU", "API calls", "transfers", "of the limit", "peak memory"}}
	var byScript usage
	for _, c := range []struct {
		name string
		run  func(dir string) (usage, error)
	}{
		{"curl script", func(dir string) (usage, error) {
			if !installed("sh", "curl", "jq") {
				return usage{}, nil
			}
			u, _, err := s.measure(ctx, task{env: v.environ(), args: []string{"sh", "-c", leaveScript, "leave.sh", dir}})
			byScript = u
			return u, err
		}},
		{"tfhaul migrate", func(dir string) (usage, error) { return s.haulOut(ctx, v, dir, len(l.states)) }},
		{"tfhaul migrate --lock-source", func(dir string) (usage, error) { return s.haulOut(ctx, v, dir, len(l.states), "--lock-source") }},
	} {
		dir, err := os.MkdirTemp(s.dir, "out-*")
		if err != nil {
			return err
		}
		if _, err := v.counts(); err != nil { // start from 0
			return err
		}
		u, err := c.run(dir)
		if err != nil {
			return err
		}
		if u.Wall == 0 {
			continue // not installed
		}
		n, err := v.counts()
		if err != nil {
			return err
		}
		if err := errors.Join(l.wantCopies(c.name, dir), v.look(c.name, workspacesOf(l.states))); err != nil {
			return err
		}
		t.add(c.name, seconds(u.Wall), times(u.Wall, byScript.Wall), seconds(u.CPU), fmt.Sprint(n.API-n.Limited), fmt.Sprint(n.Blobs),
			fmt.Sprintf("%.2f", float64(n.API-n.Limited)/realLimit/u.Wall.Seconds()), mb(u.Peak))
	}
	t.print(w)
	say(w, `The directories were compared with the source byte for byte afterwards. The script compares nothing and locks nothing. tfhaul
compares size and serial with what the server announces, reads every file back, checks at the end that no state has changed
meanwhile, and keeps a journal on disk. With --lock-source, it also locks and unlocks each workspace.`)
	return nil
}

// haulOut runs tfhaul migrate from the organization to a directory.
func (s *site) haulOut(ctx context.Context, v *server, dir string, states int, flags ...string) (usage, error) {
	journals, err := os.MkdirTemp(s.dir, "journal-*")
	if err != nil {
		return usage{}, err
	}
	args := append([]string{s.tfhaul, "migrate", "--json", "--yes", "--target", dir + "/", "--key-name", "{{ .Workspace }}/terraform.tfstate",
		"--backup-dir", filepath.Join(journals, "backup"), "--journal", filepath.Join(journals, "haul.jsonl")}, flags...)
	u, out, err := s.measure(ctx, task{env: v.environ(), args: append(args, "tfe://"+v.address(""))})
	if err != nil {
		return u, err
	}
	var result struct{ Summary map[string]int }
	if err := json.Unmarshal(out, &result); err != nil {
		return u, err
	}
	if got := result.Summary["moved"]; got != states {
		return u, fmt.Errorf("tfhaul migrate: %d of %d moved: %v", got, states, result.Summary)
	}
	return u, nil
}

// wantCopies fails unless a directory has every state of the landscape once.
func (l *landscape) wantCopies(who, dir string) error {
	missing := map[[md5.Size]byte]int{}
	for _, s := range l.states {
		raw, err := os.ReadFile(s.file)
		if err != nil {
			return err
		}
		missing[md5.Sum(raw)]++
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "terraform.tfstate" {
			return err
		}
		raw, err := os.ReadFile(path)
		missing[md5.Sum(raw)]--
		return err
	})
	for _, n := range missing {
		if n != 0 {
			return errors.Join(err, fmt.Errorf("after %s, the directory does not have the states of the organization", who))
		}
	}
	return err
}
