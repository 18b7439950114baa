// Package runs is the part of tfesim that holds configuration versions, variables, runs and plans,
// and executes runs with the real terraform or says in their logs why it does not. It is
// independent of users, tokens, state versions and disks: workspaces, permissions, locks and storage
// belong to a Host, which tfesim implements.
package runs

import (
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"tfhaul/tfesim/blobs"
)

// Options configure a Service.
type Options struct {
	// Terraform is the program that executes runs: "" means the terraform on PATH, and
	// NoTerraform none. Without one, runs end errored.
	Terraform string
	// ProviderMirror is the filesystem mirror from which runs install providers. Without one,
	// they have only the provider that is built into Terraform.
	ProviderMirror string
	// NoRuns is the reason why no run is executed, which the logs of runs give. "" means that
	// runs are executed.
	NoRuns string
	// Parallel is the maximum number of runs that are executed at the same time. 0 means 2.
	Parallel int
	// ProcessingDelay is how long an uploaded configuration stays pending.
	ProcessingDelay time.Duration
	// HYOK hides the JSON of plans.
	HYOK bool
	// BackingDataActions allows deleting the archives of configuration versions.
	BackingDataActions bool

	// Blobs stores archives, plans and logs, and Signer signs their addresses.
	Blobs  blobs.Store
	Signer blobs.Signer
	// Logger receives warnings. It must not be nil.
	Logger *slog.Logger
}

// NoTerraform is the Options.Terraform of a Service that executes no runs.
const NoTerraform = "none"

// A Service holds the configuration versions, variables and runs of a host's workspaces, and
// executes the runs. Call its methods with the host locked, unless their comments say otherwise.
type Service struct {
	host           Host
	options        Options
	configurations map[string]*configurationVersion
	variables      map[string]*variable
	runs           map[string]*run
	arriving       map[string]*atomic.Int64 // bytes received so far, by configuration version
	// sequence is the highest one of all configuration versions, variables and runs.
	sequence uint64
	executor *executor
	// moved is closed, and replaced, whenever a run changes its status.
	moved chan struct{}
}

// New returns a Service without records.
func New(host Host, o Options) *Service {
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

// Close stops the runs that are being executed and waits for them. Call it with the host unlocked.
func (s *Service) Close() { s.executor.close() }

// A record is something that the host stores.
type record interface {
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

func (s *Service) put(r record) {
	bucket, key := r.place()
	s.host.Put(bucket, key, r)
}

func (s *Service) drop(r record) {
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
	return fmt.Errorf("unknown kind of record: %q", bucket)
}

func add[T any](to map[string]*T, key string, record []byte) error {
	one := new(T)
	if err := json.Unmarshal(record, one); err != nil {
		return err
	}
	to[key] = one
	return nil
}

// Blobs returns all blobs that the records refer to. Some elements are nil.
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

// Resume continues with the loaded records, once all of them are loaded. A run that was being
// executed ends errored, and one that was queued waits again.
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
			// Its folder with the plan is gone, too.
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
