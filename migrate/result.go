package migrate

import (
	"tfhaul/prove"
	"tfhaul/statefile"
)

// An Outcome is how a move ended.
type Outcome string

// The outcomes.
const (
	// Moved: the workspace's current state version was read back and is the snapshot.
	Moved Outcome = "moved"
	// AlreadyThere: the workspace held the very snapshot; nothing was written.
	AlreadyThere Outcome = "already-there"
	// WouldMove: a dry run found that the move would be carried out.
	WouldMove Outcome = "planned"
	// Refused: something in the state, the workspace or its lock needs a decision.
	Refused Outcome = "refused"
	// Failed: something went wrong on the way.
	Failed Outcome = "failed"
	// Skipped: there was nothing to move.
	Skipped Outcome = "skipped"
)

// Outcomes are all outcomes in the order in which summaries show them.
var Outcomes = []Outcome{Moved, AlreadyThere, WouldMove, Refused, Failed, Skipped}

// A Relation is how a snapshot stands to what the workspace holds now.
type Relation string

// The relations; see Relate.
const (
	Fresh     Relation = "fresh"     // the workspace holds no state
	Newer     Relation = "newer"     // the snapshot's serial is higher
	Identical Relation = "identical" // the same bytes
	Diverged  Relation = "diverged"  // the same serial, other bytes
	Stale     Relation = "stale"     // the snapshot's serial is lower
	Unrelated Relation = "unrelated" // another lineage
)

// A Code names the reason of an outcome other than moved. Scripts depend on it.
type Code string

// The codes of refusals: their reason is in the state, the
// workspace or its lock.
const (
	CodeStale         Code = "stale"
	CodeDiverged      Code = "diverged"
	CodeUnrelated     Code = "unrelated"
	CodeNoWorkspace   Code = "no-workspace"
	CodeLocked        Code = "locked"
	CodeEncrypted     Code = "encrypted"
	CodeNotState      Code = "not-state"
	CodeInvalid       Code = "invalid"
	CodeTooNewFormat  Code = "too-new-format"
	CodeErrored       Code = "errored"
	CodeBackupNewer   Code = "backup-newer"
	CodeUnusable      Code = "unusable"
	CodeSourceLocked  Code = "source-locked"
	CodeSourceChanged Code = "source-changed"
	CodeNotLockable   Code = "not-lockable"
	// Only in hauls: no workspace name can be made for the source.
	CodeNoName Code = "no-name"
	// The workspace is missing, and cannot be created as the options say.
	CodeNotCreatable Code = "not-creatable"
	// CodeRenamed: the workspace got another name after it was read.
	CodeRenamed Code = "renamed"
	// CodeNoHistory: the older versions cannot be moved, because of what the source has or
	// because of what the target holds.
	CodeNoHistory Code = "no-history"
	// CodeTargetChanged: another process wrote to the target in spite of our lock, or between
	// two older versions.
	CodeTargetChanged Code = "target-changed"
	// Only a rollback finds these three: the target no longer holds what the haul wrote; it
	// held nothing before; the journal does not record what it held, or that cannot be read.
	CodeAdvanced      Code = "advanced"
	CodeNothingBefore Code = "nothing-before"
	CodeNoFormer      Code = "no-former-state"
	// CodeNotRemovable: a rollback does not delete what the haul created, because it has more
	// than the haul gave it, or the target cannot delete it safely.
	CodeNotRemovable Code = "not-removable"
	// Only Verify finds these two: the workspace holds nothing, or an older serial.
	CodeAbsent   Code = "absent"
	CodeOutdated Code = "outdated"
	// Only VerifyDeep finds this: the same bytes, and the server reads other resources
	// out of them.
	CodeResourcesDiffer Code = "resources-differ"
)

// The codes of what failed on the way, and of what was skipped.
const (
	CodeEmpty              Code = "empty"
	CodeUnreadable         Code = "unreadable"
	CodeUnauthorized       Code = "unauthorized"
	CodeForbiddenOrMissing Code = "forbidden-or-missing"
	CodeRateLimited        Code = "rate-limited"
	CodeUnreachable        Code = "unreachable"
	CodeServerRefused      Code = "server-refused"
	CodeUnproven           Code = "unproven"
	CodeLockLost           Code = "lock-lost"
	CodeLockLeft           Code = "lock-left"
	CodeJournal            Code = "journal"
	// CodeSettings: the state arrived, and the workspace's settings are incomplete.
	CodeSettings    Code = "settings"
	CodeBackup      Code = "backup"
	CodeInterrupted Code = "interrupted"
	// Only in hauls: two snapshots are to go into one workspace; the haul ended
	// before it was this move's turn.
	CodeCollision    Code = "name-collision"
	CodeNotAttempted Code = "not-attempted"
)

// refusals are the codes that need a decision and not a repair.
var refusals = map[Code]bool{
	CodeStale: true, CodeDiverged: true, CodeUnrelated: true, CodeNoWorkspace: true, CodeLocked: true,
	CodeEncrypted: true, CodeNotState: true, CodeInvalid: true, CodeTooNewFormat: true, CodeErrored: true, CodeBackupNewer: true, CodeUnusable: true,
	CodeSourceLocked: true, CodeSourceChanged: true, CodeNotLockable: true, CodeNotCreatable: true, CodeRenamed: true, CodeTargetChanged: true, CodeNoHistory: true, CodeAdvanced: true, CodeNothingBefore: true, CodeNoFormer: true, CodeNotRemovable: true, CodeAbsent: true, CodeOutdated: true, CodeResourcesDiffer: true, CodeCollision: true, CodeNoName: true,
}

// outcomeOf returns the outcome that a code stands for.
func outcomeOf(c Code) Outcome {
	switch {
	case c == CodeEmpty, c == CodeNotAttempted:
		return Skipped
	case refusals[c]:
		return Refused
	default:
		return Failed
	}
}

// A Result is the outcome of one move. Its JSON is part of the command line's contract. It
// holds no state content.
type Result struct {
	// Source names the snapshot as the user would, Target the workspace as
	// host/organization/workspace.
	Source string `json:"source"`
	Target string `json:"target"`

	Outcome  Outcome  `json:"outcome"`
	Relation Relation `json:"relation"`
	// Code names the reason of an outcome other than moved; "" for moved, planned
	// and already-there.
	Code Code `json:"code"`
	// Message is the sentence for a person: what happened, and what to do next.
	Message string `json:"message"`

	// Snapshot is what was read, as far as it could be read.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	// StateVersionID is the state version that holds the snapshot now.
	StateVersionID string `json:"state_version_id"`
	// Locked reports that the haul left the workspace locked. UnlockCommand unlocks it.
	Locked        bool   `json:"locked"`
	UnlockCommand string `json:"unlock_command,omitempty"`
	// LockRequestLost reports that the response to a lock request was lost. If the request
	// still takes effect, this haul leaves the workspace locked.
	LockRequestLost bool `json:"lock_request_lost,omitempty"`
	// SourceUnchecked reports that the outcome is provisional: the haul has not yet checked
	// that the source did not change meanwhile. It does that after the last move.
	SourceUnchecked bool `json:"source_unchecked,omitempty"`
	// Created reports that this move created the workspace.
	Created bool `json:"created,omitempty"`
	// Deleted reports that this rollback deleted what the haul created, or would delete it.
	Deleted bool `json:"deleted,omitempty"`
	// Rollback reports that this move puts back what the target held before a haul, or deletes
	// what the haul created.
	Rollback bool `json:"rollback,omitempty"`
	// BumpedTo is the serial that the snapshot was given on the way, if it was.
	BumpedTo int64 `json:"bumped_to,omitempty"`
	// Backup is the file that keeps what this move replaced.
	Backup string `json:"backup,omitempty"`
	// SourceFrozen is the id of the lock that was left at the source on purpose.
	SourceFrozen string `json:"source_frozen,omitempty"`
	// History is what became of the older versions, if they were asked for.
	History *History `json:"history,omitempty"`
	// Settings is what became of the workspace's settings, if any were asked for.
	Settings *SettingsResult `json:"settings,omitempty"`
	// Notes are further sentences that a person should read, such as that a
	// relation was judged without a lineage.
	Notes []string `json:"notes,omitempty"`

	// APICalls counts the requests to the API, every attempt, downloads and
	// uploads of bytes apart.
	APICalls int `json:"api_calls"`
	// Seconds is how long the move took, waiting included.
	Seconds float64 `json:"seconds"`

	// Proof is what Terraform on the target thinks of it, if that was asked.
	Proof *prove.Result `json:"proof,omitempty"`

	cause      string // what went wrong, without the names of this move: see Causes
	advised    bool   // cause includes what to do
	sourceDown bool   // the server of the source does not answer
	answered   bool   // the target's server answered all, though late
	server     string // that of the source: see serverOf
}

// A Snapshot is the part of a statefile.Snapshot in results and journals.
type Snapshot struct {
	Format           int    `json:"format"`
	TerraformVersion string `json:"terraform_version"`
	Serial           int64  `json:"serial"`
	Lineage          string `json:"lineage"`
	// MD5 is empty for a refused file that was not read to its end.
	MD5 string `json:"md5,omitempty"`
	// Size in bytes.
	Size int64 `json:"size"`
}

func newSnapshot(s *statefile.Snapshot) *Snapshot {
	if s == nil || s.Size == 0 && s.MD5 == "" {
		return nil
	}
	return &Snapshot{
		Format: s.Format, TerraformVersion: s.TerraformVersion,
		Serial: s.Serial, Lineage: s.Lineage, MD5: s.MD5, Size: s.Size,
	}
}
