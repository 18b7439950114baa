package audit

import (
	"cmp"
	"fmt"
	"slices"
)

// A Severity says how much a Finding weighs.
type Severity string

// The severities, heaviest first.
const (
	SeverityError   Severity = "error"   // something is lost, broken, leaked, or cannot be moved
	SeverityWarning Severity = "warning" // someone should look before anything is moved
	SeverityInfo    Severity = "info"    // good to know
)

// Severities are all of them, heaviest first.
var Severities = []Severity{SeverityError, SeverityWarning, SeverityInfo}

// AtLeast reports whether s weighs as much as t or more.
func (s Severity) AtLeast(t Severity) bool {
	return slices.Index(Severities, s) <= slices.Index(Severities, t)
}

// A Code names a kind of Finding. Scripts depend on it.
type Code string

// The codes. docs/audit.md describes each.
const (
	CodeUnreadable        Code = "unreadable"         // could not be read
	CodeEncrypted         Code = "encrypted"          // encrypted
	CodeInvalid           Code = "invalid"            // damaged, half-written, or not as Terraform writes it
	CodeTooNewFormat      Code = "too-new-format"     // of a format of the future
	CodeNotState          Code = "not-state"          // named like a state and none
	CodeErrored           Code = "errored"            // errored.tfstate: the result of an apply that was never stored
	CodeBackupNewer       Code = "backup-newer"       // the backup has a higher serial than its state
	CodeDiverged          Code = "diverged"           // one lineage and serial, different bytes
	CodeSharedLineage     Code = "shared-lineage"     // copies of one state
	CodeSharedResource    Code = "shared-resource"    // one object in two states
	CodeStaleDigest       Code = "stale-digest"       // the DynamoDB digest is not the state's
	CodePlainSecret       Code = "plain-secret"       // an output that looks like a secret and is not sensitive
	CodeUnusable          Code = "unusable"           // Terraform reads it and cannot use it
	CodeUnusableProvider  Code = "unusable-provider"  // a provider that the target cannot install
	CodeLegacyProvider    Code = "legacy-provider"    // a provider without a namespace, of Terraform 0.13 or older
	CodeOpenTofuProvider  Code = "opentofu-provider"  // a provider address of OpenTofu's registry
	CodeLocked            Code = "locked"             // someone is using it
	CodeStaleLock         Code = "stale-lock"         // locked for so long that no one is using it any more
	CodeOrphanedLock      Code = "orphaned-lock"      // a lock without a state
	CodeChanged           Code = "changed"            // written while it was read
	CodeVeryLarge         Code = "very-large"         // very large
	CodeLegacyFormat      Code = "legacy-format"      // format 1, 2 or 3
	CodeOldTerraform      Code = "old-terraform"      // written by a Terraform that the target does not run
	CodeTerraformVersions Code = "terraform-versions" // many releases of Terraform side by side
	CodeEmpty             Code = "empty"              // nothing in it
	CodeDeposed           Code = "deposed"            // replaced objects that still exist
	CodeTainted           Code = "tainted"            // objects that will be replaced
	CodeFailedChecks      Code = "failed-checks"      // checks that did not pass
	CodeNoLineage         Code = "no-lineage"         // without the identity that protects it
)

// A Finding is something that is wrong with a state, or with several together, or
// at least good to know.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// Message says what it is and Advice what to do, in sentences for a person. Advice is
	// empty where Message says that, too.
	Message string `json:"message"`
	Advice  string `json:"advice"`
	// Sources are the files that it concerns, the one to look at first first. It is empty
	// for a finding about everything.
	Sources []string `json:"sources"`
	// ComparedWith are states that the sources were compared with, and that are as they should be.
	ComparedWith []string `json:"compared_with,omitempty"`
	// Copies tell how copies of one state stand to one another.
	Copies []Copy `json:"copies,omitempty"`
}

// A Copy is one of several files with one lineage.
type Copy struct {
	Source string `json:"source"`
	Serial int64  `json:"serial"`
	MD5    string `json:"md5"`
	// Relation is how it stands to the newest: "newest", "identical", "older" or
	// "diverged".
	Relation string `json:"relation"`
}

// CopyStanding says how the copy in a finding's nth source stands to the newest; "" where the
// finding is not about copies.
func (f Finding) CopyStanding(n int) string {
	if n >= len(f.Copies) {
		return ""
	}
	return fmt.Sprintf("serial %d, %s", f.Copies[n].Serial, f.Copies[n].Relation)
}

// Compared stands behind the names in ComparedWith.
const Compared = "compared with this"

// The relations of copies.
const (
	CopyNewest    = "newest"
	CopyIdentical = "identical" // to the newest
	CopyDiverged  = "diverged"  // the newest's serial, other bytes
	CopyOlder     = "older"
)

// SortFindings orders findings by severity, code and place.
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
