package audit

import (
	"cmp"
	"time"

	"tfhaul/backend"
	"tfhaul/statefile"
)

// A Snapshot describes one state file. Its JSON is part of the
// command line's contract; it holds nothing of the state's values.
type Snapshot struct {
	// Source names the file as a user would; see backend.State.
	Source string `json:"source"`
	// Workspace is the Terraform workspace.
	Workspace string `json:"workspace"`
	// Kind is what the file is, in the words of package statefile: "state",
	// "errored", "encrypted", "truncated", …, or "unreadable" where it could not be
	// read.
	Kind string `json:"kind"`
	// Code is "" for a state, else what migrate refuses the file with.
	Code string `json:"code"`

	// What the header says, as far as it could be read, and the bytes' identity.
	Format           int    `json:"format"`
	TerraformVersion string `json:"terraform_version"`
	Serial           int64  `json:"serial"`
	Lineage          string `json:"lineage"`
	// MD5 is empty for a refused file that was not read to its end.
	MD5 string `json:"md5,omitempty"`
	// Size in bytes.
	Size int64 `json:"size"`
	// Modified is when the file was last written; zero where the source does not
	// say.
	Modified time.Time `json:"modified,omitzero"`
	// AgeSeconds is how long before the audit that was.
	AgeSeconds int64 `json:"age_seconds"`

	Contents
	// Lock is who holds the source's own lock; nil when nobody does.
	Lock *backend.Lock `json:"lock,omitempty"`
	// Target is where it would go, if a target was named.
	Target *Target `json:"target,omitempty"`
	// Findings are the codes of the findings that concern this snapshot, each once.
	Findings []Code `json:"findings"`
}

// Contents counts what a state holds; see statefile.Contents.
type Contents struct {
	Resources           int        `json:"resources"`
	Managed             int        `json:"managed"`
	Data                int        `json:"data"`
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

// A Provider is a provider's address and how many resources it has.
type Provider struct {
	Address   string `json:"address"`
	Resources int    `json:"resources"`
}

// A Target is the workspace that a snapshot would go to, as a plan decides.
type Target struct {
	// Workspace is host/organization/workspace.
	Workspace string `json:"workspace"`
	Relation  string `json:"relation"`
	// Outcome is what a haul would come to: "planned", "already-there", "refused", ….
	Outcome string `json:"outcome"`
	// Code and Message say why, where that is not "planned".
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Standing is how the snapshot stands to the workspace or, where that is unknown because
// there is no workspace, or no state that could be compared, the code that says so.
func (t *Target) Standing() string { return cmp.Or(t.Relation, t.Code) }

// KindUnreadable stands for files that could not be read.
const KindUnreadable = "unreadable"

// IsState reports whether the file is a state that Terraform reads.
func (s *Snapshot) IsState() bool {
	return s.Kind == string(statefile.KindState) || s.Kind == string(statefile.KindErrored)
}

// Known reports whether the header could be read.
func (s *Snapshot) Known() bool { return s.Format > 0 }

// fill takes over what statefile says of a file.
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
