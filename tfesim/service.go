package tfesim

import (
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"tfhaul/tfesim/blobs"
)

// runOptions say how a Service behaves.
type runOptions struct {
	// Terraform is the program that executes runs; "" is the terraform on PATH, NoTerraform
	// none. Without one, runs end errored.
	Terraform string
	// ProviderMirror is the filesystem mirror from which runs install providers. "": they have
	// only the provider that is built into Terraform.
	ProviderMirror string
	// NoRuns, when it is not empty, is why no run is executed. Their logs say so.
	NoRuns string
	// Parallel is how many runs are executed at the same time; 0 is 2.
	Parallel int
	// ProcessingDelay is how long an uploaded configuration stays pending.
	ProcessingDelay time.Duration
	// HYOK hides the JSON of plans.
	HYOK bool
	// BackingDataActions allows deleting the archives of configuration versions.
	BackingDataActions bool

	Blobs  blobs.Store
	Signer blobs.Signer
	Logger *slog.Logger
}

// noTerraform is the program of a Service that executes no runs.
const noTerraform = "none"

// A Service holds the configuration versions, variables and runs of a host's workspaces, and
// executes the runs. Unless their comments say otherwise, its methods are called with the host
// locked.
type Service struct {
	host           Host
	options        runOptions
	configurations map[string]*configurationVersion
	variables      map[string]*variable
	runs           map[string]*run
	arriving       map[string]*atomic.Int64 // bytes of configurations that are being uploaded
	// sequence is that of the newest configuration version, variable or run.
	sequence uint64
	executor *executor
	// moved is closed, and replaced, whenever a run changes its status.
	moved chan struct{}
}

// newService returns a Service without records.
func newService(host Host, o runOptions) *Service {
	return &Service{
		host:           host,
		options:        o,
		configurations: map[string]*configurationVersion{},
		variables:      map[string]*variable{},
		runs:           map[string]*run{},
		arriving:       map[string]*atomic.Int64{},
		executor:       newExecutor(o),
		moved:          make(chan struct{}),
	}
}

// Close ends the runs that are being executed and waits for them. It is called with the host
// unlocked.
func (s *Service) Close() { s.executor.close() }

// A keptRecord is a record that the host keeps.
type keptRecord interface {
	place() (bucket, key string)
}

// Buckets are the buckets of the records that a Service gives to Host.Put.
var Buckets = []string{runBucket, configurationBucket, variableBucket}

const (
	runBucket           = "runs"
	configurationBucket = "configuration-versions"
	variableBucket      = "variables"
)

func (r *run) place() (string, string)                  { return runBucket, r.ID }
func (v *configurationVersion) place() (string, string) { return configurationBucket, v.ID }
func (v *variable) place() (string, string)             { return variableBucket, v.ID }

func (s *Service) put(r keptRecord) {
	bucket, key := r.place()
	s.host.Put(bucket, key, r)
}

func (s *Service) drop(r keptRecord) {
	bucket, key := r.place()
	s.host.Drop(bucket, key)
}

// Load adds a record that an earlier process gave to Host.Put.
func (s *Service) Load(bucket, key string, record []byte) error {
	switch bucket {
	case runBucket:
		return add(s.runs, key, record)
	case configurationBucket:
		return add(s.configurations, key, record)
	case variableBucket:
		return add(s.variables, key, record)
	}
	return fmt.Errorf("there are no records of a kind %q", bucket)
}

func add[T any](to map[string]*T, key string, record []byte) error {
	one := new(T)
	if err := json.Unmarshal(record, one); err != nil {
		return err
	}
	to[key] = one
	return nil
}

// Blobs returns the blobs that the records refer to.
func (s *Service) Blobs() []*blobs.Blob {
	var all []*blobs.Blob
	for _, v := range s.configurations {
		all = append(all, v.Archive)
	}
	for _, r := range s.runs {
		all = append(all, r.Plan.Log, r.Plan.JSON, r.Plan.Redacted, r.Apply.Log)
	}
	return all
}

// Resume continues with the loaded records. A run that was being executed ends errored, and one
// that was queued waits again.
func (s *Service) Resume(workspaces iter.Seq[string]) {
	for _, v := range s.configurations {
		s.sequence = max(s.sequence, v.Sequence)
	}
	for _, v := range s.variables {
		s.sequence = max(s.sequence, v.Sequence)
	}
	for _, r := range s.runs {
		s.sequence = max(s.sequence, r.Sequence)
		switch r.Status {
		case runPlanning, runPlanned, runPlannedAndSaved, runConfirmed, runApplying, runApplyQueued:
			// The folder with its plan is gone, too.
			s.fail(r, "Error: the server was restarted while it worked on this run")
		case runPlanQueued:
			r.Status = runPending
			s.put(r)
		}
	}
	for id := range workspaces {
		s.Advance(id)
	}
}

// Forget deletes all records of a workspace.
func (s *Service) Forget(workspace string) {
	for id, v := range s.configurations {
		if v.Workspace == workspace {
			delete(s.configurations, id)
			s.drop(v)
			s.host.Discard(v.Archive)
		}
	}
	for id, v := range s.variables {
		if v.Workspace == workspace {
			delete(s.variables, id)
			s.drop(v)
		}
	}
	for id, r := range s.runs {
		if r.Workspace == workspace {
			s.executor.stop(r.ID)
			delete(s.runs, id)
			s.drop(r)
			s.host.Discard(r.Plan.Log, r.Plan.JSON, r.Plan.Redacted, r.Apply.Log)
		}
	}
}
