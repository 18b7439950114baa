package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tfhaul/fixtures"
)

// largeScript moves one large state with openssl, base64 and curl.
//
//go:embed large.sh
var largeScript string

// A largeSize is the size of a state, and how often to move it.
type largeSize struct {
	bytes  int64
	rounds int
}

// measureLarge moves states of up to 2 GB.
func measureLarge(ctx context.Context, s *site, w io.Writer) error {
	sizes := []largeSize{{1e6, 5}, {50e6, 3}, {500e6, 1}, {2e9, 1}}
	if s.quick {
		sizes = []largeSize{{1e6, 1}, {50e6, 1}}
	}
	start, _, err := s.measure(ctx, task{args: []string{s.tfhaul, "version"}})
	if err != nil {
		return err
	}
	say(w, `One state of the given size, sent by tfhaul move in both ways and by a streaming script of openssl dgst -md5, base64 and curl.
tfhaul parses the whole state as JSON and hashes it, hashes it again while sending, downloads it, and compares. The script is
timed with and without such a comparison. MB/s is the size of the state divided by the time of the whole run. The goal is a peak of
less than 64 MB above start-up (tfhaul version: %s).`, mb(start.Peak))
	t := &table{head: []string{"size", "tfhaul, signed", "tfhaul, inline", "script", "script with proof", "signed ÷ proof", "inline ÷ proof", "peak above start"}}
	for _, size := range sizes {
		row, err := s.compareLarge(ctx, size, start.Peak)
		if err != nil {
			return err
		}
		t.add(row...)
	}
	t.print(w)
	say(w, "The ratios compare throughput: above 1, tfhaul is faster.")
	return nil
}

func (s *site) compareLarge(ctx context.Context, size largeSize, start int64) (row []string, err error) {
	fmt.Fprintf(s.log, "  %s\n", mb(size.bytes))
	file, err := s.writeState("terraform.tfstate", fixtures.Spec{Serial: 7, Seed: 1, MinSize: size.bytes})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(file))) }()
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	byTfhaul := func(mode string) func(*server) (usage, error) {
		return func(v *server) (usage, error) {
			u, outcome, err := s.move(ctx, v, file, "large", "--upload", mode)
			if err == nil && outcome != "moved" {
				err = fmt.Errorf("tfhaul move ended as %s", outcome)
			}
			return u, err
		}
	}
	byShell := func(proof ...string) func(*server) (usage, error) {
		return func(v *server) (usage, error) {
			u, _, err := s.measure(ctx, task{env: v.environ(), args: append([]string{"sh", "-c", largeScript, "large.sh", file, "large"}, proof...)})
			return u, err
		}
	}
	contestants := []func(*server) (usage, error){byTfhaul("signed"), byTfhaul("inline")}
	if installed(scripted...) {
		contestants = append(contestants, byShell(), byShell("prove"))
	}
	walls, peak := make([][]time.Duration, 4), int64(0)
	for range size.rounds {
		for i, c := range contestants {
			u, err := s.intoOne(ctx, c)
			if err != nil {
				return nil, err
			}
			walls[i] = append(walls[i], u.Wall)
			if i < 2 {
				peak = max(peak, u.Peak)
			}
		}
	}
	row = []string{mb(size.bytes)}
	var speed [4]float64
	for i, w := range walls {
		if len(w) == 0 {
			row = append(row, "–")
			continue
		}
		took := slices.Sorted(slices.Values(w))[len(w)/2]
		speed[i] = float64(info.Size()) / 1e6 / took.Seconds()
		row = append(row, fmt.Sprintf("%.0f MB/s", speed[i]))
	}
	return append(row, times(speed[0], speed[3]), times(speed[1], speed[3]), mb(peak-start)), nil
}

// intoOne runs a contestant with a new server that keeps states in files and has one empty
// workspace.
func (s *site) intoOne(ctx context.Context, contestant func(*server) (usage, error)) (u usage, err error) {
	v, err := s.open(ctx, serverOptions{OnDisk: true})
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if _, err := v.do(order{Do: "workspaces", Workspaces: []string{"large"}}); err != nil {
		return u, err
	}
	if u, err = contestant(v); err != nil {
		return u, err
	}
	return u, v.look("a large state", []string{"large"})
}
