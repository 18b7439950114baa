package prove

// A Verdict is the result of a proof.
type Verdict string

// The verdicts.
const (
	// Proven: Terraform planned with the state, and would change nothing.
	Proven Verdict = "proven"
	// Changes: Terraform would change something.
	Changes Verdict = "changes"
	// Unproven: nothing was shown either way; Code and Message give the reason.
	Unproven Verdict = "unproven"
)

// Verdicts lists all verdicts in the order of summaries.
var Verdicts = []Verdict{Proven, Changes, Unproven}

// A Code is the reason of an unproven result. Scripts depend on it.
type Code string

// The codes.
const (
	CodeExecutionMode      Code = "execution-mode"   // the workspace does not run Terraform
	CodeHYOK               Code = "hyok"             // the workspace's organization holds its own key
	CodeNoState            Code = "no-state"         // the workspace holds no state: any plan would be vacuous
	CodeVacuous            Code = "vacuous"          // the plan did not use the state's resources
	CodeStateChanged       Code = "state-changed"    // another state became current during the proof
	CodeOlderRun           Code = "older-run"        // the requested run's plan is older than the state
	CodeOtherWorkspace     Code = "other-workspace"  // the requested run belongs to another workspace
	CodeConfiguration      Code = "configuration"    // it cannot be packed, or the server cannot use it
	CodeMissingVariable    Code = "missing-variable" // the workspace lacks a variable's value
	CodeCredentials        Code = "credentials"      // a provider lacks credentials
	CodeProvider           Code = "provider"         // a provider or module cannot be installed
	CodeRunErrored         Code = "run-errored"      // the plan failed for another reason
	CodeRunCanceled        Code = "run-canceled"     // another user ended the run
	CodeTimeout            Code = "timeout"          // the run, or terraform on this machine, did not end in time
	CodeIncomplete         Code = "incomplete"       // the plan defers something
	CodeNoPlanJSON         Code = "no-plan-json"     // only the counters may be read
	CodePlanFormat         Code = "plan-format"      // the plan's JSON cannot be understood
	CodeNoTerraform        Code = "no-terraform"     // terraform is not installed on this machine, or too old
	CodeUpgradeFailed      Code = "upgrade-failed"   // proven, but the state was not rewritten
	CodeUnauthorized       Code = "unauthorized"     // of the API, as in moves
	CodeForbiddenOrMissing Code = "forbidden-or-missing"
	CodeRateLimited        Code = "rate-limited"
	CodeUnreachable        Code = "unreachable"
	CodeServerRefused      Code = "server-refused"
	CodeInterrupted        Code = "interrupted"
)

// A Result is the result of one proof. Its JSON is part of the command line's contract;
// it contains no value of the state or the plan.
type Result struct {
	// Target is the workspace as host/organization/workspace, or the address of a state in
	// another backend.
	Target  string  `json:"target"`
	Verdict Verdict `json:"verdict"`
	// Code is the reason of an unproven result; "" for other verdicts.
	Code Code `json:"code"`
	// Message is a sentence for the user.
	Message string `json:"message"`

	// Changes are what Terraform would change, in the plan's order.
	Changes []Change `json:"changes,omitempty"`
	// Drift is what changed outside of Terraform since the state was written, according
	// to the plan. It does not affect the verdict.
	Drift []Change `json:"drift,omitempty"`
	// Counters are the server's counters, if the plan itself cannot be read.
	Counters *Counters `json:"counters,omitempty"`

	// Instances is the number of managed resource instances in the state. Seen is how
	// many of them the plan started from.
	Instances int `json:"instances"`
	Seen      int `json:"seen"`

	StateVersionID       string `json:"state_version_id,omitempty"`
	Serial               int64  `json:"serial"`
	ConfigurationVersion string `json:"configuration_version_id,omitempty"`
	RunID                string `json:"run_id,omitempty"`
	// RunURL is the run's page. It is not a secret.
	RunURL string `json:"run_url,omitempty"`
	// TerraformVersion is the version that planned.
	TerraformVersion string `json:"terraform_version,omitempty"`
	// Local reports whether terraform ran on this machine.
	Local bool `json:"local,omitempty"`
	// Upgraded describes the rewritten state, if any.
	Upgraded *Upgrade `json:"upgraded,omitempty"`
	// Notes are further sentences for the user.
	Notes []string `json:"notes,omitempty"`

	// APICalls counts API requests, without uploads and downloads.
	APICalls int     `json:"api_calls"`
	Seconds  float64 `json:"seconds"`
}

// A Change is something that a plan would change, or that has drifted.
type Change struct {
	// Address is the address of the resource instance, or "output.NAME".
	Address string `json:"address"`
	// Actions are Terraform's words: "create", "update", "delete" and "forget"; and
	// "move", "import" and "invoke", which only change the state or run an action. A
	// replacement is a "delete" and a "create".
	Actions []string `json:"actions"`
	// PreviousAddress is a moved resource's old address.
	PreviousAddress string `json:"previous_address,omitempty"`
	// Reason is Terraform's reason, such as "replace_because_tainted"; often "".
	Reason string `json:"reason,omitempty"`
}

// Counters are the numbers of resources that a plan would create, update, destroy and
// import.
type Counters struct {
	Additions    int `json:"additions"`
	Changes      int `json:"changes"`
	Destructions int `json:"destructions"`
	Imports      int `json:"imports"`
}

// An Upgrade describes a state that was rewritten without changing resources.
type Upgrade struct {
	FromTerraform  string `json:"from_terraform_version"`
	ToTerraform    string `json:"to_terraform_version"`
	FromSerial     int64  `json:"from_serial"`
	ToSerial       int64  `json:"to_serial"`
	StateVersionID string `json:"state_version_id"`
	RunID          string `json:"run_id"`
}
