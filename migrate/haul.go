package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/semaphore"

	"tfhaul/backend"
	"tfhaul/crash"
	"tfhaul/plainwords"
)

// DefaultParallelism is how many moves of a haul run at a time.
const DefaultParallelism = 8

// A Haul plans and runs many moves together. All moves share the engine's rate limit. A move
// needs a few hundred KB, whatever the size of its state, so parallelism bounds the memory.
type Haul struct {
	*Engine
	// Parallelism is how many moves run at a time; 0 means DefaultParallelism. A move that
	// waits for a lock does not count.
	Parallelism int
	// TrustListing makes Plan treat a workspace that the listing lacks as missing. Otherwise
	// it looks each one up by name, because a listing can lose a row while others create
	// workspaces. TrustListing is for hauls that create missing workspaces without review:
	// creating a workspace that exists finds it.
	TrustListing bool
	// Command is the command that continues the haul, for the journal; "" if unknown.
	Command string
	// FailFast ends the haul at the first failure.
	FailFast bool
	// Decided, if not nil, is called by Plan with the result of each move as it is decided.
	// Ended, if not nil, is called by Run as each move ends. Calls do not overlap.
	Decided, Ended func(Result)
	// Revised, if not nil, is called by Run after Ended for a move whose source turns out to
	// have changed meanwhile, with its former and its final result.
	Revised func(before, after Result)
}

// An endedError ends a haul before all moves were attempted.
type endedError struct{ why string }

func (e *endedError) Error() string {
	return "not attempted: the haul ended early because " + e.why
}

// maxConsecutiveFailures is how many consecutive moves can fail because the server is
// unreachable or broken before the haul ends. The others would fail just as slowly.
const maxConsecutiveFailures = 20

// Run carries out the moves that the plan found possible and returns all results in the
// plan's order. It consumes the plan: when a move ends, its planned result is replaced and
// what was read for it is dropped. The error, if not nil, is a *multierror.Error with one
// error per cause of failure. A haul ends early if the server no longer accepts the token or
// stops responding, or if the journal cannot be written.
func (h *Haul) Run(ctx context.Context, plan *Plan) ([]Result, error) {
	r := haulRun{Haul: h, plan: plan, outage: outage{target: h.Target.Down}}
	r.ctx, r.end = context.WithCancelCause(ctx)
	defer r.end(nil)
	r.slots = semaphore.NewWeighted(int64(h.parallelism()))
	h.recordPlan(plan)
	engine := *h.Engine
	engine.park, engine.claims, engine.relistings = r.park, &claims{}, r.relistings()
	for i, p := range plan.Moves {
		if r.slots.Acquire(r.ctx, 1) != nil || r.ctx.Err() != nil {
			why := error(&endedError{why: "it was interrupted"})
			if ended, ok := errors.AsType[*endedError](context.Cause(r.ctx)); ok {
				why = ended
			}
			r.skip(i, p, why)
			continue
		}
		if why := r.sourceDown(p); why != nil {
			r.slots.Release(1)
			r.skip(i, p, why)
			continue
		}
		r.running.Go(func() {
			defer crash.Catch(ctx)
			defer r.slots.Release(1)
			r.ended(i, engine.carryOut(r.ctx, p, r.remember(i)))
		})
	}
	r.running.Wait()
	r.checkLostRequest(ctx)
	r.checkSources(ctx)
	r.finishSettings(ctx)
	results := plan.Results()
	var causes *multierror.Error
	for _, cause := range Causes(results) {
		causes = multierror.Append(causes, cause)
	}
	return results, causes.ErrorOrNil()
}

// recordPlan records how many moves are planned. It ignores an error, because the first move's
// intent will fail with the same one.
func (h *Haul) recordPlan(plan *Plan) {
	if h.Journal != nil && !h.DryRun {
		_ = h.Journal.Append(Event{Time: time.Now().UTC(), Event: EventPlanned, Haul: h.Haul, Moves: len(plan.Moves), Command: h.Command})
	}
}

func (h *Haul) parallelism() int { return cmp.Or(max(h.Parallelism, 0), DefaultParallelism) }

// carryOut runs a planned move. If the plan found that nothing is to be done or that the move
// is not possible, it keeps that result. It calls remember with a move that the end of the haul
// has to check.
func (e *Engine) carryOut(ctx context.Context, p Planned, remember func(*execution)) Result {
	if p.Result.Outcome == WouldMove {
		x := e.execution(p.Move)
		x.later = true
		x.move(ctx, false)
		x.result.APICalls += p.Result.APICalls
		if x.result.LockRequestLost || x.result.SourceUnchecked || len(x.absent) > 0 {
			remember(x)
		}
		return x.result
	}
	x := e.execution(p.Move)
	x.result = p.Result
	if p.seen != nil {
		x.read, x.workspace = p.seen.read, p.seen.workspace
	}
	x.freeLeftLock(ctx)
	x.recordCompared()
	x.recordOutcome()
	return x.result
}

// A haulRun is one call of Run.
type haulRun struct {
	*Haul
	ctx     context.Context
	end     context.CancelCauseFunc
	slots   *semaphore.Weighted
	running sync.WaitGroup

	mu        sync.Mutex
	plan      *Plan
	outage    outage
	lost      map[int]*execution // moves whose lock request got no response
	unchecked []unchecked        // moves whose source was not checked yet
	absent    map[int]*execution // moves with remote-state consumers that did not exist yet
}

// remember returns a function that keeps a move for checkLostRequest, checkSources and
// finishSettings.
func (r *haulRun) remember(i int) func(*execution) {
	return func(x *execution) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if x.result.SourceUnchecked {
			r.unchecked = append(r.unchecked, unchecked{i, *x.read.version(), x.workspace.ID})
		}
		if len(x.absent) > 0 {
			if r.absent == nil {
				r.absent = map[int]*execution{}
			}
			r.absent[i] = x
		}
		if !x.result.LockRequestLost {
			return
		}
		if r.lost == nil {
			r.lost = map[int]*execution{}
		}
		r.lost[i] = x
	}
}

// checkLostRequest checks, at the end of the haul, every workspace whose lock request got no
// response, and records the result.
func (r *haulRun) checkLostRequest(ctx context.Context) {
	for i, x := range r.lost {
		x.park = nil
		metered, meter := backend.WithMeter(ctx)
		x.checkLostRequest(metered)
		x.result.APICalls += meter.Calls()
		x.recordOutcome()
		r.plan.Moves[i].end(x.result)
	}
}

// finishSettings adds, at the end of the haul, the remote-state consumers that did not exist when
// their move ended, because other moves were to create them.
func (r *haulRun) finishSettings(ctx context.Context) {
	for _, i := range slices.Sorted(maps.Keys(r.absent)) {
		x, p := r.absent[i], &r.plan.Moves[i]
		if former := p.Result; former.Arrived() {
			x.result, x.later = former, false
			metered, meter := backend.WithMeter(ctx)
			err := x.applySettings(metered, r.Target.(backend.Configurer))
			x.conclude(ctx, err)
			x.result.APICalls += meter.Calls()
			x.recordOutcome()
			if p.Result = x.result; err != nil && r.Revised != nil {
				r.Revised(former, x.result)
			}
		}
	}
}

// park frees the slot of a move while it waits for a lock.
func (r *haulRun) park(ctx context.Context, sleep func(context.Context) error) error {
	r.slots.Release(1)
	slept := sleep(ctx)
	// The slot is acquired again in any case, because its holder releases it at the end.
	if err := r.slots.Acquire(context.WithoutCancel(ctx), 1); err != nil {
		return err
	}
	return slept
}

// sourceDown returns why a move is not attempted because its source does not respond, or nil.
func (r *haulRun) sourceDown(p Planned) error {
	if p.Result.Outcome != WouldMove {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outage.sourceDown(p.Object)
}

// skip sets the result of a move that was not attempted.
func (r *haulRun) skip(i int, p Planned, why error) {
	result := p.Result
	if result.Outcome == WouldMove {
		result.Outcome, result.Code, result.Message = Skipped, CodeNotAttempted, plainwords.Sentence(why.Error())
	}
	r.ended(i, result)
}

// ended records a move's result and decides whether the haul continues.
func (r *haulRun) ended(i int, result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	attempted := r.plan.Moves[i].Result.Outcome == WouldMove // and not what the plan found
	r.plan.Moves[i].end(result)
	var outage *endedError
	if attempted {
		outage = r.outage.observe(result)
	}
	switch {
	case result.Code == CodeUnauthorized:
		r.end(&endedError{why: "the server no longer accepts the token"})
	case result.Code == CodeJournal:
		r.end(&endedError{why: "the journal cannot be written"})
	case outage != nil:
		r.end(outage)
	case r.FailFast && result.Outcome == Failed:
		r.end(&endedError{why: "a move failed (--fail-fast)"})
	}
	if r.Ended != nil {
		r.Ended(result)
	}
}

// Causes groups failed moves by cause, the most frequent first.
func Causes(results []Result) []*CauseError {
	type cause struct {
		code         Code
		text, advice string
	}
	known := map[cause]*CauseError{}
	var all []*CauseError
	for _, r := range results {
		if r.Outcome != Failed {
			continue
		}
		c := cause{code: r.Code, text: r.Message} // it includes the advice
		if r.cause != "" {
			if c.text = plainwords.Sentence(r.cause); !r.advised {
				c.advice = advice[r.Code]
			}
		}
		if known[c] == nil {
			known[c] = &CauseError{Text: c.text, Advice: c.advice}
			all = append(all, known[c])
		}
		known[c].Targets = append(known[c].Targets, r.Target)
	}
	slices.SortStableFunc(all, func(a, b *CauseError) int { return len(b.Targets) - len(a.Targets) })
	return all
}

// A CauseError is a cause of failure and the moves that it affected.
type CauseError struct {
	// Text describes what went wrong. Advice is what to do about it, if Text does not
	// include that; it is not part of Error.
	Text, Advice string
	// Targets are the workspaces of the moves.
	Targets []string
}

func (e *CauseError) Error() string {
	const named = 3
	if len(e.Targets) <= named {
		return fmt.Sprintf("%s: %s", strings.Join(e.Targets, ", "), e.Text)
	}
	return fmt.Sprintf("%d moves (%s and %d more): %s", len(e.Targets), strings.Join(e.Targets[:named], ", "), len(e.Targets)-named, e.Text)
}

// list reads the target's states and returns those that the moves name; nil if the target has
// no listing.
func (h *Haul) list(ctx context.Context, moves []Move) (listed, error) {
	listing := h.Target.List(ctx)
	if listing == nil {
		return nil, nil
	}
	byName := make(listed, len(moves))
	for i := range moves {
		if !moves[i].Unnamed {
			byName[foldName(moves[i].Workspace)] = nil
		}
	}
	for ws, err := range listing {
		if err != nil {
			return nil, err
		}
		name := foldName(ws.Name)
		if alike, wanted := byName[name]; wanted && !slices.ContainsFunc(alike, func(other *backend.Standing) bool { return other.ID == ws.ID }) {
			byName[name] = append(alike, ws)
		}
	}
	return byName, nil
}
