package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// DefaultParallelism is how many moves a haul carries out at a time.
const DefaultParallelism = 8

// A Haul is many moves, planned together and run together. All moves share the
// engine's rate limit; a move holds a few hundred KB whatever the size of its
// state, so that parallelism alone bounds the memory.
type Haul struct {
	*Engine
	// Parallelism is how many moves run at a time; 0 means DefaultParallelism. One
	// that waits for a lock does not count.
	Parallelism int
	// TrustListing has Plan take for missing what the listing of the workspaces lacks. A
	// listing can lose a row while others create workspaces, so otherwise each is asked
	// for by its name. It is for hauls that create what is missing and that nobody looks
	// at before: creating a workspace that exists finds it.
	TrustListing bool
	// FailFast ends the haul at the first failure.
	FailFast bool
	// Decided, if not nil, is called by Plan for each move as it is decided, one at a
	// time; Ended by Run of each move's result as it ends, one at a time.
	Decided, Ended func(Result)
}

// An endedError ends a haul before all moves had their turn.
type endedError struct{ why string }

func (e *endedError) Error() string {
	return "not attempted: the haul ended early because " + e.why
}

// maxConsecutiveFailures is how many moves in a row may fail because the server is out of
// reach or out of order before the haul ends: the others would fail as slowly.
const maxConsecutiveFailures = 20

// Run carries out the moves that a plan has found possible, and returns the
// results of all, in the plan's order. It consumes the plan: of the data read for a
// move nothing is kept when the move has ended, and its result is the one that it
// ended with. The error, if not nil, is a
// *multierror.Error with one error for each cause of failure, however many moves
// it hit. A haul ends early when the token is not accepted any more, when the
// journal cannot be written, and when the server stays silent.
func (h *Haul) Run(ctx context.Context, plan *Plan) ([]Result, error) {
	r := haulRun{Haul: h, plan: plan, outage: outage{target: h.Target.Down}}
	r.ctx, r.end = context.WithCancelCause(ctx)
	defer r.end(nil)
	r.slots = semaphore.NewWeighted(int64(h.parallelism()))
	h.recordPlan(plan)
	engine := *h.Engine
	engine.park, engine.claims = r.park, &claims{}
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
	results := plan.Results()
	var causes *multierror.Error
	for _, cause := range Causes(results) {
		causes = multierror.Append(causes, cause)
	}
	return results, causes.ErrorOrNil()
}

// recordPlan records how many moves are to be carried out. Where that cannot be written,
// neither can the first move's intent, whose error is reported.
func (h *Haul) recordPlan(plan *Plan) {
	if h.Journal != nil && !h.DryRun {
		_ = h.Journal.Append(Event{Time: time.Now().UTC(), Event: EventPlanned, Haul: h.Haul, Moves: len(plan.Moves)})
	}
}

func (h *Haul) parallelism() int { return cmp.Or(max(h.Parallelism, 0), DefaultParallelism) }

// carryOut moves what was planned. What the plan found to need no move, or not to
// be possible, stands as it is.
// lost is called with a move that has left a lock request without a reply.
func (e *Engine) carryOut(ctx context.Context, p Planned, lost func(*execution)) Result {
	if p.Result.Outcome == WouldMove {
		x := e.execution(p.Move)
		x.move(ctx, false)
		x.result.APICalls += p.Result.APICalls
		if x.result.LockRequestLost {
			lost(x)
		}
		return x.result
	}
	x := e.execution(p.Move)
	x.result = p.Result
	if p.seen != nil {
		x.read, x.workspace = p.seen.read, p.seen.workspace
	}
	x.freeLeftLock(ctx)
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

	mu     sync.Mutex
	plan   *Plan
	outage outage
	lost   map[int]*execution // moves that left a lock request without a reply
}

// remember returns a function that keeps a move for checkLostRequest.
func (r *haulRun) remember(i int) func(*execution) {
	return func(x *execution) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.lost == nil {
			r.lost = map[int]*execution{}
		}
		r.lost[i] = x
	}
}

// checkLostRequest looks at the end of the haul at every workspace where a lock request
// was lost, and records what became of it.
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

// park lends the slot of a move that waits for a lock to others.
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

// skip gives a move its result that did not have its turn.
func (r *haulRun) skip(i int, p Planned, why error) {
	result := p.Result
	if result.Outcome == WouldMove {
		result.Outcome, result.Code, result.Message = Skipped, CodeNotAttempted, plainwords.Sentence(why.Error())
	}
	r.ended(i, result)
}

// ended takes a move's result and decides whether the haul goes on.
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

// Causes groups what failed by its cause, the most frequent first.
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
			c.text, c.advice = plainwords.Sentence(r.cause), advice[r.Code]
		}
		if known[c] == nil {
			known[c] = &CauseError{Code: c.code, Text: c.text, Advice: c.advice}
			all = append(all, known[c])
		}
		known[c].Targets = append(known[c].Targets, r.Target)
	}
	slices.SortStableFunc(all, func(a, b *CauseError) int { return len(b.Targets) - len(a.Targets) })
	return all
}

// A CauseError is one cause and all the moves that failed of it.
type CauseError struct {
	Code Code
	// Text says what went wrong. Advice says what to do about it, where Text does
	// not; it is not part of Error.
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

// list reads the organization's workspaces, and returns those that moves may go into,
// and how many there are in all.
func (h *Haul) list(ctx context.Context, moves []Move) (listed, int, error) {
	byName := make(listed, len(moves))
	for i := range moves {
		if !moves[i].Unnamed {
			byName[foldName(moves[i].Workspace)] = nil
		}
	}
	all := 0
	for ws, err := range h.Target.List(ctx) {
		if err != nil {
			return nil, 0, err
		}
		all++
		name := foldName(ws.Name)
		if alike, wanted := byName[name]; wanted && !slices.ContainsFunc(alike, func(other *backend.Standing) bool { return other.ID == ws.ID }) {
			byName[name] = append(alike, ws)
		}
	}
	return byName, all, nil
}
