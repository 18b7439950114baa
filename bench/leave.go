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

// measureLeaving copies the states of an organization to a directory and to a bucket.
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
	store, err := s.openBuckets(ctx)
	if err != nil {
		return err
	}
	if store != nil {
		defer func() { err = errors.Join(err, store.close()) }()
	}
	say(w, `All %d states of an organization (median %d KB, %s in total) to a directory and to a bucket, at HCP Terraform's 30 requests a
second, without latency. The script uses curl and jq. It lists the workspaces, reads the current state version of each, downloads
the state, and copies it with cp, or uploads it with curl, which signs the request for S3. "Of the limit" is the minimum, API
calls ÷ 30, divided by the time. The script's memory is that of its largest process.`, len(l.states), median/1000, mb(l.bytes))
	t := &table{head: []string{"to", "program", "wall time", "÷ script", "CPU", "API calls", "transfers", "of the limit", "peak memory"}}
	for _, to := range []string{"directory", "bucket"} {
		if to == "bucket" && store == nil {
			continue
		}
		var byScript usage
		for i, c := range leavers {
			d, err := s.destination(ctx, v, store, to, i)
			if err != nil {
				return err
			}
			if _, err := v.counts(); err != nil { // start from 0
				return err
			}
			u, err := c.run(ctx, s, d, len(l.states))
			if err != nil {
				return err
			}
			if u.Wall == 0 {
				continue // not installed
			}
			if i == 0 {
				byScript = u
			}
			n, err := v.counts()
			if err != nil {
				return err
			}
			if err := errors.Join(l.wantCopies(c.name, d.copies), v.look(c.name, workspacesOf(l.states))); err != nil {
				return err
			}
			t.add(to, c.name, seconds(u.Wall), times(u.Wall, byScript.Wall), seconds(u.CPU), fmt.Sprint(n.API-n.Limited), fmt.Sprint(n.Blobs),
				fmt.Sprintf("%.2f", float64(n.API-n.Limited)/realLimit/u.Wall.Seconds()), mb(u.Peak))
		}
	}
	t.print(w)
	say(w, `The copies were compared with the source byte for byte afterwards. The script compares nothing and locks nothing. tfhaul
compares size and serial with what the server announces, writes under the lock of the target, and reads every copy back. It lists
the workspaces again at the end to check that no state has changed meanwhile, and keeps a journal on disk. With --lock-source, it
also locks and unlocks each workspace: two calls each. The bucket is on the same machine (%s).`, s3Program)
	return nil
}

// leavers are the programs that copy the states, the script first.
var leavers = []struct {
	name string
	run  func(ctx context.Context, s *site, d destination, states int) (usage, error)
}{
	{"curl script", byScript},
	{"tfhaul migrate", func(ctx context.Context, s *site, d destination, states int) (usage, error) {
		return s.haulOut(ctx, d, states)
	}},
	{"tfhaul migrate --lock-source", func(ctx context.Context, s *site, d destination, states int) (usage, error) {
		return s.haulOut(ctx, d, states, "--lock-source")
	}},
}

// A destination is where states are copied to.
type destination struct {
	source string   // the organization
	env    []string // of the servers
	target string   // for tfhaul
	dir    string   // the script's
	bucket string   // for the script: its URL, or ""
	copies string   // the directory that has the copies
}

// destination makes an empty directory or bucket.
func (s *site) destination(ctx context.Context, v *server, store *buckets, to string, i int) (d destination, err error) {
	d = destination{source: "tfe://" + v.address(""), env: v.environ()}
	if d.dir, err = os.MkdirTemp(s.dir, "out-*"); err != nil {
		return d, err
	}
	d.target, d.copies = d.dir+"/", d.dir
	if to == "bucket" {
		d.env = append(d.env, store.environ()...)
		d.target, d.bucket, d.copies, err = store.create(ctx, fmt.Sprintf("out-%d", i))
	}
	return d, err
}

// byScript runs the script, if what it needs is installed.
func byScript(ctx context.Context, s *site, d destination, _ int) (usage, error) {
	if !installed("sh", "curl", "jq") {
		return usage{}, nil
	}
	u, _, err := s.measure(ctx, task{env: d.env, args: []string{"sh", "-c", leaveScript, "leave.sh", d.dir, d.bucket}})
	return u, err
}

// haulOut runs tfhaul migrate from the organization.
func (s *site) haulOut(ctx context.Context, d destination, states int, flags ...string) (usage, error) {
	journals, err := os.MkdirTemp(s.dir, "journal-*")
	if err != nil {
		return usage{}, err
	}
	args := append([]string{s.tfhaul, "migrate", "--json", "--yes", "--target", d.target, "--key-name", "{{ .Workspace }}/terraform.tfstate",
		"--backup-dir", filepath.Join(journals, "backup"), "--journal", filepath.Join(journals, "haul.jsonl")}, flags...)
	u, out, err := s.measure(ctx, task{env: d.env, args: append(args, d.source)})
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
			return errors.Join(err, fmt.Errorf("after %s, the copies are not the states of the organization", who))
		}
	}
	return err
}
