package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// measureGrowth moves an increasing number of states.
func measureGrowth(ctx context.Context, s *site, w io.Writer) error {
	sizes := []int{10, 100, 1000, 10_000}
	if s.quick {
		sizes = sizes[:3]
	}
	say(w, `The same haul (median 10 KB, existing workspaces, no limit, no latency) with a growing number of workspaces. The time per move
should stay constant. So should the memory, except for what a haul keeps about each move until the summary.`)
	t := &table{head: []string{"workspaces", "wall time", "a move", "CPU a move", "API calls a move", "peak memory"}}
	var peaks []int64
	for _, n := range sizes {
		u, calls, err := s.grow(ctx, n)
		if err != nil {
			return err
		}
		peaks = append(peaks, u.Peak)
		t.add(fmt.Sprint(n), seconds(u.Wall), ms(u.Wall/asDuration(n)), ms(u.CPU/asDuration(n)), fmt.Sprintf("%.2f", calls), mb(u.Peak))
	}
	t.print(w)
	if last := len(sizes) - 1; peaks[last] > 0 {
		say(w, "From %d to %d workspaces the peak grows by %.1f KB per workspace. This is what the plan read, the results, and about the same amount of garbage (half of it with GOGC=50), but no states.",
			sizes[1], sizes[last], float64(peaks[last]-peaks[1])/float64(sizes[last]-sizes[1])/1e3)
	}
	return nil
}

func (s *site) grow(ctx context.Context, n int) (u usage, calls float64, err error) {
	fmt.Fprintf(s.log, "  %d workspaces\n", n)
	l, err := s.plant(ctx, n, 10_000)
	if err != nil {
		return u, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	v, err := s.open(ctx, serverOptions{})
	if err != nil {
		return u, 0, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if _, err := v.do(order{Do: "workspaces", Workspaces: workspacesOf(l.states)}); err != nil {
		return u, 0, err
	}
	if u, err = s.haul(ctx, v, l, 8, "moved"); err != nil {
		return u, 0, err
	}
	c, err := v.counts()
	return u, float64(c.API) / float64(n), errors.Join(err, v.look("tfhaul", workspacesOf(l.states)))
}
