package tfesim

import (
	"encoding/json"
	"slices"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// The statuses of a run that occur here.
const (
	runPending            = "pending"
	runPlanQueued         = "plan_queued"
	runPlanning           = "planning"
	runPlanned            = "planned"
	runPlannedAndFinished = "planned_and_finished"
	runPlannedAndSaved    = "planned_and_saved"
	runConfirmed          = "confirmed"
	runApplyQueued        = "apply_queued"
	runApplying           = "applying"
	runApplied            = "applied"
	runDiscarded          = "discarded"
	runErrored            = "errored"
	runCanceled           = "canceled"
	runForceCanceled      = "force_canceled"
)

// finalStatuses are those of runs that are over.
var finalStatuses = []string{runApplied, runPlannedAndFinished, runDiscarded, runErrored, runCanceled, runForceCanceled}

// A run is a plan, and perhaps an apply, of a workspace. One without a Status was made to hold
// a workspace's lock and is never executed.
type run struct {
	ID        string
	Workspace string
	Created   time.Time
	runRecord
}

// A runRecord is what is known of a run besides whose it is.
type runRecord struct {
	Sequence      uint64
	Configuration string
	CreatedBy     jsonapi.Ref
	ConfirmedBy   *jsonapi.Ref
	Message       string
	Source        string
	Version       string // of Terraform, as asked for
	AutoApply     bool
	EmptyApply    bool
	Destroy       bool
	PlanOnly      bool
	SavePlan      bool
	NoRefresh     bool
	RefreshOnly   bool
	Targets       []string
	Replaces      []string
	Settings      map[string]json.RawMessage // what is only given back
	Variables     []runVariable

	Status   string
	Times    map[string]time.Time // when it got each status
	Canceled time.Time
	Comments []comment
	Events   []runEvent
	Plan     phase
	Apply    phase
}

// A runVariable is an input variable for one run; Value is an expression.
type runVariable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type comment struct {
	ID   string
	Body string
}

type runEvent struct {
	ID     string
	Action string
	At     time.Time
}

// A phase is a run's plan or its apply.
type phase struct {
	Status string // "" while it has none
	Times  map[string]time.Time
	Log    *blobs.Blob
	JSON   *blobs.Blob // of a plan
	// Redacted is the plan as clients render it, without sensitive values.
	Redacted *blobs.Blob
	// What the plan holds, and what the apply did.
	HasChanges                                bool
	Additions, Changes, Destructions, Imports int
}

// The statuses of a plan and of an apply.
const (
	phasePending  = "pending"
	phaseQueued   = "queued"
	phaseRunning  = "running"
	phaseFinished = "finished"
	phaseErrored  = "errored"
	phaseCanceled = "canceled"
	// phaseUnreachable is an apply that will never be.
	phaseUnreachable = "unreachable"
)

var runSettings = []jsonapi.Setting{
	{Name: "allow-config-generation", Kind: jsonapi.Bool, Default: false},
	{Name: "invoke-action-addrs", Kind: jsonapi.Strings},
	{Name: "policy-paths", Kind: jsonapi.Strings},
}

// final says that nothing will become of the run any more.
func (r *run) final() bool { return r.Status == "" || slices.Contains(finalStatuses, r.Status) }

// speculative says that the run can never be applied.
func (s *Server) speculative(r *run) bool {
	v := s.work.configurations[r.Configuration]
	return r.PlanOnly || v != nil && v.Speculative
}

// setStatus moves the run to a status.
func (s *Server) setStatus(r *run, status string) {
	r.Status = status
	if r.Times == nil {
		r.Times = map[string]time.Time{}
	}
	r.Times[status] = time.Now()
	s.put(r)
	close(s.work.moved)
	s.work.moved = make(chan struct{})
}

func (p *phase) set(status string) {
	p.Status = status
	if p.Times == nil {
		p.Times = map[string]time.Time{}
	}
	p.Times[status] = time.Now()
}

func (r *run) event(action string) {
	r.Events = append(r.Events, runEvent{jsonapi.NewID("re"), action, time.Now()})
}

// runsOf are a workspace's runs, newest first, without those that only hold a lock.
func (s *Server) runsOf(w *workspace) []*run {
	var all []*run
	for _, r := range s.runs {
		if r.Workspace == w.ID && r.Status != "" {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *run) int { return int(b.Sequence) - int(a.Sequence) })
	return all
}

// currentRun is the run of the workspace that is being worked on, or else the newest that was
// not only a plan.
func (s *Server) currentRun(w *workspace) *run {
	all := slices.DeleteFunc(s.runsOf(w), s.speculative)
	for _, r := range slices.Backward(all) {
		if !r.final() && r.Status != runPending && r.Status != runPlannedAndSaved {
			return r
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return nil
}

// createRun answers POST /runs.
func createRun(c *call) (*jsonapi.Answer, error) {
	it := c.body.One
	if it.Type != "" && it.Type != "runs" {
		return nil, jsonapi.Unprocessable("data.type must be runs")
	}
	rel, err := it.Related("workspace")
	if err != nil {
		return nil, err
	}
	if rel == nil {
		return nil, jsonapi.Missing("workspace")
	}
	w := c.s.workspaces[rel.ID]
	if w == nil || c.s.accessToWorkspace(c.who, w) < accessWrite || !c.who.mayStoreState() {
		return nil, jsonapi.NotFound()
	}
	r := &run{ID: jsonapi.NewID("run"), Workspace: w.ID, Created: c.now}
	r.CreatedBy, r.Source, r.Message = c.who.Ref, "tfe-api", "Triggered via API"
	if err := c.readRunAttributes(w, r); err != nil {
		return nil, err
	}
	v, err := c.runConfiguration(w)
	if err != nil {
		return nil, err
	}
	if mode, _ := c.s.executionMode(w); mode == "local" {
		return nil, jsonapi.Unprocessable(textLocalMode)
	}
	r.Configuration = v.ID
	if v.Speculative {
		r.PlanOnly = true
	}
	c.s.addRun(w, r)
	return jsonapi.Created(jsonapi.Document{Data: c.runResource(r)}), nil
}

// The texts with which a run is refused.
const (
	textLocalMode       = "Operations are disabled for this workspace. Change its execution mode to \"remote\" or \"agent\" to use it for runs"
	textNoConfiguration = "Configuration version is missing"
	textUnusable        = "Configuration version %s is not ready to be used by a run"
	textVersionPlanOnly = "Terraform version can only be set for plan-only runs"
)

// runConfiguration is the configuration version that a new run names, or the workspace's.
func (c *call) runConfiguration(w *workspace) (*configurationVersion, error) {
	rel, err := c.body.One.Related("configuration-version")
	if err != nil {
		return nil, err
	}
	if rel == nil {
		if v := c.s.usableConfiguration(w, c.now); v != nil {
			return v, nil
		}
		return nil, jsonapi.Unprocessable(textNoConfiguration)
	}
	v := c.s.work.configurations[rel.ID]
	if v == nil || v.Workspace != w.ID {
		return nil, jsonapi.NotFound()
	}
	if c.s.configurationStatus(v, c.now) != configurationUploaded || v.BackingData != blobs.DataKept {
		return nil, jsonapi.Unprocessable(textUnusable, v.ID)
	}
	return v, nil
}

// readRunAttributes fills a run with what the document asks for.
func (c *call) readRunAttributes(w *workspace, r *run) error {
	it := c.body.One
	var err error
	refresh := true
	for _, attribute := range []struct {
		name string
		into *bool
		def  bool
	}{
		{"allow-empty-apply", &r.EmptyApply, false},
		{"auto-apply", &r.AutoApply, jsonapi.BoolSetting(w.Settings, "auto-apply", false)},
		{"is-destroy", &r.Destroy, false},
		{"plan-only", &r.PlanOnly, false},
		{"refresh", &refresh, true},
		{"refresh-only", &r.RefreshOnly, false},
		{"save-plan", &r.SavePlan, false},
	} {
		if *attribute.into, err = it.Bool(attribute.name, attribute.def); err != nil {
			return err
		}
	}
	r.NoRefresh = !refresh
	if it.Has("message") {
		if r.Message, err = it.Text("message"); err != nil {
			return err
		}
	}
	r.Version = jsonapi.TextSetting(w.Settings, "terraform-version", c.s.options.TerraformVersion)
	asked, err := it.Text("terraform-version")
	switch {
	case err != nil:
		return err
	case asked != "" && !r.PlanOnly:
		return jsonapi.Unprocessable(textVersionPlanOnly)
	case asked != "" && !c.s.offersTerraform(asked):
		return jsonapi.Invalid("terraform-version", "Terraform version is not included in the list")
	case asked != "":
		r.Version = asked
	}
	for name, into := range map[string]any{"target-addrs": &r.Targets, "replace-addrs": &r.Replaces, "variables": &r.Variables} {
		if it.Has(name) && json.Unmarshal(it.Attributes[name], into) != nil {
			return jsonapi.Invalid(name, "%s is not of the form the API describes", name)
		}
	}
	for _, v := range r.Variables {
		if !validVariableName(v.Key) {
			return jsonapi.Invalid("variables", "Variables must have names that Terraform takes")
		}
	}
	r.Settings, err = jsonapi.ApplySettings(runSettings, nil, it)
	return err
}

// queueUploaded makes the run that an upload asks for. A workspace that runs nothing gets none.
func (s *Server) queueUploaded(w *workspace, v *configurationVersion) {
	if mode, _ := s.executionMode(w); mode == "local" {
		return
	}
	r := &run{ID: jsonapi.NewID("run"), Workspace: w.ID, Created: time.Now()}
	r.Configuration, r.Source, r.Message = v.ID, "tfe-configuration-version", "Queued by an upload"
	r.PlanOnly = v.Speculative
	r.AutoApply = jsonapi.BoolSetting(w.Settings, "auto-apply", false)
	r.Version = jsonapi.TextSetting(w.Settings, "terraform-version", s.options.TerraformVersion)
	s.addRun(w, r)
}

// addRun puts a run into its workspace's queue.
func (s *Server) addRun(w *workspace, r *run) {
	s.work.sequence++
	r.Sequence = s.work.sequence
	s.runs[r.ID] = r
	r.Plan.set(phasePending)
	r.Apply.set(phasePending)
	r.event("queued")
	s.setStatus(r, runPending)
	s.advance(w)
}

// runNamed finds the run that the path names.
func (c *call) runNamed(need access) (*run, *workspace, error) {
	r := c.s.runs[c.r.PathValue("run_id")]
	if r == nil {
		return nil, nil, jsonapi.NotFound()
	}
	w := c.s.workspaces[r.Workspace]
	if w == nil || c.s.accessToWorkspace(c.who, w) < need {
		return nil, nil, jsonapi.NotFound()
	}
	return r, w, nil
}

// getRun answers GET /runs/:id.
func getRun(c *call) (*jsonapi.Answer, error) {
	r, _, err := c.runNamed(accessRead)
	if err != nil {
		return nil, err
	}
	included, err := c.runIncludes(r)
	if err != nil {
		return nil, err
	}
	return jsonapi.OK(jsonapi.Document{Data: c.runResource(r), Included: included}), nil
}
