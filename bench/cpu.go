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
	say(w, `CPU time (user and system, of the client alone) of a move, beside a bare net/http loop that makes the same requests with the
same bytes over the same TLS, eight at a time, and checks nothing: it reads the file, takes serial and lineage from its first lines,
hashes it once because the server insists, sends it in base64, downloads it and drops it, holding it whole in memory. The second loop also keeps
tfhaul's own journal, three lines a move, each on the disk before the request that it announces. Goal: at
most 1.5 times the loop. %d states a round (a fifth of 500 KB), medians of %d rounds in turn, start-up included.`, n, rounds)
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

// againstFloor moves the same states by tfhaul, by the bare loop, and by the loop with
// a journal, in turn, and says what CPU time each took.
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

// intoEmpty lets a contestant move a landscape into a new server's empty workspaces.
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
