package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"tfhaul/fixtures"
)

// measureCalls counts the API calls of each outcome.
func measureCalls(ctx context.Context, s *site, w io.Writer) error {
	say(w, `The number of requests for one state, counted at the server. The rate limit applies to API calls (HCP Terraform allows 30 a
second), but not to uploads to and downloads from signed URLs. A haul lists the organization's workspaces once, a hundred
per call, and needs no further call to read each one; a single move does.`)
	t := &table{head: []string{"one state", "API calls", "transfers"}}
	if err := s.countMoves(ctx, t); err != nil {
		return err
	}
	if err := s.countHauls(ctx, t); err != nil {
		return err
	}
	if err := s.countOthers(ctx, t); err != nil {
		return err
	}
	t.print(w)
	say(w, `"Transfers" are downloads and signed uploads. tfhaul downloads what it wrote, to compare it, and what it is about to
replace. The script from the documentation (create, lock, POST, unlock, read current) reads nothing back. Terraform's row
counts the requests of the real program. Two tools are replayed from a list of their requests:

- tfm reads the workspace, lists the state versions of source and destination, reads, downloads, locks, creates, reads,
  unlocks.
- tf-migrate's provider reads, locks, creates, uploads with PUT, reads, unlocks. tf-migrate also runs terraform init and
  terraform state pull for each state, which are not counted.`)
	if !installed("terraform") {
		say(w, "Terraform is not installed on this machine, so its row is missing.")
	}
	return nil
}

// countMoves counts the calls of tfhaul move for each outcome.
func (s *site) countMoves(ctx context.Context, t *table) (err error) {
	first := fixtures.Spec{Serial: 7, Seed: 1, MinSize: 50_000}
	second, foreign := first, fixtures.Spec{Serial: 3, Seed: 2, MinSize: 50_000}
	second.Serial, second.Lineage = 8, first.LineageOf()
	files := map[string]string{}
	for name, spec := range map[string]fixtures.Spec{"first": first, "second": second, "foreign": foreign} {
		if files[name], err = s.writeState("terraform.tfstate", spec); err != nil {
			return err
		}
	}
	v, err := s.open(ctx, serverOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if _, err := v.do(order{Do: "workspaces", Workspaces: []string{"a", "b"}}); err != nil {
		return err
	}
	for _, c := range []struct {
		what, state, workspace, outcome string
		flags                           []string
	}{
		{"tfhaul move, the workspace is empty", "first", "a", "moved", nil},
		{"tfhaul move, newer than what is there", "second", "a", "moved", nil},
		{"tfhaul move, already there", "second", "a", "already-there", nil},
		{"tfhaul move, refused: older than what is there", "first", "a", "refused", nil},
		{"tfhaul move --replace, after a backup", "foreign", "a", "moved", []string{"--replace", "a"}},
		{"tfhaul move --upload signed, the workspace is empty", "first", "b", "moved", []string{"--upload", "signed"}},
		{"tfhaul move --create", "first", "new", "moved", []string{"--create"}},
	} {
		if _, err := v.counts(); err != nil {
			return err
		}
		_, outcome, err := s.move(ctx, v, files[c.state], c.workspace, c.flags...)
		if err != nil {
			return err
		}
		if outcome != c.outcome {
			return fmt.Errorf("%s ended as %s", c.what, outcome)
		}
		n, err := v.counts()
		if err != nil {
			return err
		}
		t.add(c.what, fmt.Sprint(n.API), fmt.Sprint(n.Blobs))
	}
	return nil
}

// countHauls counts the calls of tfhaul migrate per state.
func (s *site) countHauls(ctx context.Context, t *table) error {
	n := 100
	if s.quick {
		n = 20
	}
	l, err := s.plant(ctx, n, 5_000)
	if err != nil {
		return err
	}
	for _, o := range []serverOptions{{}, {HCP: true}} {
		product := "Terraform Enterprise"
		if o.HCP {
			product = "HCP Terraform"
		}
		for _, create := range []bool{false, true} {
			if err := s.countHaul(ctx, t, l, o, product, create); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *site) countHaul(ctx context.Context, t *table, l *landscape, o serverOptions, product string, create bool) (err error) {
	v, err := s.open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	each := func(what, outcome string, flags ...string) error {
		if _, err := v.counts(); err != nil {
			return err
		}
		if _, err := s.haul(ctx, v, l, 8, outcome, flags...); err != nil {
			return err
		}
		n, err := v.counts()
		states := float64(len(l.states))
		t.add(fmt.Sprintf("tfhaul migrate%s, one of %d, %s", what, len(l.states), product),
			fmt.Sprintf("%.2f", float64(n.API)/states), fmt.Sprintf("%.2f", float64(n.Blobs)/states))
		return err
	}
	if create {
		return each(" --create", "moved", "--create")
	}
	if _, err := v.do(order{Do: "workspaces", Workspaces: workspacesOf(l.states)}); err != nil {
		return err
	}
	if err := each("", "moved"); err != nil {
		return err
	}
	return each(", again", "already-there")
}

// countOthers counts the calls of other tools.
func (s *site) countOthers(ctx context.Context, t *table) (err error) {
	v, err := s.open(ctx, serverOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	file, err := s.writeState("terraform.tfstate", fixtures.Spec{Serial: 7, Seed: 1, MinSize: 50_000})
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	a, err := bareAPI(func(name string) string { return v.env[name] }, 1)
	if err != nil {
		return err
	}
	if _, err := v.do(order{Do: "seed", Workspaces: []string{"tfm-source"}, File: file}); err != nil {
		return err
	}
	if _, err := v.do(order{Do: "workspaces", Workspaces: []string{"tfm", "provider"}}); err != nil {
		return err
	}
	for _, c := range []struct {
		what, workspace string
		needs           []string
		do              func(workspace string) error
	}{
		{"the documentation's sequence by curl, which creates the workspace", "curl", scripted, func(workspace string) error {
			_, err := s.byScript(ctx, v, []state{{file: file, workspace: workspace}})
			return err
		}},
		{"tfm copy workspaces --state (replayed)", "tfm", nil, func(workspace string) error { return a.byTFM(ctx, "tfm-source", workspace, raw) }},
		{"tf-migrate's provider (replayed)", "provider", nil, func(workspace string) error { return a.byProvider(ctx, workspace, raw) }},
		{"terraform init -migrate-state, which creates the workspace", "terraform", []string{"terraform"}, func(workspace string) error {
			_, err := s.byTerraform(ctx, v, workspace, 50_000)
			return err
		}},
	} {
		if !installed(c.needs...) {
			continue
		}
		if _, err := v.counts(); err != nil {
			return err
		}
		if err := c.do(c.workspace); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
		n, err := v.counts()
		if err != nil {
			return err
		}
		if err := v.look(c.what, []string{c.workspace}); err != nil {
			return err
		}
		t.add(c.what, fmt.Sprint(n.API), fmt.Sprint(n.Blobs))
	}
	return nil
}
