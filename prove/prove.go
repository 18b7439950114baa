// Package prove finds out whether Terraform, with the real configuration and the state at
// the target, would leave everything as it is. It uploads a configuration, has the target
// plan it without ever applying it, and judges the plan's JSON. Where the target cannot plan,
// the terraform on this machine does. The verdict is
// proven, changes, or unproven, which means only that nothing was shown either way. It
// does not know flags and terminals, and returns no values of a plan, only addresses and
// actions.
package prove

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/plainwords"
)

// A Prover proves workspaces of one host, and states in other backends. Set its fields before the
// first proof. After that it is safe for concurrent use if Observe and Logs are.
type Prover struct {
	// Target is the host of the workspaces; ProveBackend does not need it.
	Target *tfe.Client
	// Observe, if not nil, is called with the progress of proofs.
	Observe func(Event)
	// Logs, if not nil, receives the plan's log as it grows, without its markers. It is
	// Terraform's own text: it has control characters, and may show what the
	// configuration does not mark as sensitive.
	Logs io.Writer
	// Temporary, if not nil, is called when a directory with a copy of a state is
	// created, and again when it is removed, so that a program that must exit immediately
	// can remove it.
	Temporary func(dir string, exists bool)
	// Timeout limits the wait for a run, including its time in the queue, and how long
	// terraform may take on this machine; 0 means DefaultTimeout. What takes longer is
	// canceled.
	Timeout time.Duration
}

// DefaultTimeout is the default of Prover.Timeout.
const DefaultTimeout = time.Hour

// A Request describes what to prove.
type Request struct {
	// Organization and Workspace name the target.
	Organization, Workspace string
	// Dir is the configuration directory as the workspace's runs would have it, with the
	// workspace's working directory below it. It is not needed if ConfigurationVersion or
	// Run is set.
	Dir string
	// ConfigurationVersion is the ID of an uploaded configuration version.
	ConfigurationVersion string
	// Run is the ID of a run whose plan is judged. It is neither applied nor canceled.
	Run string
	// StateVersion is the ID of the state version that the workspace must hold, such as
	// the one that a move just made; "" means the current one.
	StateVersion string
	// UpgradeState rewrites the state with the workspace's Terraform version once the
	// proof shows no changes.
	UpgradeState bool
}

// An Event reports the progress of a proof.
type Event struct {
	Target string
	Stage  Stage
	// Run is the run's ID, Status its status, and Position the number of runs before it,
	// as far as known.
	Run, Status string
	Position    int
}

// A Stage is a step of a proof.
type Stage string

// The stages, in order.
const (
	StageReading   Stage = "reading the state"
	StageUploading Stage = "uploading the configuration"
	StageQueued    Stage = "waiting in the queue"
	StagePlanning  Stage = "planning"
	StageJudging   Stage = "reading the plan"
	StageApplying  Stage = "rewriting the state"
)

// Prove proves one workspace. Errors are reported in the result. When ctx ends while a
// run that it started is under way, Prove cancels the run.
func (p *Prover) Prove(ctx context.Context, q Request) Result {
	x := p.ofWorkspace(q)
	return x.prove(ctx, x.run)
}

// ofWorkspace prepares the proof of a workspace.
func (p *Prover) ofWorkspace(q Request) *proof {
	x := &proof{Prover: p, Request: q}
	x.result.Target = p.Target.Host() + "/" + q.Organization + "/" + q.Workspace
	return x
}

// prove runs the steps of a proof, and records how they ended.
func (x *proof) prove(ctx context.Context, steps func(context.Context) error) Result {
	start := time.Now()
	ctx, meter := backend.WithMeter(ctx)
	err := steps(ctx)
	if x.ours != "" && err != nil {
		x.cancelOurs(ctx)
	}
	x.conclude(ctx, err)
	x.result.APICalls, x.result.Seconds = meter.Calls(), time.Since(start).Seconds()
	return x.result
}

// A proof is one call to Prove, ProveLocal or ProveBackend.
type proof struct {
	*Prover
	Request
	workspace *tfe.Workspace
	held      held
	result    Result
	ours      string // the run that we started, until it is over
}

// run runs the steps.
func (x *proof) run(ctx context.Context) error {
	if err := x.readWorkspace(ctx); err != nil {
		return err
	}
	if err := x.readState(ctx, io.Discard); err != nil {
		return err
	}
	r, err := x.planned(ctx)
	if err != nil {
		return err
	}
	if err := x.judgeRun(ctx, r); err != nil {
		return err
	}
	if err := x.checkSameState(ctx); err != nil {
		return err
	}
	if x.UpgradeState && x.result.Verdict == Proven {
		return x.upgrade(ctx)
	}
	return nil
}

// readWorkspace reads the workspace, and checks whether it can run anything.
func (x *proof) readWorkspace(ctx context.Context) error {
	x.report(Event{Stage: StageReading})
	var err error
	x.workspace, err = x.Target.Workspace(ctx, x.Organization, x.Request.Workspace)
	if err != nil {
		return err
	}
	if x.workspace.HYOK && !x.result.Local {
		return stopf(CodeHYOK, "The workspace uses HYOK (hold your own key): the server provides no plan as JSON, so no run can prove anything, and none was started. Prove it on this machine with --local.")
	}
	if x.workspace.ExecutionMode == "local" && x.Run == "" && !x.result.Local {
		return stopf(CodeExecutionMode, "The workspace's execution mode is local, so it has no runs and no plans. Prove it on this machine with --local, or change the execution mode.")
	}
	return nil
}

// planned starts a run, or finds the requested one, and waits for its plan.
func (x *proof) planned(ctx context.Context) (*tfe.Run, error) {
	if x.Run != "" {
		return x.namedRun(ctx)
	}
	configuration := x.ConfigurationVersion
	if configuration == "" {
		v, err := x.upload(ctx)
		if err != nil {
			return nil, err
		}
		configuration = v.ID
	}
	x.result.ConfigurationVersion = configuration
	r, err := x.startRun(ctx, tfe.RunOptions{ConfigurationVersion: configuration, PlanOnly: true})
	if err != nil {
		return nil, err
	}
	return x.awaitPlan(ctx, r)
}

// namedRun finds the requested run. It must have planned the current state.
func (x *proof) namedRun(ctx context.Context) (*tfe.Run, error) {
	r, err := x.Target.Run(ctx, x.Run)
	if err != nil {
		return nil, err
	}
	if r.Workspace != "" && r.Workspace != x.workspace.ID {
		return nil, stopf(CodeOtherWorkspace, "Run %s belongs to another workspace.", r.ID)
	}
	x.result.ConfigurationVersion = r.ConfigurationVersion
	if r, err = x.awaitPlan(ctx, r); err != nil {
		return nil, err
	}
	plan, err := x.Target.Plan(ctx, r.Plan)
	if err != nil {
		return nil, err
	}
	began := plan.StartedAt
	if began.IsZero() {
		began = r.CreatedAt
	}
	// The API rounds a plan's times down to seconds.
	if began.Before(x.held.createdAt.Truncate(time.Second)) {
		return nil, stopf(CodeOlderRun, "Run %s was planned before the workspace got its current state version %s, so it proves nothing about it. Start a new run.", r.ID, x.held.version)
	}
	return r, nil
}

// report calls Observe.
func (x *proof) report(e Event) {
	if x.Observe != nil {
		e.Target = x.result.Target
		x.Observe(e)
	}
}

// A stop ends a proof with a reason.
type stop struct {
	code    Code
	message string
}

func (s *stop) Error() string { return s.message }

func stopf(code Code, format string, args ...any) error {
	return &stop{code, fmt.Sprintf(format, args...)}
}

// conclude turns an error into an unproven result.
func (x *proof) conclude(ctx context.Context, err error) {
	r := &x.result
	if err == nil {
		return
	}
	r.Verdict = Unproven
	if s, ok := errors.AsType[*stop](err); ok && ctx.Err() == nil {
		r.Code, r.Message = s.code, s.message
		return
	}
	r.Code, r.Message = codeOf(err), plainwords.Sentence(err.Error())
	if ctx.Err() != nil {
		r.Code, r.Message = CodeInterrupted, "Interrupted before the proof finished."
	}
}

// codeOf returns the code for an error of the API.
func codeOf(err error) Code {
	switch backend.CodeOf(err) {
	case backend.Unauthorized:
		return CodeUnauthorized
	case backend.ForbiddenOrMissing:
		return CodeForbiddenOrMissing
	case backend.RateLimited:
		return CodeRateLimited
	case backend.Unreachable, backend.Ambiguous:
		return CodeUnreachable
	}
	return CodeServerRefused
}
