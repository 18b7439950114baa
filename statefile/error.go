package statefile

import (
	"fmt"
	"strings"
)

// A Kind is a kind of file.
type Kind string

// The kinds of files. Read returns all except KindState, KindErrored and KindBackup; the
// latter two are recognized by name only.
const (
	KindState            Kind = "state"               // a state that Terraform can read
	KindEncrypted        Kind = "encrypted"           // encrypted by OpenTofu, SOPS, Ansible Vault, …
	KindBackendPointer   Kind = "backend-pointer"     // .terraform/terraform.tfstate: names the backend
	KindLockInfo         Kind = "lock-info"           // .terraform.tfstate.lock.info, *.tflock
	KindPlanFile         Kind = "plan-file"           // terraform plan -out, or any other zip
	KindShowJSON         Kind = "show-json"           // terraform show -json
	KindCompressed       Kind = "compressed"          // gzip and similar, as some backends store states
	KindPlaceholder      Kind = "placeholder"         // a Git LFS pointer: the content is elsewhere
	KindEmptyFile        Kind = "empty-file"          // no bytes, or only whitespace
	KindUTF16            Kind = "utf-16"              // UTF-16 or UTF-32, as PowerShell 5 writes with ">"
	KindBOM              Kind = "bom"                 // UTF-8 with a byte order mark
	KindTrailingGarbage  Kind = "trailing-garbage"    // JSON followed by more data
	KindTruncated        Kind = "truncated"           // ends in the middle of the JSON
	KindNotJSON          Kind = "not-json"            // not valid JSON
	KindTooDeep          Kind = "too-deep"            // nested too deeply for Terraform's JSON reader
	KindNoVersion        Kind = "no-version"          // JSON without a format version: not a state
	KindWrongType        Kind = "wrong-type"          // a value of a type that Terraform rejects
	KindRefusedContent   Kind = "refused-content"     // a value of the right type that Terraform rejects
	KindDuplicate        Kind = "duplicate"           // the same resource instance twice
	KindSerialOutOfRange Kind = "serial-out-of-range" // a serial below 0 or above MaxSerial
	KindFormat0          Kind = "format-0"            // the binary format of Terraform before 0.7, or "version": 0
	KindFormatTooNew     Kind = "format-too-new"      // format 5 and later
	KindNoSerial         Kind = "no-serial"           // returned by Bump: there is no serial to replace
	KindErrored          Kind = "errored"             // errored.tfstate: what a failed apply could not save
	KindBackup           Kind = "backup"              // *.backup: an earlier state
)

// An Error reports why a file is not a state that can be moved.
type Error struct {
	Kind Kind

	// Offset is the position of the problem in bytes from 0, or -1 if there is none.
	Offset int64

	// Line and Column count from 1, columns in bytes. They are 0 if unknown.
	Line, Column int64

	// Detail adds to the kind, and may be empty. It contains no content of the file
	// except keys of Terraform's own schema.
	Detail string

	next string // overrides the kind's advice
}

// Error returns what the file is, where the problem is, and what to do next. It does not
// quote the file.
func (e *Error) Error() string {
	var b strings.Builder
	k := kinds[e.Kind]
	b.WriteString(k.what)
	switch {
	case e.Detail == "":
	case e.Kind == KindEncrypted:
		b.WriteString(" by " + e.Detail)
	default:
		b.WriteString(": " + e.Detail)
	}
	switch {
	case e.Offset < 0:
	case e.Line > 0:
		fmt.Fprintf(&b, ", at line %d, column %d (byte offset %d)", e.Line, e.Column, e.Offset)
	default:
		fmt.Fprintf(&b, ", at byte offset %d", e.Offset)
	}
	next := k.next
	if e.next != "" {
		next = e.next
	}
	return b.String() + "; " + next
}

// Code returns the code that the command line reports for such a file: "encrypted",
// "empty", "not-state", "invalid" or "too-new-format".
func (e *Error) Code() string { return kinds[e.Kind].code }

// restore is the advice for files that are damaged.
const restore = "restore it from a backup or from an earlier version in its backend"

// kinds holds the code for scripts, the description and the advice for each kind.
var kinds = map[Kind]struct{ code, what, next string }{
	KindEncrypted:        {"encrypted", "the state is encrypted", "decrypt it and move the result, because Terraform reads only plain state"},
	KindBackendPointer:   {"not-state", "this is Terraform's record of which backend holds the state, not the state itself", `move the state from that backend, or save it to a file with "terraform state pull > FILE"`},
	KindLockInfo:         {"not-state", "this is a state's lock file, not a state", "the state next to it is locked, or its lock was left behind: find out by whom before you move that state"},
	KindPlanFile:         {"not-state", "this is a zip archive, such as a plan file, not a state", `move the state itself, or save it to a file with "terraform state pull > FILE"`},
	KindShowJSON:         {"not-state", `this is the output of "terraform show -json", which cannot be turned back into a state`, `move the state itself, or save it to a file with "terraform state pull > FILE"`},
	KindCompressed:       {"not-state", "the file is compressed", "decompress it and move the result"},
	KindPlaceholder:      {"not-state", "this is a placeholder for a file that is stored elsewhere", `fetch the file first ("git lfs pull")`},
	KindEmptyFile:        {"empty", "the file is empty", "there is nothing to move"},
	KindUTF16:            {"invalid", "the file is encoded in UTF-16 or UTF-32, which Terraform cannot read", `save it as UTF-8 without a byte order mark (in PowerShell 5, ">" writes UTF-16: use "terraform state pull | Out-File -Encoding ascii FILE", or PowerShell 7)`},
	KindBOM:              {"invalid", "the file starts with a UTF-8 byte order mark, which Terraform cannot read", "remove its first three bytes"},
	KindTrailingGarbage:  {"invalid", "there is more data after the end of the state", "restore the file from a backup, or remove the extra data if you know where it came from"},
	KindTruncated:        {"invalid", "the file is incomplete: it ends in the middle of the state", restore},
	KindNotJSON:          {"invalid", "the file is not valid JSON", restore},
	KindTooDeep:          {"invalid", "the file is nested more than 10,000 levels deep, which Terraform cannot read", restore},
	KindNoVersion:        {"not-state", `this is not a state: it has no top-level "version"`, "exclude it, or look for the state elsewhere"},
	KindWrongType:        {"invalid", "Terraform cannot read this file", restore},
	KindRefusedContent:   {"invalid", "Terraform cannot read this state", restore},
	KindDuplicate:        {"invalid", "the state contains the same resource instance twice, so Terraform cannot read it (\"Duplicate resource instance in state\")", restore + ", or keep only one of the two in a copy of the file and move the copy"},
	KindSerialOutOfRange: {"invalid", "the serial is not between 0 and 9007199254740992", "restore the file from a backup, or let Terraform write the state again"},
	KindFormat0:          {"invalid", "the state has a format that Terraform 0.7 and later cannot read", restore},
	KindFormatTooNew:     {"too-new-format", "the state format is newer than 4, the latest that this version of tfhaul supports", "upgrade tfhaul"},
	KindNoSerial:         {"invalid", "the state has no serial to replace", `let Terraform write the state again (with "terraform state pull")`},
	KindErrored:          {"errored", "this is errored.tfstate, which Terraform writes when an apply cannot save its result", `it is probably newer than the state in the backend: push it there first ("terraform state push errored.tfstate"), then remove it`},
	KindBackup:           {"not-state", "this is a backup of an earlier state", "move the state itself"},
}
