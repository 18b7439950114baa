package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func asDuration(n int) time.Duration { return time.Duration(n) }

// measureCPU compares the CPU time of a move with that of the bare loop.
func measureCPU(ctx context.Context, s *site, w io.Writer) error {
	n, rounds := 500, 5
	if s.quick {
		n, rounds = 50, 1
	}
	say(w, `The client's CPU time (user and system) per move, compared with a bare net/http loop. The loop makes the same requests with the
same bytes over the same TLS, eight at a time, and checks nothing. It reads the whole file into memory, takes serial and lineage
from the first lines, hashes it once because the server requires that, sends it in base64, downloads it and discards it. The second
loop also writes tfhaul's journal: three lines per move, each on disk before the request that it announces.

The goal is at most 1.5 times the loop. Each round moves %d states (a fifth of that at 500 KB). The table shows medians of %d
alternating rounds, including start-up.`, n, rounds)
	t := &table{head: []string{"median size", "tfhaul, a move", "bare loop", "loop with journal", "tfhaul ÷ bare loop", "tfhaul ÷ loop with journal"}}
	for _, median := range []int64{5_000, 50_000, 500_000} {
		count := n
		if median > 100_000 {
			count = n / 5
		}
		took, err := s.againstFloor(ctx, count, median, rounds)
		if err != nil {
			return err
		}
		row := []string{fmt.Sprintf("%d KB", median/1000)}
		for _, d := range took {
			row = append(row, ms(d/asDuration(count)))
		}
		t.add(append(row, times(took[0], took[1]), times(took[0], took[2]))...)
	}
	t.print(w)
	return nil
}

// againstFloor moves the same states by tfhaul, by the bare loop, and by the loop with a
// journal, in turn, and returns the CPU time of each.
func (s *site) againstFloor(ctx context.Context, n int, median int64, rounds int) (took [3]time.Duration, err error) {
	fmt.Fprintf(s.log, "  median %d KB\n", median/1000)
	l, err := s.plant(ctx, n, median)
	if err != nil {
		return took, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	list, err := s.list(l.states)
	if err != nil {
		return took, err
	}
	self, err := os.Executable()
	if err != nil {
		return took, err
	}
	loop := func(v *server, arguments ...string) (usage, error) {
		u, _, err := s.measure(ctx, task{env: v.environ(), args: append([]string{self, "floor", list}, arguments...)})
		return u, err
	}
	contestants := [3]func(*server) (usage, error){
		func(v *server) (usage, error) { return s.haul(ctx, v, l, 8, "moved") },
		func(v *server) (usage, error) { return loop(v) },
		func(v *server) (usage, error) { return loop(v, filepath.Join(v.dir, "journal")) },
	}
	var all [3][]time.Duration
	for range rounds {
		for i, contestant := range contestants {
			u, err := s.intoEmpty(ctx, l, contestant)
			if err != nil {
				return took, err
			}
			all[i] = append(all[i], u.CPU)
		}
	}
	for i := range all {
		took[i] = slices.Sorted(slices.Values(all[i]))[rounds/2]
	}
	return took, nil
}

// intoEmpty runs a contestant with a landscape and a new server with empty workspaces.
func (s *site) intoEmpty(ctx context.Context, l *landscape, contestant func(*server) (usage, error)) (u usage, err error) {
	v, err := s.open(ctx, serverOptions{})
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if _, err := v.do(order{Do: "workspaces", Workspaces: workspacesOf(l.states)}); err != nil {
		return u, err
	}
	if u, err = contestant(v); err != nil {
		return u, err
	}
	return u, v.look("a round", workspacesOf(l.states))
}
