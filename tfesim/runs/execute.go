package runs

import (
	"errors"
	"fmt"
	"time"

	"tfhaul/tfesim/blobs"
)

// A job holds everything that executing a run needs, so that it need not hold the host's lock.
type job struct {
	run       run
	workspace string
	directory string // the working directory within the configuration
	archive   *blobs.Blob
	state     *blobs.Blob // nil without a state
	known     int64       // the serial of the newest state version, or -1
	variables []variable
}

// longestRun is how long one call of terraform may take.
const longestRun = 2 * time.Hour

// jobOf returns the job for a run, or why the run cannot be executed.
func (s *Service) jobOf(r *run) (*job, error) {
	w, there := s.host.Workspace(r.Workspace)
	v := s.configurations[r.Configuration]
	if !there || v == nil || v.Archive == nil {
		return nil, errors.New("the configuration version of this run is gone")
	}
	j := &job{run: *r, workspace: w.Name, archive: v.Archive, directory: w.WorkingDirectory}
	j.state, j.known = s.host.CurrentState(w.ID)
	for _, v := range s.variablesOf(w.ID) {
		j.variables = append(j.variables, *v)
	}
	return j, nil
}

// plan executes a run's plan.
func (s *Service) plan(x *execution) {
	if !s.takeTurn(x) {
		return
	}
	j := s.startPhase(x, runPlanning, func(r *run) *phase { return &r.Plan })
	if j == nil {
		return
	}
	var outcome planned
	f, err := s.prepare(x, j)
	if err == nil {
		outcome, err = s.executePlan(x, f, j)
	}
	if f != nil && (err != nil || j.run.PlanOnly) {
		f.remove()
	} else if f != nil {
		s.executor.keep(x.run, f.dir)
	}
	s.endPhase(x, err, func(r *run) *phase { return &r.Plan }, func(r *run) {
		r.Plan.JSON, r.Plan.Redacted = outcome.json, outcome.redacted
		r.Plan.HasChanges = outcome.hasChanges
		r.Plan.counts = outcome.counts
		s.planned(r)
	}, outcome.json, outcome.redacted)
}

// takeTurn locks the workspace for a run that may change it. If it is locked by now, the run goes
// back to waiting.
func (s *Service) takeTurn(x *execution) bool {
	mine := true
	err := s.host.Do(func() {
		r := s.runs[x.run]
		if r == nil || x.ctx.Err() != nil || s.plansAside(r) {
			return
		}
		w, _ := s.host.Workspace(r.Workspace)
		if mine = w.LockedBy == nil; mine {
			s.host.Lock(w.ID, r.ID)
		} else {
			s.executor.ended(x)
			s.setStatus(r, runPending)
		}
	})
	return err == nil && mine
}

// planned decides what happens to a run after its plan has finished.
func (s *Service) planned(r *run) {
	switch {
	case s.speculative(r), !r.Plan.HasChanges && !r.EmptyApply:
		s.finish(r, runPlannedAndFinished)
	case r.SavePlan && !r.AutoApply:
		s.setStatus(r, runPlannedAndSaved)
	case r.AutoApply:
		s.setStatus(r, runPlanned)
		s.queueApply(r)
	default:
		s.setStatus(r, runPlanned)
	}
}

// apply executes a run's apply.
func (s *Service) apply(x *execution) {
	j := s.startPhase(x, runApplying, func(r *run) *phase { return &r.Apply })
	if j == nil {
		return
	}
	var made *State
	var did counts
	f, err := s.planFolder(x, j)
	if err == nil {
		did, err = s.executeApply(x, f)
		// Even after an error, what terraform wrote is the new state.
		var lost error
		if made, lost = s.takeState(f, j); lost != nil {
			err = errors.Join(err, lost)
		}
	}
	if made != nil {
		err = errors.Join(err, s.host.AddState(j.run.Workspace, *made))
	}
	s.endPhase(x, err, func(r *run) *phase { return &r.Apply }, func(r *run) {
		r.Apply.counts = did
		s.finish(r, runApplied)
	})
}

// startPhase moves a run to its next status and returns the job, or nil when there is nothing left
// to execute.
func (s *Service) startPhase(x *execution, status string, part func(*run) *phase) *job {
	var j *job
	// After a failed write, the host answers every request with an error.
	_ = s.host.Do(func() {
		r := s.runs[x.run]
		switch {
		case r == nil || s.executor.closing():
			s.executor.ended(x)
		case x.ctx.Err() != nil:
			s.executor.ended(x)
			s.cancel(r, runCanceled)
		default:
			var err error
			if j, err = s.jobOf(r); err != nil {
				s.executor.ended(x)
				s.fail(r, "Error: "+err.Error())
				return
			}
			part(r).set(phaseRunning)
			s.setStatus(r, status)
		}
	})
	return j
}

// endPhase records how a phase ended: finished, canceled or errored. If the run is gone, leftovers
// are deleted.
func (s *Service) endPhase(x *execution, err error, part func(*run) *phase, finished func(*run), leftovers ...*blobs.Blob) {
	if err != nil && x.ctx.Err() == nil {
		fmt.Fprintf(&x.log, "\nError: %v\n", err)
	}
	log := s.keepLog(x.log.part(0, 0))
	// As in startPhase.
	_ = s.host.Do(func() {
		r := s.runs[x.run]
		s.executor.ended(x)
		if r == nil || s.executor.closing() {
			// Resume ends the run at the next start.
			s.host.Discard(append(leftovers, log)...)
			return
		}
		p := part(r)
		p.Log = log
		switch {
		case x.ctx.Err() != nil && err != nil:
			p.set(phaseCanceled)
			s.finish(r, runCanceled)
		case err != nil:
			p.set(phaseErrored)
			s.finish(r, runErrored)
		default:
			p.set(phaseFinished)
			finished(r)
		}
		s.put(r)
	})
}
