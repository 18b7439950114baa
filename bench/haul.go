package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// The limit of HCP Terraform, in requests per second and user.
const realLimit = 30

// haulSizes are the numbers of states to move. The script and terraform work one by one, so
// their time grows linearly and a sample is enough.
type haulSizes struct {
	states, scripted, terraform int
	latencies                   []time.Duration
}

func (s *site) haulSizes() haulSizes {
	if s.quick {
		return haulSizes{states: 40, scripted: 5, terraform: 1, latencies: []time.Duration{0, 20 * time.Millisecond}}
	}
	return haulSizes{states: 500, scripted: 30, terraform: 4, latencies: []time.Duration{0, 20 * time.Millisecond, 80 * time.Millisecond}}
}

// measureHauls moves many states of ordinary size.
func measureHauls(ctx context.Context, s *site, w io.Writer) error {
	sizes := s.haulSizes()
	const median = 50_000
	l, err := s.plant(ctx, sizes.states, median)
	if err != nil {
		return err
	}
	say(w, `Wall time for %d states (median %d KB, %s in total) at three server latencies, without a rate limit and with HCP Terraform's
30 requests a second. Each program creates the missing workspaces. tfhaul runs its default of 8 moves at a time. The script
and terraform move one state at a time: they moved samples of %d and %d states, and the table extrapolates their time.
"Of the limit" compares tfhaul with the minimum, API calls ÷ 30: 1.00 means that it uses the whole limit.`,
		len(l.states), median/1000, mb(l.bytes), sizes.scripted, sizes.terraform)
	t := &table{head: []string{"latency, limit", "tfhaul", "curl script", "terraform", "script ÷ tfhaul", "terraform ÷ tfhaul", "of the limit"}}
	for _, limit := range []int{0, realLimit} {
		for _, latency := range sizes.latencies {
			row, err := s.compareHauls(ctx, l, sizes, serverOptions{Limit: limit, Latency: latency})
			if err != nil {
				return err
			}
			t.add(row...)
		}
	}
	t.print(w)
	say(w, `The script does not verify that anything arrived, and stops at the first unexpected response. It relies on curl --retry to
respect the limit. Terraform's states have the same size but contain only terraform_data, so it needs no provider. In practice it
also installs the providers of the configuration.`)
	return nil
}

// compareHauls returns one row of the table.
func (s *site) compareHauls(ctx context.Context, l *landscape, sizes haulSizes, o serverOptions) (row []string, err error) {
	v, err := s.open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	fmt.Fprintf(s.log, "  latency %s, limit %d\n", o.Latency, o.Limit)
	ours, err := s.haul(ctx, v, l, 8, "moved", "--create")
	if err != nil {
		return nil, err
	}
	n, err := v.counts()
	if err != nil {
		return nil, err
	}
	if err := v.look("tfhaul", workspacesOf(l.states)); err != nil {
		return nil, err
	}
	row = []string{fmt.Sprintf("%d ms, none", o.Latency.Milliseconds()), seconds(ours.Wall), "–", "–", "–", "–", "–"}
	if o.Limit > 0 {
		row[0] = fmt.Sprintf("%d ms, %d/s", o.Latency.Milliseconds(), o.Limit)
		ideal := float64(n.API) / float64(o.Limit)
		row[6] = fmt.Sprintf("%.2f", ideal/ours.Wall.Seconds())
	}
	if installed(scripted...) {
		took, err := s.sampleScript(ctx, l, sizes.scripted, o)
		if err != nil {
			return nil, err
		}
		row[2], row[4] = seconds(took), times(took, ours.Wall)
	}
	if installed("terraform") {
		took, err := s.sampleTerraform(ctx, l, sizes.terraform, o)
		if err != nil {
			return nil, err
		}
		row[3], row[5] = seconds(took), times(took, ours.Wall)
	}
	return row, nil
}

// sampleScript runs the script for some of the states and extrapolates to all.
func (s *site) sampleScript(ctx context.Context, l *landscape, sample int, o serverOptions) (took time.Duration, err error) {
	v, err := s.open(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	var some []state
	for i := range sample { // from all parts of the landscape
		some = append(some, l.states[i*len(l.states)/sample])
	}
	u, err := s.byScript(ctx, v, some)
	if err != nil {
		return 0, err
	}
	return u.Wall * time.Duration(len(l.states)) / time.Duration(sample), v.look("the script", workspacesOf(some))
}

// sampleTerraform runs terraform for states of the landscape's average size and
// extrapolates to all.
func (s *site) sampleTerraform(ctx context.Context, l *landscape, sample int, o serverOptions) (took time.Duration, err error) {
	v, err := s.open(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	var moved []string
	for i := range sample {
		workspace := fmt.Sprintf("terraform-%d", i)
		u, err := s.byTerraform(ctx, v, workspace, int(l.bytes)/len(l.states))
		if err != nil {
			return 0, err
		}
		took += u.Wall
		moved = append(moved, workspace)
	}
	return took * time.Duration(len(l.states)) / time.Duration(sample), v.look("terraform", moved)
}
