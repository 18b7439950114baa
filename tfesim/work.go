package tfesim

import (
	"errors"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"tfhaul/tfesim/blobs"
)

// work is what a Server holds for runs. Its maps are read and written under Server.mu.
type work struct {
	configurations map[string]*configurationVersion
	variables      map[string]*variable
	arriving       map[string]*atomic.Int64 // bytes of configurations that are being uploaded
	// sequence is that of the newest configuration version, variable or run.
	sequence uint64
	executor *executor
	// moved is closed, and made anew, whenever a run gets another status.
	moved chan struct{}
}

func newWork(o Options) *work {
	return &work{
		configurations: map[string]*configurationVersion{},
		variables:      map[string]*variable{},
		arriving:       map[string]*atomic.Int64{},
		executor:       newExecutor(o),
		moved:          make(chan struct{}),
	}
}

// workBuckets are those of the store that hold its records.
var workBuckets = []string{"configuration-versions", "variables"}

// load reads its records.
func (k *work) load(tx *bolt.Tx) error {
	return errors.Join(
		loadBucket(tx, "configuration-versions", k.configurations),
		loadBucket(tx, "variables", k.variables),
	)
}

// blobs are the bytes that its records and the runs hold.
func (s *Server) workBlobs() []*blobs.Blob {
	var all []*blobs.Blob
	for _, v := range s.work.configurations {
		all = append(all, v.Archive)
	}
	for _, r := range s.runs {
		all = append(all, r.Plan.Log, r.Plan.JSON, r.Plan.Redacted, r.Apply.Log)
	}
	return all
}

// resume brings what an earlier process left to where it can go on: a run that was being
// executed is lost, one that waited waits again.
func (s *Server) resume() {
	for _, v := range s.work.configurations {
		s.work.sequence = max(s.work.sequence, v.Sequence)
	}
	for _, v := range s.work.variables {
		s.work.sequence = max(s.work.sequence, v.Sequence)
	}
	for _, r := range s.runs {
		s.work.sequence = max(s.work.sequence, r.Sequence)
		switch r.Status {
		case runPlanning, runPlanned, runPlannedAndSaved, runConfirmed, runApplying, runApplyQueued:
			// The folder with its plan is gone, too.
			s.fail(r, "Error: the server was restarted while it worked on this run")
		case runPlanQueued:
			r.Status = runPending
			s.put(r)
		}
	}
	for _, w := range s.workspaces {
		s.advance(w)
	}
}

// forget drops what belongs to a workspace that is deleted.
func (s *Server) forget(w *workspace) {
	for id, v := range s.work.configurations {
		if v.Workspace == w.ID {
			delete(s.work.configurations, id)
			s.drop(v)
			s.discard(v.Archive)
		}
	}
	for id, v := range s.work.variables {
		if v.Workspace == w.ID {
			delete(s.work.variables, id)
			s.drop(v)
		}
	}
	for id, r := range s.runs {
		if r.Workspace == w.ID {
			s.work.executor.stop(r.ID)
			delete(s.runs, id)
			s.drop(r)
			s.discard(r.Plan.Log, r.Plan.JSON, r.Plan.Redacted, r.Apply.Log)
		}
	}
}
