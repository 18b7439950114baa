package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tfhaul/fixtures"
)

// auditProgram is the jq program that extracts what an audit does.
//
//go:embed audit.jq
var auditProgram string

// An auditor is a program that reads all files once.
type auditor struct {
	what string
	args []string
	runs []usage
}

// measureAudit measures an audit of many states.
func measureAudit(ctx context.Context, s *site, w io.Writer) (err error) {
	n, rounds := 10_000, 3
	if s.quick {
		n, rounds = 300, 1
	}
	dir, err := os.MkdirTemp(s.dir, "audit-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := fixtures.Landscape(dir, n, 1); err != nil {
		return err
	}
	if err := settle(dir); err != nil {
		return err
	}
	list, files, bytes, err := listAudited(s, dir)
	if err != nil {
		return err
	}
	program := filepath.Join(s.dir, "audit.jq")
	if err := os.WriteFile(program, []byte(auditProgram), 0o600); err != nil {
		return err
	}
	auditors := []*auditor{
		{what: "tfhaul audit --json", args: []string{s.tfhaul, "audit", dir, "--json"}},
		{what: "md5sum", args: []string{"sh", "-c", `xargs -0 md5sum < "$0"`, list}},
		{what: "md5sum, two at a time", args: []string{"sh", "-c", `xargs -0 -n 500 -P 2 md5sum < "$0"`, list}},
	}
	if installed("jq") {
		auditors = append(auditors,
			&auditor{what: "jq", args: []string{"sh", "-c", `xargs -0 jq -r -f "$1" < "$0"`, list, program}},
			&auditor{what: "jq, then md5sum", args: []string{"sh", "-c", `xargs -0 jq -r -f "$1" < "$0" && xargs -0 md5sum < "$0"`, list, program}},
			&auditor{what: "jq, two at a time", args: []string{"sh", "-c", `xargs -0 -n 100 -P 2 jq -r -f "$1" < "$0"`, list, program}})
	}
	for round := range rounds + 1 {
		fmt.Fprintf(s.log, "  audit, round %d of %d\n", round, rounds)
		for _, a := range auditors {
			u, _, err := s.measure(ctx, task{args: a.args, mute: true})
			if err != nil {
				return err
			}
			if round > 0 { // the first program to read a directory waits for the disk
				a.runs = append(a.runs, u)
			}
		}
	}
	say(w, `An audit of %d states (%.2f GB) and the beginnings of their backups, with all findings, written as JSON. It is compared with
md5sum, which computes only the digest, and with jq, which extracts the same facts about a state, but no digest and no findings.

The table shows medians of %d alternating rounds after a warm-up round. The files are in the page cache, and output is
discarded. The goals are at most 1.5 × the time of md5sum, and at least 10 × as fast as jq.`,
		files, float64(bytes)/1e9, rounds)
	t := &table{head: []string{"program", "wall time", "CPU", "peak memory", "files/s", "MB/s", "wall ÷ audit's"}}
	wall := func(u usage) int64 { return int64(u.Wall) }
	ours := median(auditors[0].runs, wall).Wall
	for _, a := range auditors {
		u := median(a.runs, wall)
		t.add(a.what, ms(u.Wall), ms(u.CPU), mb(u.Peak), fmt.Sprintf("%.0f", float64(files)/u.Wall.Seconds()), fmt.Sprintf("%.0f", float64(bytes)/1e6/u.Wall.Seconds()),
			fmt.Sprintf("%.2f", u.Wall.Seconds()/ours.Seconds()))
	}
	t.print(w)
	return s.auditByTerraform(ctx, w, float64(files)/ours.Seconds())
}

// listAudited writes the names of all audited files, each followed by NUL.
func listAudited(s *site, dir string) (list string, files int, bytes int64, err error) {
	var names strings.Builder
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".terraform":
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".tfstate"):
			info, err := entry.Info()
			if err != nil {
				return err
			}
			files, bytes = files+1, bytes+info.Size()
			names.WriteString(path + "\x00")
		}
		return nil
	})
	if err != nil {
		return "", 0, 0, err
	}
	list = filepath.Join(s.dir, "audited")
	return list, files, bytes, os.WriteFile(list, []byte(names.String()), 0o600)
}

// auditByTerraform measures terraform show -json, which is started once for each state.
func (s *site) auditByTerraform(ctx context.Context, w io.Writer, ours float64) error {
	if !installed("terraform") {
		return nil
	}
	dir, err := os.MkdirTemp(s.dir, "show-*")
	if err != nil {
		return err
	}
	const states = 10
	for n := range states {
		path := filepath.Join(dir, fmt.Sprintf("%d.tfstate", n))
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := errors.Join(plainState(f, 1, "23a82f3f-9e45-4315-88f0-4632797cd39b", 40_000), f.Close()); err != nil {
			return err
		}
	}
	start := time.Now()
	for n := range states {
		_, out, err := s.measure(ctx, task{dir: dir, args: []string{"terraform", "show", "-json", fmt.Sprintf("%d.tfstate", n)}})
		if err != nil {
			return err
		}
		if !json.Valid(out) {
			return errors.New("terraform show -json wrote no JSON")
		}
	}
	theirs := states / time.Since(start).Seconds()
	say(w, "terraform show -json reads %.1f states of 40 KB per second, one at a time, and only if their providers are installed. audit reads %.0f × as many files.", theirs, ours/theirs)
	return nil
}
