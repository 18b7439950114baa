package runs

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// Advance starts the runs of a workspace that can start: all plan-only runs, which ignore locks,
// and the run that has waited longest, if no other run is active and the workspace is unlocked.
func (s *Service) Advance(workspace string) {
	w, there := s.host.Workspace(workspace)
	if !there {
		return
	}
	all := s.runsOf(workspace)
	busy := w.LockedBy != nil
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

// plansAside reports whether a run's plan need not wait for other runs, because the run changes
// nothing or only saves its plan.
func (s *Service) plansAside(r *run) bool {
	return s.speculative(r) || r.SavePlan && (r.Status == runPending || r.Status == runPlanQueued || r.Status == runPlanning || r.Status == runPlannedAndSaved)
}

// queuePlan hands a run to the executor. In agent mode, a run waits for an agent forever: there are
// none here.
func (s *Service) queuePlan(w Workspace, r *run) {
	s.setStatus(r, runPlanQueued)
	r.Plan.set(phaseQueued)
	if w.ExecutionMode == "agent" {
		return
	}
	s.executor.begin(r.ID, s.plan)
}

// finish ends a run, releases its lock and starts the next run.
func (s *Service) finish(r *run, status string) {
	s.setStatus(r, status)
	if r.Apply.Status == phasePending {
		r.Apply.set(phaseUnreachable)
	}
	s.put(r)
	s.executor.discard(r.ID)
	if w, there := s.host.Workspace(r.Workspace); there && w.LockedBy != nil && w.LockedBy.Ref == r.ref() {
		s.host.Unlock(r.Workspace) // which advances the queue
		return
	}
	s.Advance(r.Workspace)
}

// fail ends a run whose plan or apply could not be completed.
func (s *Service) fail(r *run, why string) {
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

// forceCancelAfter is how long after a cancel a run can be canceled by force.
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

// runAction answers POST /runs/:id/actions/… with 202. Its effect may follow later.
func runAction(action string, may func(*call, *run) bool, do func(*call, Workspace, *run) error) handler {
	return func(c *call) (*jsonapi.Answer, error) {
		r, err := c.runNamed(Write)
		if err != nil {
			return nil, err
		}
		if r.Status == "" || !c.MayRun() {
			return nil, jsonapi.NotFound()
		}
		if !may(c, r) {
			return nil, jsonapi.Conflict(notAllowed)
		}
		w, _ := c.s.host.Workspace(r.Workspace)
		if err := do(c, w, r); err != nil {
			return nil, err
		}
		r.event(action)
		if text := c.Body().Comment; text != "" {
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
		func(c *call, _ Workspace, r *run) error {
			c.s.finish(r, runDiscarded)
			return nil
		})

	cancelRun = runAction("canceled", func(_ *call, r *run) bool { return r.cancelable() },
		func(c *call, _ Workspace, r *run) error {
			r.Canceled = c.Now()
			c.s.cancel(r, runCanceled)
			return nil
		})

	forceCancelRun = runAction("force_canceled", func(c *call, r *run) bool { return r.forceCancelable(c.Now()) },
		func(c *call, w Workspace, r *run) error {
			if !c.May(Administer, w.ID) {
				return jsonapi.NotFound()
			}
			c.s.cancel(r, runForceCanceled)
			return nil
		})

	forceExecuteRun = runAction("force_executed", func(_ *call, r *run) bool { return r.Status == runPending }, (*call).forceExecute)
)

// cancel stops the execution of a run, which ends the run. A run that is not being executed ends
// immediately.
func (s *Service) cancel(r *run, status string) {
	if status == runCanceled && s.executor.stop(r.ID) {
		return
	}
	if r.Apply.Status == phaseQueued || r.Apply.Status == phaseRunning {
		r.Apply.set(phaseCanceled)
	} else {
		r.Plan.set(phaseCanceled)
	}
	s.finish(r, status)
}

// confirm applies a planned run.
func (c *call) confirm(w Workspace, r *run) error {
	if r.Status == runPlannedAndSaved {
		if w.LockedBy != nil {
			return jsonapi.Conflict("%s: the workspace is locked by %s", notAllowed, w.LockedBy.Text)
		}
		c.s.host.Lock(w.ID, r.ID)
	}
	by := c.Asker()
	r.ConfirmedBy = &by
	c.s.queueApply(r)
	return nil
}

// queueApply hands a planned run to the executor.
func (s *Service) queueApply(r *run) {
	s.setStatus(r, runConfirmed)
	s.setStatus(r, runApplyQueued)
	r.Apply.set(phaseQueued)
	s.executor.begin(r.ID, s.apply)
}

// forceExecute ends the runs that are ahead of a run in its queue, so that it starts.
func (c *call) forceExecute(w Workspace, r *run) error {
	if w.LockedBy != nil && w.LockedBy.Type != "runs" {
		return jsonapi.Conflict("%s: the workspace is locked by %s", notAllowed, w.LockedBy.Text)
	}
	for _, other := range c.s.runsOf(w.ID) {
		if other == r || other.final() || c.s.speculative(other) {
			continue
		}
		switch {
		case other.Status == runApplying:
			return jsonapi.Conflict(notAllowed + ": another run is being applied")
		case other.discardable() && (other.Sequence < r.Sequence || other.Status == runPlanned):
			c.s.finish(other, runDiscarded)
		case other.cancelable() && other.Sequence < r.Sequence:
			other.Canceled = c.Now()
			c.s.cancel(other, runCanceled)
		}
	}
	return nil
}
