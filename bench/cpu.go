package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
hashes it once because the server insists, sends it in base64, downloads it and drops it. Goal: at most 1.5 times that loop. %d
states a round, medians of %d rounds in turn, start-up included in both.`, n, rounds)
	t := &table{head: []string{"median size", "tfhaul, a move", "bare loop, a move", "tfhaul ÷ loop"}}
	for _, median := range []int64{5_000, 50_000, 500_000} {
		count := n
		if median > 100_000 {
			count = n / 5
		}
		ours, bare, err := s.againstFloor(ctx, count, median, rounds)
		if err != nil {
			return err
		}
		t.add(fmt.Sprintf("%d KB", median/1000), ms(ours/asDuration(count)), ms(bare/asDuration(count)), times(ours, bare))
	}
	t.print(w)
	return nil
}

// againstFloor moves the same states by tfhaul and by the bare loop, in turn.
func (s *site) againstFloor(ctx context.Context, n int, median int64, rounds int) (ours, bare time.Duration, err error) {
	fmt.Fprintf(s.log, "  median %d KB\n", median/1000)
	l, err := s.plant(ctx, n, median)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	list, err := s.list(l.states)
	if err != nil {
		return 0, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	byTfhaul := func(v *server) (usage, error) { return s.haul(ctx, v, l, 8, "moved") }
	byLoop := func(v *server) (usage, error) {
		u, _, err := s.measure(ctx, task{env: v.environ(), args: []string{self, "floor", list}})
		return u, err
	}
	var took [2][]time.Duration
	for range rounds {
		for i, contestant := range []func(*server) (usage, error){byTfhaul, byLoop} {
			u, err := s.intoEmpty(ctx, l, contestant)
			if err != nil {
				return 0, 0, err
			}
			took[i] = append(took[i], u.CPU)
		}
	}
	return slices.Sorted(slices.Values(took[0]))[rounds/2], slices.Sorted(slices.Values(took[1]))[rounds/2], nil
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
