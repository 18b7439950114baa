package backend

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"time"

	"tfhaul/lockwait"
)

// LockInfo is the description of a lock that Terraform writes and reads (statemgr.LockInfo).
type LockInfo struct {
	ID        string
	Operation string
	Info      string
	Who       string
	Version   string
	Created   time.Time
	Path      string // the state's, as Terraform's backend of that kind writes it
}

// MigrateOperation is what Terraform shows as the operation of our locks.
const MigrateOperation = "OperationTypeMigrate"

// NewLockInfo returns the description of a new lock of ours.
func NewLockInfo(r LockRequest, path string) *LockInfo {
	return &LockInfo{
		ID: newLockID(), Operation: r.Operation, Info: r.Info, Version: r.Version,
		Who: cmp.Or(r.Who, whoami()), Created: time.Now().UTC(), Path: path,
	}
}

// Marshal returns the description as Terraform writes it.
func (l *LockInfo) Marshal() []byte {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings and a present-day time can always be encoded
	}
	return text
}

// newLockID returns a random UUID (version 4), like Terraform's own lock IDs.
func newLockID() string {
	var b [16]byte
	rand.Read(b[:]) // crypto/rand never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// whoami returns user@host, as Terraform writes it, without the parts that are unknown.
func whoami() string {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// Standing returns the lock's holder, for a Standing.
func (l *Lock) Standing() Holder {
	return Holder{Kind: "user", ID: l.ID, Name: l.Who, Reason: l.Info, ReasonKnown: true}
}

// Other returns the holder of a lock that is not ours.
func (l *Lock) Other() lockwait.Holder {
	name := cmp.Or(l.Who, "another user")
	if l.Operation != "" {
		name += " (" + l.Operation + ")"
	}
	return lockwait.Holder{Name: name, Reason: l.Info, Since: l.Created, Other: true}
}
