package audit

import (
	"cmp"
	"time"

	"tfhaul/backend"
	"tfhaul/statefile"
)

// A Snapshot is what an audit reports about one state file. Its JSON is part of the
// command line's contract; it contains none of the state's values.
type Snapshot struct {
	// Source names the file as a user would; see backend.State.
	Source string `json:"source"`
	// Workspace is the Terraform workspace.
	Workspace string `json:"workspace"`
	// Kind is the file's kind in statefile's terms: "state", "errored", "encrypted",
	// "truncated", …, or "unreadable".
	Kind string `json:"kind"`
	// Code is "" for a state, and otherwise the code with which migrate refuses the file.
	Code string `json:"code"`

	// The header, as far as it could be read, and the identity of the bytes.
	Format           int    `json:"format"`
	TerraformVersion string `json:"terraform_version"`
	Serial           int64  `json:"serial"`
	Lineage          string `json:"lineage"`
	// MD5 is empty for a refused file that was not read to its end.
	MD5 string `json:"md5,omitempty"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Modified is when the file was last written, or zero if unknown.
	Modified time.Time `json:"modified,omitzero"`
	// AgeSeconds is the time from Modified to the audit.
	AgeSeconds int64 `json:"age_seconds"`

	Contents
	// Lock is the source's own lock; nil if it is not locked.
	Lock *backend.Lock `json:"lock,omitempty"`
	// Target is where the state would go, if a target was named.
	Target *Target `json:"target,omitempty"`
	// Findings are the codes of the findings about this snapshot, each once.
	Findings []Code `json:"findings"`
}

// Contents counts what a state holds; see statefile.Contents.
type Contents struct {
	Resources int `json:"resources"`
	Managed   int `json:"managed"`
	Data      int `json:"data"`
	// Billable is how many managed resources HCP Terraform counts: see Bill.
	Billable            int        `json:"billable"`
	Instances           int        `json:"instances"`
	Deposed             int        `json:"deposed"`
	Tainted             int        `json:"tainted"`
	Modules             int        `json:"modules"`
	Outputs             int        `json:"outputs"`
	SensitiveOutputs    int        `json:"sensitive_outputs"`
	SensitiveAttributes int        `json:"sensitive_attributes"`
	Checks              int        `json:"checks"`
	FailedChecks        int        `json:"failed_checks"`
	Providers           []Provider `json:"providers"`
}

// A Provider is a provider's address and its number of resources.
type Provider struct {
	Address   string `json:"address"`
	Resources int    `json:"resources"`
}

// A Target is the workspace that a plan would move a snapshot to.
type Target struct {
	// Workspace is host/organization/workspace.
	Workspace string `json:"workspace"`
	Relation  string `json:"relation"`
	// Outcome is the outcome that a haul would have: "planned", "already-there",
	// "refused", ….
	Outcome string `json:"outcome"`
	// Code and Message give the reason if Outcome is not "planned".
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Standing returns the snapshot's relation to the workspace or, if there is none because
// the workspace does not exist or its state cannot be compared, the code for that.
func (t *Target) Standing() string { return cmp.Or(t.Relation, t.Code) }

// KindUnreadable is the Kind of files that could not be read.
const KindUnreadable = "unreadable"

// IsState reports whether the file is a state that Terraform can read.
func (s *Snapshot) IsState() bool {
	return s.Kind == string(statefile.KindState) || s.Kind == string(statefile.KindErrored)
}

// Known reports whether the header could be read.
func (s *Snapshot) Known() bool { return s.Format > 0 }

// fill copies statefile's results.
func (s *Snapshot) fill(from *statefile.Snapshot) {
	s.Format, s.TerraformVersion = from.Format, from.TerraformVersion
	s.Serial, s.Lineage, s.MD5, s.Size = from.Serial, from.Lineage, from.MD5, from.Size
	c := &from.Contents
	s.Contents = Contents{
		Resources: c.Resources(), Managed: c.Managed, Data: c.Data, Instances: c.Instances,
		Deposed: c.Deposed, Tainted: c.Tainted, Modules: c.Modules,
		Outputs: c.Outputs, SensitiveOutputs: c.SensitiveOutputs, SensitiveAttributes: c.SensitiveAttributes,
		Checks: c.Checks, FailedChecks: c.FailedChecks, Providers: []Provider{},
	}
	for _, p := range c.Providers {
		s.Providers = append(s.Providers, Provider(p))
	}
}
