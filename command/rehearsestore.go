package command

import (
	"context"
	"os"
	"time"

	"tfhaul/backend/memory"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/report"
)

// onlyWithServer are the flags of the embedded server.
var onlyWithServer = []string{"rate", "latency", "personality"}

// rehearseStore plans against a real target without workspaces, runs what the plan would do
// in memory, and reports.
func (r *rehearsal) rehearseStore(ctx context.Context, paired *pairing.Pairing) error {
	for _, flag := range onlyWithServer {
		if r.typed[flag] {
			return usagef("--%s is for the embedded server, and %s is rehearsed without it: leave it out", flag, r.to)
		}
	}
	real, err := r.readReal(ctx, paired)
	if err != nil {
		return err
	}
	view := report.Haul{Target: r.to.String(), Findings: real.Findings, LeftOut: paired.LeftOut, All: r.all}
	played, err := r.playInMemory(ctx, real)
	if err != nil {
		return err
	}
	view.Results = together(real, played)
	view.APICalls, view.Seconds = r.calls, time.Since(r.started).Seconds()
	if err := show(r.process, view, report.HaulJSON, report.Plan); err != nil {
		return err
	}
	return ended(r.code(ctx, view.Results, paired))
}

// playInMemory runs the possible moves of a plan in memory. It returns their results in the
// plan's order.
func (r *rehearsal) playInMemory(ctx context.Context, real *migrate.Plan) ([]migrate.Result, error) {
	backups, err := os.MkdirTemp("", "tfhaul-rehearsal-")
	if err != nil {
		return nil, err
	}
	// The backups are of placeholders.
	defer func() { _ = os.RemoveAll(backups) }()
	store := memory.New()
	for _, m := range real.Moves {
		if m.Result.Outcome != migrate.WouldMove || m.Held == nil {
			continue
		}
		raw, err := placeholder(m.Held)
		if err != nil {
			return nil, err
		}
		store.Put(m.Workspace, raw)
	}
	moves := possible(real)
	haul := r.staged(store.Target(""), moves, backups)
	plan, err := r.plan(ctx, haul, &pairing.Pairing{Moves: moves})
	if err != nil {
		return nil, err
	}
	progress := r.startProgress(ctx, "rehearsing", len(plan.Moves))
	defer progress.end()
	haul.Engine.Observe = progress.observe
	haul.Ended = func(result migrate.Result) {
		progress.ended(result)
		store.Forget(result.Target[len(memory.Scheme+"://"):]) // memory is to stay flat
	}
	played, _ := haul.Run(ctx, plan) // the results contain the causes
	for i := range played {
		played[i].Target = r.addressOf(plan.Moves[i].Workspace)
		asRehearsed(&played[i])
	}
	return played, nil
}

// addressOf returns what the target of the haul calls a state.
func (r *rehearsal) addressOf(name string) string {
	at := r.to
	at.name = name
	return at.String()
}
