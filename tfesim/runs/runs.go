package runs

import (
	"encoding/json"
	"slices"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// The statuses that runs have here.
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

// finalStatuses are the statuses of runs that have ended.
var finalStatuses = []string{runApplied, runPlannedAndFinished, runDiscarded, runErrored, runCanceled, runForceCanceled}

// A run is a plan of a workspace, and perhaps an apply. A run without a Status only holds its
// workspace's lock and is never executed.
type run struct {
	ID            string
	Workspace     string
	Created       time.Time
	Sequence      uint64
	Configuration string
	CreatedBy     jsonapi.Ref
	ConfirmedBy   *jsonapi.Ref
	Message       string
	Source        string
	Version       string // of Terraform, as requested
	AutoApply     bool
	EmptyApply    bool
	Destroy       bool
	PlanOnly      bool
	SavePlan      bool
	NoRefresh     bool
	RefreshOnly   bool
	Targets       []string
	Replaces      []string
	Settings      map[string]json.RawMessage // attributes without effect
	Variables     []runVariable

	Status   string
	Times    map[string]time.Time // by status, when the run got it
	Canceled time.Time
	Comments []comment
	Events   []runEvent
	Plan     phase
	Apply    phase
}

// A runVariable is an input variable for one run. Its Value is an HCL expression.
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
	Status string // one of the phase constants
	Times  map[string]time.Time
	Log    *blobs.Blob
	JSON   *blobs.Blob // of plans
	// Redacted is the JSON of a plan without sensitive values.
	Redacted   *blobs.Blob
	HasChanges bool
	counts
}

// counts are how many resources a plan or an apply is about.
type counts struct{ Additions, Changes, Destructions, Imports int }

// The statuses of a plan and of an apply.
const (
	phasePending  = "pending"
	phaseQueued   = "queued"
	phaseRunning  = "running"
	phaseFinished = "finished"
	phaseErrored  = "errored"
	phaseCanceled = "canceled"
	// phaseUnreachable is the status of an apply that will never happen.
	phaseUnreachable = "unreachable"
)

var runSettings = []jsonapi.Setting{
	{Name: "allow-config-generation", Kind: jsonapi.Bool, Default: false},
	{Name: "invoke-action-addrs", Kind: jsonapi.Strings},
	{Name: "policy-paths", Kind: jsonapi.Strings},
}

// final reports whether a run has ended.
func (r *run) final() bool { return r.Status == "" || slices.Contains(finalStatuses, r.Status) }

// speculative reports whether a run can never be applied.
func (s *Service) speculative(r *run) bool {
	v := s.configurations[r.Configuration]
	return r.PlanOnly || v != nil && v.Speculative
}

// setStatus gives a run a status.
func (s *Service) setStatus(r *run, status string) {
	r.Status = status
	if r.Times == nil {
		r.Times = map[string]time.Time{}
	}
	r.Times[status] = time.Now()
	s.put(r)
	close(s.moved)
	s.moved = make(chan struct{})
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

// runsOf returns a workspace's runs, newest first, without those that only hold a lock.
func (s *Service) runsOf(workspace string) []*run {
	var all []*run
	for _, r := range s.runs {
		if r.Workspace == workspace && r.Status != "" {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *run) int { return int(b.Sequence) - int(a.Sequence) })
	return all
}

// currentRun returns the active run of a workspace, or else its newest run that is not plan-only.
func (s *Service) currentRun(workspace string) *run {
	all := slices.DeleteFunc(s.runsOf(workspace), s.speculative)
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
	it := c.Body().One
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
	w, there := c.s.host.Workspace(rel.ID)
	if !there || !c.May(Write, w.ID) || !c.MayRun() {
		return nil, jsonapi.NotFound()
	}
	r := &run{ID: jsonapi.NewID("run"), Workspace: w.ID, Created: c.Now()}
	r.CreatedBy, r.Source, r.Message = c.Asker(), "tfe-api", "Triggered via API"
	if err := c.readRunAttributes(w, r); err != nil {
		return nil, err
	}
	v, err := c.runConfiguration(w)
	if err != nil {
		return nil, err
	}
	if w.ExecutionMode == "local" {
		return nil, jsonapi.Unprocessable(textLocalMode)
	}
	r.Configuration = v.ID
	if v.Speculative {
		r.PlanOnly = true
	}
	c.s.addRun(r)
	return jsonapi.Created(jsonapi.Document{Data: c.runResource(r)}), nil
}

// The texts of refusals.
const (
	textLocalMode       = "Operations are disabled for this workspace. Change its execution mode to \"remote\" or \"agent\" to use it for runs"
	textNoConfiguration = "Configuration version is missing"
	textUnusable        = "Configuration version %s is not ready to be used by a run"
	textVersionPlanOnly = "Terraform version can only be set for plan-only runs"
)

// runConfiguration returns the configuration version that a new run names, or the workspace's.
func (c *call) runConfiguration(w Workspace) (*configurationVersion, error) {
	rel, err := c.Body().One.Related("configuration-version")
	if err != nil {
		return nil, err
	}
	if rel == nil {
		if v := c.s.usableConfiguration(w.ID, c.Now()); v != nil {
			return v, nil
		}
		return nil, jsonapi.Unprocessable(textNoConfiguration)
	}
	v := c.s.configurations[rel.ID]
	if v == nil || v.Workspace != w.ID {
		return nil, jsonapi.NotFound()
	}
	if c.s.configurationStatus(v, c.Now()) != configurationUploaded || v.BackingData != blobs.DataKept {
		return nil, jsonapi.Unprocessable(textUnusable, v.ID)
	}
	return v, nil
}

// A flag is a boolean attribute, and its default.
type flag struct {
	name string
	into *bool
	def  bool
}

func readFlags(it jsonapi.Item, flags ...flag) (err error) {
	for _, f := range flags {
		if *f.into, err = it.Bool(f.name, f.def); err != nil {
			return err
		}
	}
	return nil
}

// readRunAttributes sets the attributes of a new run from the document.
func (c *call) readRunAttributes(w Workspace, r *run) error {
	it := c.Body().One
	refresh := true
	err := readFlags(it,
		flag{"allow-empty-apply", &r.EmptyApply, false},
		flag{"auto-apply", &r.AutoApply, w.AutoApply},
		flag{"is-destroy", &r.Destroy, false},
		flag{"plan-only", &r.PlanOnly, false},
		flag{"refresh", &refresh, true},
		flag{"refresh-only", &r.RefreshOnly, false},
		flag{"save-plan", &r.SavePlan, false})
	if err != nil {
		return err
	}
	r.NoRefresh = !refresh
	if it.Has("message") {
		if r.Message, err = it.Text("message"); err != nil {
			return err
		}
	}
	r.Version = w.TerraformVersion
	asked, err := it.Text("terraform-version")
	switch {
	case err != nil:
		return err
	case asked != "" && !r.PlanOnly:
		return jsonapi.Unprocessable(textVersionPlanOnly)
	case asked != "" && !c.s.host.OffersTerraform(asked):
		return jsonapi.Invalid("terraform-version", "Terraform version is not included in the list")
	case asked != "":
		r.Version = asked
	}
	for name, into := range map[string]any{"target-addrs": &r.Targets, "replace-addrs": &r.Replaces, "variables": &r.Variables} {
		if it.Has(name) && json.Unmarshal(it.Attributes[name], into) != nil {
			return jsonapi.Invalid(name, "%s does not have the form described in the API documentation", name)
		}
	}
	for _, v := range r.Variables {
		if !validVariableName(v.Key) {
			return jsonapi.Invalid("variables", "Variables must have valid Terraform names")
		}
	}
	r.Settings, err = jsonapi.ApplySettings(runSettings, nil, it)
	return err
}

// queueUploaded queues the run for an uploaded configuration, unless the workspace is in local mode.
func (s *Service) queueUploaded(v *configurationVersion) {
	w, there := s.host.Workspace(v.Workspace)
	if !there || w.ExecutionMode == "local" {
		return
	}
	r := &run{ID: jsonapi.NewID("run"), Workspace: w.ID, Created: time.Now()}
	r.Configuration, r.Source, r.Message = v.ID, "tfe-configuration-version", "Queued by an upload"
	r.PlanOnly = v.Speculative
	r.AutoApply, r.Version = w.AutoApply, w.TerraformVersion
	s.addRun(r)
}

// addRun adds a run to its workspace's queue.
func (s *Service) addRun(r *run) {
	s.sequence++
	r.Sequence = s.sequence
	s.runs[r.ID] = r
	r.Plan.set(phasePending)
	r.Apply.set(phasePending)
	r.event("queued")
	s.setStatus(r, runPending)
	s.Advance(r.Workspace)
}

// runNamed returns the run that the path names.
func (c *call) runNamed(need Access) (*run, error) {
	r := c.s.runs[c.Request().PathValue("run_id")]
	if r == nil || !c.May(need, r.Workspace) {
		return nil, jsonapi.NotFound()
	}
	return r, nil
}

// getRun answers GET /runs/:id.
func getRun(c *call, r *run) (*jsonapi.Answer, error) {
	included, err := c.runIncludes(r)
	if err != nil {
		return nil, err
	}
	return jsonapi.OK(jsonapi.Document{Data: c.runResource(r), Included: included}), nil
}
