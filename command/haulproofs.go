package command

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

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

// prove has what arrived proven, and puts the verdicts into the results.
func (m *migration) prove(ctx context.Context, target *tfe.Target, haul *migrate.Haul, plan *migrate.Plan, results []migrate.Result) {
	arrived := 0
	for i := range results {
		if results[i].Arrived() {
			arrived++
		}
	}
	progress := m.startProgress(ctx, proving, arrived)
	defer progress.end()
	prover := &prove.Prover{Target: target.Client, Timeout: m.proofs.timeout, Temporary: m.leftovers.observe}
	haul.Prove(ctx, plan, results, func(ctx context.Context, move migrate.Move, r migrate.Result) prove.Result {
		dir, err := m.proofs.find.Find(move.Object)
		if err != nil {
			return prove.Result{Target: r.Target, Verdict: prove.Unproven, Code: prove.CodeConfiguration, Message: plainwords.Sentence(err.Error())}
		}
		return prover.Prove(ctx, prove.Request{Organization: target.Container(), Workspace: move.Workspace, Dir: dir, StateVersion: r.StateVersionID})
	}, progress.proven)
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
