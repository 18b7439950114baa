package audit

import (
	"cmp"
	"fmt"
	"slices"
)

// A Severity is how serious a Finding is.
type Severity string

// The severities, most serious first.
const (
	SeverityError   Severity = "error"   // something is lost, broken, leaked, or cannot be moved
	SeverityWarning Severity = "warning" // check before moving anything
	SeverityInfo    Severity = "info"    // good to know
)

// Severities lists all severities, most serious first.
var Severities = []Severity{SeverityError, SeverityWarning, SeverityInfo}

// AtLeast reports whether s is at least as serious as t.
func (s Severity) AtLeast(t Severity) bool {
	return slices.Index(Severities, s) <= slices.Index(Severities, t)
}

// A Code is a kind of Finding. Scripts depend on it.
type Code string

// The codes. docs/audit.md describes each.
const (
	CodeUnreadable        Code = "unreadable"         // cannot be read
	CodeEncrypted         Code = "encrypted"          // encrypted
	CodeInvalid           Code = "invalid"            // damaged, incomplete, or rejected by Terraform
	CodeTooNewFormat      Code = "too-new-format"     // format newer than supported
	CodeNotState          Code = "not-state"          // named like a state but not one
	CodeErrored           Code = "errored"            // errored.tfstate: the result of an apply that was not saved
	CodeBackupNewer       Code = "backup-newer"       // the backup has a higher serial than its state
	CodeDiverged          Code = "diverged"           // same lineage and serial, different bytes
	CodeSharedLineage     Code = "shared-lineage"     // copies of one state
	CodeSharedResource    Code = "shared-resource"    // the same object in two states
	CodeStaleDigest       Code = "stale-digest"       // the DynamoDB digest does not match the state
	CodePlainSecret       Code = "plain-secret"       // an output that looks like a secret but is not sensitive
	CodeUnusable          Code = "unusable"           // Terraform reads it but cannot use it
	CodeUnusableProvider  Code = "unusable-provider"  // a provider that the target cannot install
	CodeLegacyProvider    Code = "legacy-provider"    // a provider without a namespace, from Terraform 0.13 or older
	CodeOpenTofuProvider  Code = "opentofu-provider"  // a provider address in OpenTofu's registry
	CodeLocked            Code = "locked"             // locked at the source
	CodeStaleLock         Code = "stale-lock"         // locked for so long that the lock was probably left behind
	CodeOrphanedLock      Code = "orphaned-lock"      // a lock without a state
	CodeChanged           Code = "changed"            // written while it was being read
	CodeVeryLarge         Code = "very-large"         // very large
	CodeLegacyFormat      Code = "legacy-format"      // format 1, 2 or 3
	CodeOldTerraform      Code = "old-terraform"      // written by a Terraform that the target does not support
	CodeTerraformVersions Code = "terraform-versions" // written by many Terraform releases
	CodeEmpty             Code = "empty"              // no resources and no outputs
	CodeDeposed           Code = "deposed"            // replaced objects that still exist
	CodeTainted           Code = "tainted"            // objects that will be replaced
	CodeFailedChecks      Code = "failed-checks"      // checks that did not pass
	CodeNoLineage         Code = "no-lineage"         // no lineage
	CodeResourceCap       Code = "resource-cap"       // more billable resources than --resource-cap
)

// A Finding is a problem, or something worth knowing, about one or more states.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// Fingerprint identifies the finding in later audits: see Inventory.fingerprints.
	Fingerprint string `json:"fingerprint"`
	// Message describes the problem and Advice what to do, in sentences. Advice is empty
	// if Message says it already.
	Message string `json:"message"`
	Advice  string `json:"advice"`
	// Sources are the files concerned, the most important first. It is empty for a
	// finding about all states.
	Sources []string `json:"sources"`
	// Resources are what in the states the finding is about, where it is not about whole
	// states: outputs as output.NAME, types of resources, addresses of providers.
	Resources []string `json:"resources,omitempty"`
	// ComparedWith are states that the sources were compared with, and that have no
	// problem themselves.
	ComparedWith []string `json:"compared_with,omitempty"`
	// Copies describe how copies of one state compare.
	Copies []Copy `json:"copies,omitempty"`
	// Known is why the finding is not new; nil if it is in no baseline.
	Known *Known `json:"known,omitempty"`
}

// A Copy is one of several files with the same lineage.
type Copy struct {
	Source string `json:"source"`
	Serial int64  `json:"serial"`
	MD5    string `json:"md5"`
	// Relation compares it with the newest copy: "newest", "identical", "older" or
	// "diverged".
	Relation string `json:"relation"`
}

// CopyStanding returns how the copy in the finding's nth source compares with the newest,
// or "" if the finding is not about copies.
func (f Finding) CopyStanding(n int) string {
	if n >= len(f.Copies) {
		return ""
	}
	return fmt.Sprintf("serial %d, %s", f.Copies[n].Serial, f.Copies[n].Relation)
}

// Compared is shown after the names in ComparedWith.
const Compared = "compared with this"

// Relations of copies.
const (
	CopyNewest    = "newest"
	CopyIdentical = "identical" // to the newest
	CopyDiverged  = "diverged"  // the newest's serial, other bytes
	CopyOlder     = "older"
)

// SortFindings orders findings by severity, code and source.
func SortFindings(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(Severities, a.Severity), slices.Index(Severities, b.Severity)),
			cmp.Compare(a.Code, b.Code),
			slices.Compare(a.Sources, b.Sources),
			cmp.Compare(a.Message, b.Message),
		)
	})
}
