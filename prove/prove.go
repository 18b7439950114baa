// Package prove finds out whether Terraform, on the target and with the real
// configuration, would leave everything as it is: it uploads a configuration,
// has the target plan it without ever applying it, and judges the plan's JSON.
// Its word is one of three: proven, changes, or unproven, which is not a failure
// but the plain statement that nothing was shown. It refuses to know flags and
// terminals, and shows no value of a plan, only addresses and actions.
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

// A Prover proves workspaces of one host. Its fields are set before the first
// proof; then it is safe for use by many goroutines, if Observe and Logs are.
type Prover struct {
	// Target is the host.
	Target *tfe.Client
	// Observe, if not nil, is told where a proof stands.
	Observe func(Event)
	// Logs, if not nil, receives the log of the plan as it grows, without its
	// markers. It is Terraform's own text: control characters are in it, and what
	// the configuration does not mark as sensitive may be.
	Logs io.Writer
	// Temporary, if not nil, is told of every directory that holds a copy of a state
	// when it is made, and again when it is removed, so that a program that is ended
	// at once can remove it.
	Temporary func(dir string, exists bool)
	// Timeout is how long to wait for a run, its time in the queue included; 0 means
	// DefaultTimeout. Then the run is canceled.
	Timeout time.Duration
}

// DefaultTimeout is how long a run is waited for.
const DefaultTimeout = time.Hour

// A Request says what is to be proven.
type Request struct {
	// Organization and Workspace name the target.
	Organization, Workspace string
	// Dir is the directory of the configuration, as the workspace's runs would
	// have it: its working directory is looked for in it. It is not needed where
	// one of the next two is given.
	Dir string
	// ConfigurationVersion is the id of one that was uploaded before.
	ConfigurationVersion string
	// Run is the id of a run whose plan is judged. It is neither applied nor canceled.
	Run string
	// StateVersion is the id of the state version that the workspace must hold, such
	// as the one that a move has just made; "" takes what is current.
	StateVersion string
	// UpgradeState has the state rewritten in the workspace's Terraform version once
	// it is proven that nothing changes.
	UpgradeState bool
}

// An Event tells where a proof stands.
type Event struct {
	Target string
	Stage  Stage
	// Run is the run's id, Status its status, and Position how many runs come before
	// it, as far as they are known.
	Run, Status string
	Position    int
}

// A Stage is a step of a proof.
type Stage string

// The stages, in their order.
const (
	StageReading   Stage = "reading the state"
	StageUploading Stage = "uploading the configuration"
	StageQueued    Stage = "waiting for its turn"
	StagePlanning  Stage = "planning"
	StageJudging   Stage = "reading the plan"
	StageApplying  Stage = "rewriting the state"
)

// Prove proves one workspace. Whatever happens is told by the result; when ctx ends
// while a run of ours is under way, that run is canceled.
func (p *Prover) Prove(ctx context.Context, q Request) Result {
	return p.prove(ctx, q, (*proof).run)
}

// prove takes the steps of a proof, and tells how they ended.
func (p *Prover) prove(ctx context.Context, q Request, steps func(*proof, context.Context) error) Result {
	start := time.Now()
	ctx, meter := backend.WithMeter(ctx)
	x := &proof{Prover: p, Request: q}
	x.result.Target = p.Target.Host() + "/" + q.Organization + "/" + q.Workspace
	err := steps(x, ctx)
	if x.ours != "" && err != nil {
		x.cancelOurs(ctx)
	}
	x.conclude(ctx, err)
	x.result.APICalls, x.result.Seconds = meter.Calls(), time.Since(start).Seconds()
	return x.result
}

// A proof is one call of Prove.
type proof struct {
	*Prover
	Request
	workspace *tfe.Workspace
	held      held
	result    Result
	ours      string // the run that we made, until it is over
}

// run takes the steps.
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

// readWorkspace finds the workspace, and whether it can run anything.
func (x *proof) readWorkspace(ctx context.Context) error {
	x.tell(Event{Stage: StageReading})
	var err error
	x.workspace, err = x.Target.Workspace(ctx, x.Organization, x.Request.Workspace)
	if err != nil {
		return err
	}
	if x.workspace.HYOK && !x.result.Local {
		return stopf(CodeHYOK, "The workspace uses HYOK (hold your own key): the server gives no plan as JSON there, so no run can prove anything, and none was started. Prove it on this machine with --local.")
	}
	if x.workspace.ExecutionMode == "local" && x.Run == "" && !x.result.Local {
		return stopf(CodeExecutionMode, "The workspace's execution mode is local: it runs nothing, and so plans nothing. Prove it on this machine with --local, or give it another execution mode.")
	}
	return nil
}

// planned has a run planned, or finds the one that was named, and waits for its plan.
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

// namedRun finds the run that the request names. Its plan must have seen the state
// that is current now.
func (x *proof) namedRun(ctx context.Context) (*tfe.Run, error) {
	r, err := x.Target.Run(ctx, x.Run)
	if err != nil {
		return nil, err
	}
	if r.Workspace != "" && r.Workspace != x.workspace.ID {
		return nil, stopf(CodeOtherWorkspace, "The run %s is one of another workspace.", r.ID)
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
	// The API tells the time of a plan in whole seconds.
	if began.Before(x.held.createdAt.Truncate(time.Second)) {
		return nil, stopf(CodeOlderRun, "The run %s was planned before the workspace got its current state version %s: it says nothing of that. Make a new one.", r.ID, x.held.version)
	}
	return r, nil
}

// tell tells the observer.
func (x *proof) tell(e Event) {
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
		r.Code, r.Message = CodeInterrupted, "Interrupted before the proof was finished."
	}
}

// codeOf names the reason of an error of the API.
func codeOf(err error) Code {
	switch tfe.CodeOf(err) {
	case tfe.Unauthorized:
		return CodeUnauthorized
	case tfe.ForbiddenOrMissing:
		return CodeForbiddenOrMissing
	case tfe.RateLimited:
		return CodeRateLimited
	case tfe.Unreachable, tfe.Ambiguous:
		return CodeUnreachable
	}
	return CodeServerRefused
}
