package tfesim

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// advance starts what can start in a workspace: every plan that cannot be applied, which
// ignores locks, and, when nothing else is going on there and nobody has locked it, the run
// that has waited longest.
func (s *Server) advance(w *workspace) {
	all := s.runsOf(w)
	busy := w.Lock != nil
	for _, r := range all {
		if !s.plansAside(r) && !r.final() && r.Status != runPending {
			busy = true
		}
	}
	for _, r := range slices.Backward(all) {
		if r.Status != runPending {
			continue
		}
		if !s.plansAside(r) {
			if busy {
				continue
			}
			busy = true
		}
		s.queuePlan(w, r)
	}
}

// plansAside says that the run's plan needs no turn: it changes nothing, or only saves a plan.
func (s *Server) plansAside(r *run) bool {
	return s.speculative(r) || r.SavePlan && (r.Status == runPending || r.Status == runPlanQueued || r.Status == runPlanning || r.Status == runPlannedAndSaved)
}

// queuePlan hands a run to the executor. A workspace whose runs agents execute waits for one:
// there are none here.
func (s *Server) queuePlan(w *workspace, r *run) {
	s.setStatus(r, runPlanQueued)
	r.Plan.set(phaseQueued)
	if mode, _ := s.executionMode(w); mode == "agent" {
		return
	}
	s.work.executor.begin(r.ID, s.plan)
}

// holdLock locks a workspace for a run.
func (s *Server) holdLock(w *workspace, r *run) {
	w.Lock = &lock{Holder: jsonapi.Ref{ID: r.ID, Type: "runs"}, At: time.Now(), Cycle: jsonapi.NewID("lock")}
	s.put(w)
}

// finish ends a run: its lock goes, and the next one may start.
func (s *Server) finish(r *run, status string) {
	s.setStatus(r, status)
	if r.Apply.Status == phasePending {
		r.Apply.set(phaseUnreachable)
	}
	s.put(r)
	s.work.executor.discard(r.ID)
	w := s.workspaces[r.Workspace]
	if w == nil {
		return
	}
	if w.Lock != nil && w.Lock.Holder == (jsonapi.Ref{ID: r.ID, Type: "runs"}) {
		s.release(w)
		return
	}
	s.advance(w)
}

// fail ends a run whose plan or apply did not come to its end.
func (s *Server) fail(r *run, why string) {
	p := &r.Plan
	if r.Apply.Status == phaseQueued || r.Apply.Status == phaseRunning {
		p = &r.Apply
	}
	p.set(phaseErrored)
	if p.Log == nil {
		p.Log = s.keepLog([]byte(why + "\n"))
	}
	s.finish(r, runErrored)
}

// forceCancelAfter is how long after a cancel a run may be ended by force.
const forceCancelAfter = time.Minute

func (r *run) cancelable() bool {
	return r.Canceled.IsZero() && slices.Contains([]string{runPending, runPlanQueued, runPlanning, runConfirmed, runApplyQueued, runApplying}, r.Status)
}

func (r *run) confirmable() bool {
	return (r.Status == runPlanned || r.Status == runPlannedAndSaved) && (r.Plan.HasChanges || r.EmptyApply)
}

func (r *run) discardable() bool {
	return slices.Contains([]string{runPending, runPlanned, runPlannedAndSaved}, r.Status)
}

func (r *run) forceCancelable(now time.Time) bool {
	return !r.Canceled.IsZero() && !r.final() && now.After(r.Canceled.Add(forceCancelAfter))
}

// runAction answers POST /runs/:id/actions/…: 202, and what it does follows.
func runAction(action string, may func(*call, *run) bool, do func(*call, *workspace, *run) error) func(*call) (*jsonapi.Answer, error) {
	return func(c *call) (*jsonapi.Answer, error) {
		r, w, err := c.runNamed(accessWrite)
		if err != nil {
			return nil, err
		}
		if r.Status == "" || !c.who.mayStoreState() {
			return nil, jsonapi.NotFound()
		}
		if !may(c, r) {
			return nil, jsonapi.Conflict(notAllowed)
		}
		if err := do(c, w, r); err != nil {
			return nil, err
		}
		r.event(action)
		if text := c.body.Comment; text != "" {
			r.Comments = append(r.Comments, comment{jsonapi.NewID("wsc"), text})
		}
		c.s.put(r)
		return &jsonapi.Answer{Status: http.StatusAccepted, Body: json.RawMessage("null")}, nil
	}
}

// The actions on runs.
var (
	applyRun = runAction("confirmed", func(_ *call, r *run) bool { return r.confirmable() }, (*call).confirm)

	discardRun = runAction("discarded", func(_ *call, r *run) bool { return r.discardable() },
		func(c *call, _ *workspace, r *run) error {
			c.s.finish(r, runDiscarded)
			return nil
		})

	cancelRun = runAction("canceled", func(_ *call, r *run) bool { return r.cancelable() },
		func(c *call, _ *workspace, r *run) error {
			r.Canceled = c.now
			c.s.cancel(r, runCanceled)
			return nil
		})

	forceCancelRun = runAction("force_canceled", func(c *call, r *run) bool { return r.forceCancelable(c.now) },
		func(c *call, w *workspace, r *run) error {
			if c.s.accessToWorkspace(c.who, w) < accessAdmin {
				return jsonapi.NotFound()
			}
			c.s.cancel(r, runForceCanceled)
			return nil
		})

	forceExecuteRun = runAction("force_executed", func(_ *call, r *run) bool { return r.Status == runPending }, (*call).forceExecute)
)

// cancel stops what the executor does of a run; that ends the run. One that it has not begun
// ends at once.
func (s *Server) cancel(r *run, status string) {
	if status == runCanceled && s.work.executor.stop(r.ID) {
		return
	}
	if r.Apply.Status == phaseQueued || r.Apply.Status == phaseRunning {
		r.Apply.set(phaseCanceled)
	} else {
		r.Plan.set(phaseCanceled)
	}
	s.finish(r, status)
}

// confirm has a planned run applied.
func (c *call) confirm(w *workspace, r *run) error {
	if r.Status == runPlannedAndSaved {
		if w.Lock != nil {
			return jsonapi.Conflict("%s: the workspace is locked by %s", notAllowed, c.s.holderText(w.Lock.Holder))
		}
		c.s.holdLock(w, r)
	}
	by := c.who.Ref
	r.ConfirmedBy = &by
	c.s.queueApply(r)
	return nil
}

// queueApply hands a planned run to the executor again.
func (s *Server) queueApply(r *run) {
	s.setStatus(r, runConfirmed)
	s.setStatus(r, runApplyQueued)
	r.Apply.set(phaseQueued)
	s.work.executor.begin(r.ID, s.apply)
}

// forceExecute ends what is before a run in its queue, and starts it.
func (c *call) forceExecute(w *workspace, r *run) error {
	if w.Lock != nil && w.Lock.Holder.Type != "runs" {
		return jsonapi.Conflict("%s: the workspace is locked by %s", notAllowed, c.s.holderText(w.Lock.Holder))
	}
	for _, other := range c.s.runsOf(w) {
		if other == r || other.final() || c.s.speculative(other) {
			continue
		}
		switch {
		case other.Status == runApplying:
			return jsonapi.Conflict(notAllowed + ": another run is being applied")
		case other.discardable() && (other.Sequence < r.Sequence || other.Status == runPlanned):
			c.s.finish(other, runDiscarded)
		case other.cancelable() && other.Sequence < r.Sequence:
			other.Canceled = c.now
			c.s.cancel(other, runCanceled)
		}
	}
	return nil
}
