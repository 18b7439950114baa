package migrate

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"tfhaul/crash"
	"tfhaul/plainwords"
	"tfhaul/prove"
)

// Prove proves every workspace that the haul moved a state to. results are those of Run for the
// same plan; Prove sets their Proof. It skips state versions that an earlier run of the haul
// has proven. Each verdict is journaled before done, if not nil, is called with it; calls do
// not overlap. The outcome of a move does not change: the state has arrived, whatever the
// verdict.
func (h *Haul) Prove(ctx context.Context, plan *Plan, results []Result, one func(context.Context, Move, Result) prove.Result, done func(Result)) {
	var (
		group errgroup.Group
		mu    sync.Mutex
	)
	group.SetLimit(h.parallelism())
	for i := range results {
		if !results[i].Arrived() {
			continue
		}
		group.Go(func() error {
			defer crash.Catch(ctx)
			r := &results[i]
			if r.Proof = h.provenBefore(*r); r.Proof == nil {
				proof := one(ctx, plan.Moves[i].Move, *r)
				r.Proof, r.APICalls = &proof, r.APICalls+proof.APICalls
				h.recordProof(r)
			}
			mu.Lock()
			defer mu.Unlock()
			if done != nil {
				done(*r)
			}
			return nil
		})
	}
	// The functions return no error: verdicts say what went wrong.
	_ = group.Wait()
}

// Arrived reports whether the workspace holds the state.
func (r *Result) Arrived() bool { return r.Outcome == Moved || r.Outcome == AlreadyThere }

// provenBefore is the proof that an earlier run of the haul made of the state version
// that is there, or nil.
func (h *Haul) provenBefore(r Result) *prove.Result {
	if h.Past == nil {
		return nil
	}
	past := h.Past.moves[moveKey{r.Source, r.Target}.folded()]
	if past == nil || past.proof == nil || past.proof.Verdict != prove.Proven || past.provenOf != r.StateVersionID {
		return nil
	}
	return past.proof
}

// recordProof writes a verdict to the journal, unless the proof was interrupted.
func (h *Haul) recordProof(r *Result) {
	if h.Journal == nil || r.Proof.Code == prove.CodeInterrupted {
		return
	}
	proof := *r.Proof
	proof.Changes, proof.Drift = recordable(proof.Changes), recordable(proof.Drift)
	err := h.Journal.Append(Event{Event: EventProof, Haul: h.Haul, Source: r.Source, Target: r.Target, StateVersionID: r.StateVersionID, Proof: &proof})
	if err != nil {
		r.Notes = append(r.Notes, plainwords.Sentence("cannot record the proof: "+err.Error()))
	}
}

// The limits of a plan in a journal's line, whose length is bounded.
const (
	maxRecordedChanges = 200 // changes
	maxAddress         = 500 // bytes
)

// recordable returns the first changes, with long addresses shortened.
func recordable(changes []prove.Change) []prove.Change {
	kept := slices.Clone(changes[:min(len(changes), maxRecordedChanges)])
	for i := range kept {
		kept[i].Address, kept[i].PreviousAddress = shortened(kept[i].Address), shortened(kept[i].PreviousAddress)
	}
	return kept
}

func shortened(address string) string {
	if len(address) <= maxAddress {
		return address
	}
	return strings.ToValidUTF8(address[:maxAddress], "") + "…"
}
