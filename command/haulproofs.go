package command

import (
	"context"
	"os/exec"
	"runtime"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/semaphore"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/prove"
)

// haulProofs say how the workspaces of a haul are proven.
type haulProofs struct {
	find    *pairing.ConfigurationFinder
	timeout time.Duration
}

// haulProofs reads the flags; nil when no proofs are asked for.
func (p *process) haulProofs(c *cli.Context) (*haulProofs, error) {
	if !c.Bool("prove") {
		if p.typed["prove-dir"] {
			return nil, usagef("--prove-dir says where the configurations for --prove lie: add that")
		}
		return nil, nil
	}
	find, err := pairing.ParseConfigurationFinder(c.String("prove-dir"))
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	return &haulProofs{find, c.Duration("run-timeout")}, nil
}

// provableHere returns an error if the states of a target cannot be proven from here.
func (p *haulProofs) provableHere(to destination) error {
	if why := to.unprovable(); why != "" {
		return usagef("%s. Leave out --prove", why)
	}
	if _, err := exec.LookPath("terraform"); err != nil && !to.workspaces() {
		return usagef("--prove plans with the terraform on this machine, because Terraform does not run at %s, but terraform is not on PATH: install it, or leave out --prove", to)
	}
	return nil
}

// prove proves the states that arrived, and adds the verdicts to the results.
func (m *migration) prove(ctx context.Context, target backend.Target, haul *migrate.Haul, plan *migrate.Plan, results []migrate.Result) {
	arrived := 0
	for i := range results {
		if results[i].Arrived() {
			arrived++
		}
	}
	progress := m.startProgress(ctx, proving, arrived)
	defer progress.end()
	one := m.prover(target)
	haul.Prove(ctx, plan, results, func(ctx context.Context, move migrate.Move, r migrate.Result) prove.Result {
		dir, err := m.proofs.find.Find(move)
		if err != nil {
			return prove.Result{Target: r.Target, Verdict: prove.Unproven, Code: prove.CodeConfiguration, Message: plainwords.Sentence(err.Error())}
		}
		return one(ctx, move.Workspace, dir, r.StateVersionID)
	}, progress.proven)
}

// prover returns a function that proves a state at the target with the configuration in dir: with
// a run there, or with the terraform on this machine. Here, at most one per processor runs at a
// time.
func (m *migration) prover(target backend.Target) func(ctx context.Context, name, dir, version string) prove.Result {
	prover := &prove.Prover{Timeout: m.proofs.timeout, Temporary: m.leftovers.observe}
	if organization, ok := target.(*tfe.Target); ok {
		prover.Target = organization.Client
		return func(ctx context.Context, name, dir, version string) prove.Result {
			return prover.Prove(ctx, prove.Request{Organization: target.Container(), Workspace: name, Dir: dir, StateVersion: version})
		}
	}
	processors := semaphore.NewWeighted(int64(runtime.NumCPU()))
	return func(ctx context.Context, name, dir, version string) prove.Result {
		to := m.to
		to.name = name
		if err := processors.Acquire(ctx, 1); err != nil {
			return prove.Result{Target: to.String(), Verdict: prove.Unproven, Code: prove.CodeInterrupted, Message: "Interrupted before the proof began."}
		}
		defer processors.Release(1)
		return prover.ProveBackend(ctx, prove.BackendRequest{Target: target, Name: name, Block: to.block, Dir: dir, Version: version}, prove.Local{Environ: m.environ})
	}
}

// withProofs is the exit code of a haul, with what its proofs came to.
func withProofs(code int, results []migrate.Result) int {
	if code == exitInterrupted || code == exitFailed {
		return code
	}
	for _, r := range results {
		if r.Proof == nil {
			continue
		}
		switch proof := codeOfProof(*r.Proof); {
		case proof == exitInterrupted:
			return exitInterrupted
		case proof == exitFailed:
			code = exitFailed
		case proof == exitRefused && code == exitDone:
			code = exitRefused
		}
	}
	return code
}
