package audit

// titles say in a few words what the codes mean.
var titles = map[Code]string{
	CodeUnreadable:        "A file, a lock or a digest cannot be read.",
	CodeEncrypted:         "The state is encrypted.",
	CodeInvalid:           "The state is damaged, incomplete, or rejected by Terraform.",
	CodeTooNewFormat:      "The state's format is newer than supported.",
	CodeNotState:          "A file is named like a state but is something else.",
	CodeErrored:           "Terraform could not store the result of an apply.",
	CodeBackupNewer:       "A backup is newer than its state.",
	CodeDiverged:          "Copies of one state have the same serial but different content.",
	CodeSharedLineage:     "Several files are copies of one state.",
	CodeSharedResource:    "Several states manage the same object.",
	CodeStaleDigest:       "The DynamoDB digest does not match the state.",
	CodePlainSecret:       "An output looks like a secret but is not sensitive.",
	CodeUnusable:          "Terraform reads the state but cannot use it.",
	CodeUnusableProvider:  "The target cannot install a provider of the state.",
	CodeLegacyProvider:    "The state names a provider without a namespace.",
	CodeOpenTofuProvider:  "The state names a provider of OpenTofu's registry.",
	CodeLocked:            "The state is locked at its source.",
	CodeStaleLock:         "The state has been locked for more than a day.",
	CodeOrphanedLock:      "A lock has no state.",
	CodeChanged:           "The state was written while it was being read.",
	CodeVeryLarge:         "The state is very large.",
	CodeLegacyFormat:      "The state has a format of Terraform 0.11 or older.",
	CodeOldTerraform:      "The state was written by a Terraform that the target does not support.",
	CodeTerraformVersions: "Many releases of Terraform wrote the states.",
	CodeEmpty:             "The state has no resources and no outputs.",
	CodeDeposed:           "The state holds objects that were replaced but not destroyed.",
	CodeTainted:           "The state holds objects that the next apply replaces.",
	CodeFailedChecks:      "Checks did not pass when the state was written.",
	CodeNoLineage:         "The state has no lineage.",
	CodeResourceCap:       "The states hold more billable resources than the cap.",
}

// Title returns what the code means, as a sentence, or "" for a code of a plan.
func (c Code) Title() string { return titles[c] }
