package statefile

import (
	"fmt"
	"strings"
)

// A Kind says what a file is.
type Kind string

// The kinds of files. All but KindState, KindErrored and KindBackup are made by
// Read; a file that is the latter two can only be told by its name.
const (
	KindState            Kind = "state"               // a state that Terraform reads
	KindEncrypted        Kind = "encrypted"           // encrypted by OpenTofu, SOPS, Ansible Vault, …
	KindBackendPointer   Kind = "backend-pointer"     // .terraform/terraform.tfstate: says where the state is
	KindLockInfo         Kind = "lock-info"           // .terraform.tfstate.lock.info, *.tflock
	KindPlanFile         Kind = "plan-file"           // terraform plan -out, or any other zip
	KindShowJSON         Kind = "show-json"           // terraform show -json
	KindCompressed       Kind = "compressed"          // gzip and the like, as some backends store states
	KindPlaceholder      Kind = "placeholder"         // a Git LFS pointer: the content is elsewhere
	KindEmptyFile        Kind = "empty-file"          // no bytes, or nothing but blanks
	KindUTF16            Kind = "utf-16"              // UTF-16 or UTF-32, as PowerShell 5 writes with ">"
	KindBOM              Kind = "bom"                 // UTF-8 with a byte order mark
	KindTrailingGarbage  Kind = "trailing-garbage"    // JSON, and then something more
	KindTruncated        Kind = "truncated"           // ends in the middle of the JSON
	KindNotJSON          Kind = "not-json"            // breaks the grammar of JSON
	KindTooDeep          Kind = "too-deep"            // nested deeper than Terraform's JSON reader goes
	KindNoVersion        Kind = "no-version"          // JSON without a format version: no state
	KindWrongType        Kind = "wrong-type"          // a value of a type that Terraform refuses
	KindRefusedContent   Kind = "refused-content"     // a value that Terraform refuses, of the right type
	KindDuplicate        Kind = "duplicate"           // one resource instance twice
	KindSerialOutOfRange Kind = "serial-out-of-range" // a serial below 0 or above MaxSerial
	KindFormat0          Kind = "format-0"            // the binary format of Terraform before 0.7, or "version": 0
	KindFormatTooNew     Kind = "format-too-new"      // format 5 and later
	KindNoSerial         Kind = "no-serial"           // made by Bump: there is no serial to replace
	KindErrored          Kind = "errored"             // errored.tfstate: what a failed apply could not store
	KindBackup           Kind = "backup"              // *.backup: what the state was before
)

// An Error says why a file is not a state that may be moved.
type Error struct {
	Kind Kind

	// Offset is where in the file the trouble is, counted in bytes from 0. It is
	// -1 where there is no such place.
	Offset int64

	// Line and Column count from 1, the column in bytes. They are 0 where
	// unknown.
	Line, Column int64

	// Detail says more than the kind, or is empty. It names nothing but keys of
	// Terraform's own schema.
	Detail string

	next string // what to do, where it is something else than for others of the kind
}

// Error says, for a person, what the file is, where the trouble is, and what to
// do next. It quotes nothing of the file's content.
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

// Code is the code that the command line reports for such a file: "encrypted",
// "empty", "not-state", "invalid" or "too-new-format".
func (e *Error) Code() string { return kinds[e.Kind].code }

// kinds says of each kind what it is, what to do next, and the code for scripts.
var kinds = map[Kind]struct{ code, what, next string }{
	KindEncrypted:        {"encrypted", "the state is encrypted", "HCP Terraform needs plain state: decrypt it with what encrypted it, and move the result"},
	KindBackendPointer:   {"not-state", "this is not the state but Terraform's note of the backend that holds it", `take the state from that backend, or write it to a file with "terraform state pull > FILE"`},
	KindLockInfo:         {"not-state", "this is the lock of a state, not a state", "someone holds the state beside it, or left the lock behind: find out who before moving that state"},
	KindPlanFile:         {"not-state", "this is a zip archive, as plan files are, not a state", `take the state itself, or write it to a file with "terraform state pull > FILE"`},
	KindShowJSON:         {"not-state", `this is the output of "terraform show -json", which is for reading and cannot be made a state again`, `take the state itself, or write it to a file with "terraform state pull > FILE"`},
	KindCompressed:       {"not-state", "this is a compressed file", "decompress it first and move the result"},
	KindPlaceholder:      {"not-state", "this is a placeholder for a file that is kept elsewhere", `fetch the file itself first ("git lfs pull")`},
	KindEmptyFile:        {"empty", "the file is empty", "there is nothing to move"},
	KindUTF16:            {"invalid", "the file is encoded in UTF-16 or UTF-32, which Terraform does not read", `write it again as UTF-8 without a byte order mark (PowerShell 5 makes UTF-16 with ">": use "terraform state pull | Out-File -Encoding ascii FILE", or PowerShell 7)`},
	KindBOM:              {"invalid", "the file begins with a UTF-8 byte order mark, which Terraform does not read", "write it again without the first three bytes"},
	KindTrailingGarbage:  {"invalid", "something follows the end of the state", "restore the file from a backup, or remove what follows if you know where it comes from"},
	KindTruncated:        {"invalid", "the file ends in the middle: it was not written or copied to its end", "restore it from a backup or from its backend's earlier versions"},
	KindNotJSON:          {"invalid", "the file is not valid JSON", "restore it from a backup or from its backend's earlier versions"},
	KindTooDeep:          {"invalid", "the file is nested more than 10,000 levels deep, which Terraform does not read", "restore it from a backup or from its backend's earlier versions"},
	KindNoVersion:        {"not-state", `this is not a state: it has no "version" at its top level`, "leave it out, or look for the state elsewhere"},
	KindWrongType:        {"invalid", "the file holds a value of a type that Terraform refuses", "restore it from a backup or from its backend's earlier versions"},
	KindRefusedContent:   {"invalid", "the state holds a value that Terraform refuses to read", "restore it from a backup or from its backend's earlier versions"},
	KindDuplicate:        {"invalid", "the state holds a resource instance twice, and Terraform refuses to read it (\"Duplicate resource instance in state\")", "restore it from a backup or from its backend's earlier versions, or keep only one of the two in a copy of the file and move the copy"},
	KindSerialOutOfRange: {"invalid", "the serial is not within 0 and 9007199254740992", "restore the file from a backup, or have Terraform write the state anew"},
	KindFormat0:          {"invalid", "the state has a format that Terraform since 0.7 does not read", "restore it from a backup or from its backend's earlier versions"},
	KindFormatTooNew:     {"too-new-format", "the state has a format newer than 4, the newest one known here", "use a newer tfhaul"},
	KindNoSerial:         {"invalid", "the file has no serial whose digits could be replaced", `have Terraform write the state anew ("terraform state pull" does)`},
	KindErrored:          {"errored", "this is errored.tfstate, which a failed apply left because it could not store its result", `it is likely newer than the state in the backend: push it there first ("terraform state push errored.tfstate"), then remove it`},
	KindBackup:           {"not-state", "this is a backup, older than the state it was made from", "move the state itself"},
}
