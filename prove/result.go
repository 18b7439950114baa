package prove

// A Verdict is what a proof came to.
type Verdict string

// The verdicts.
const (
	// Proven: Terraform planned with the state, and wants to change nothing.
	Proven Verdict = "proven"
	// Changes: Terraform wants to change something.
	Changes Verdict = "changes"
	// Unproven: nothing was shown either way; Code and Message say why.
	Unproven Verdict = "unproven"
)

// Verdicts are all verdicts in the order in which summaries show them.
var Verdicts = []Verdict{Proven, Changes, Unproven}

// A Code names the reason of an unproven result. Scripts depend on it.
type Code string

// The codes.
const (
	CodeExecutionMode      Code = "execution-mode"   // the workspace runs nothing
	CodeHYOK               Code = "hyok"             // the workspace's organization holds its own key
	CodeNoState            Code = "no-state"         // it holds no state: any plan would be vacuous
	CodeVacuous            Code = "vacuous"          // the plan did not see the state's resources
	CodeStateChanged       Code = "state-changed"    // another state became current meanwhile
	CodeOlderRun           Code = "older-run"        // the named run's plan is older than the state
	CodeOtherWorkspace     Code = "other-workspace"  // the named run is another workspace's
	CodeConfiguration      Code = "configuration"    // it cannot be packed, or the server cannot use it
	CodeMissingVariable    Code = "missing-variable" // the workspace lacks a variable's value
	CodeCredentials        Code = "credentials"      // a provider lacks credentials
	CodeProvider           Code = "provider"         // a provider or module cannot be had
	CodeRunErrored         Code = "run-errored"      // the plan failed for another reason
	CodeRunCanceled        Code = "run-canceled"     // somebody ended the run
	CodeTimeout            Code = "timeout"          // the run did not come to its end in time
	CodeIncomplete         Code = "incomplete"       // the plan leaves something for later
	CodeNoPlanJSON         Code = "no-plan-json"     // only the counters may be read
	CodePlanFormat         Code = "plan-format"      // the plan's JSON cannot be understood
	CodeNoTerraform        Code = "no-terraform"     // there is none on this machine
	CodeUpgradeFailed      Code = "upgrade-failed"   // proven, but the state was not rewritten
	CodeUnauthorized       Code = "unauthorized"     // of the API, as in moves
	CodeForbiddenOrMissing Code = "forbidden-or-missing"
	CodeRateLimited        Code = "rate-limited"
	CodeUnreachable        Code = "unreachable"
	CodeServerRefused      Code = "server-refused"
	CodeInterrupted        Code = "interrupted"
)

// A Result is all that is to be said of one proof. Its JSON is part of the command
// line's contract; it holds no value of the state or the plan.
type Result struct {
	// Target is the workspace as host/organization/workspace.
	Target  string  `json:"target"`
	Verdict Verdict `json:"verdict"`
	// Code names the reason of an unproven result; "" for the others.
	Code Code `json:"code"`
	// Message is the sentence for a person.
	Message string `json:"message"`

	// Changes are what Terraform wants to change, in the plan's order.
	Changes []Change `json:"changes,omitempty"`
	// Drift is what the plan found changed outside of Terraform since the state was
	// written. It does not count against the proof.
	Drift []Change `json:"drift,omitempty"`
	// Counters are what the server counted, where the plan itself may not be read.
	Counters *Counters `json:"counters,omitempty"`

	// Instances is how many managed resource instances the state holds, Seen how many
	// of them the plan started from.
	Instances int `json:"instances"`
	Seen      int `json:"seen"`

	StateVersionID       string `json:"state_version_id,omitempty"`
	Serial               int64  `json:"serial"`
	ConfigurationVersion string `json:"configuration_version_id,omitempty"`
	RunID                string `json:"run_id,omitempty"`
	// RunURL is where a person can look at the run. It is no secret.
	RunURL string `json:"run_url,omitempty"`
	// TerraformVersion is what planned.
	TerraformVersion string `json:"terraform_version,omitempty"`
	// Local says that terraform was run on this machine.
	Local bool `json:"local,omitempty"`
	// Upgraded tells of the state that was rewritten, if it was.
	Upgraded *Upgrade `json:"upgraded,omitempty"`
	// Notes are further sentences that a person should read.
	Notes []string `json:"notes,omitempty"`

	// APICalls counts the requests to the API, uploads and downloads of bytes apart.
	APICalls int     `json:"api_calls"`
	Seconds  float64 `json:"seconds"`
}

// A Change is something that a plan wants to change, or that has drifted.
type Change struct {
	// Address is the resource instance's, or "output.NAME".
	Address string `json:"address"`
	// Actions are Terraform's own words: "create", "update", "delete", "forget"; and
	// "move", "import" and "invoke", which change no more than the state or run an
	// action. A replacement is a "delete" and a "create".
	Actions []string `json:"actions"`
	// PreviousAddress is where a moved resource was.
	PreviousAddress string `json:"previous_address,omitempty"`
	// Reason is Terraform's word for why, such as "replace_because_tainted"; often "".
	Reason string `json:"reason,omitempty"`
}

// Counters are how many resources a plan would create, update, destroy and import.
type Counters struct {
	Additions    int `json:"additions"`
	Changes      int `json:"changes"`
	Destructions int `json:"destructions"`
	Imports      int `json:"imports"`
}

// An Upgrade tells of a state that was rewritten without a change to resources.
type Upgrade struct {
	FromTerraform  string `json:"from_terraform_version"`
	ToTerraform    string `json:"to_terraform_version"`
	FromSerial     int64  `json:"from_serial"`
	ToSerial       int64  `json:"to_serial"`
	StateVersionID string `json:"state_version_id"`
	RunID          string `json:"run_id"`
}
