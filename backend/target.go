package backend

import (
	"context"
	"io"
	"iter"
	"time"

	"tfhaul/lockwait"
)

// A Target is a backend that states can be written to: an organization, a bucket. It is
// safe for concurrent use. Its errors unwrap to *Error.
type Target interface {
	Traits() Traits
	// Host is the server as a user addresses it, and Container what contains the states
	// there: an organization, a bucket.
	Host() string
	Container() string
	// List lists all states, also those that hold nothing yet.
	List(ctx context.Context) iter.Seq2[*Standing, error]
	// Look reads the state with a name, LookByID the one with an ID, which outlives a
	// rename. The code is ForbiddenOrMissing where there is none, or it cannot be seen.
	Look(ctx context.Context, name string) (*Standing, error)
	LookByID(ctx context.Context, id string) (*Standing, error)
	// Current reads which version is current; nil when nothing is stored.
	Current(ctx context.Context, s *Standing) (*Version, error)
	// Version reads a version by its ID.
	Version(ctx context.Context, id string) (*Version, error)
	// Versions lists what was stored in a state, newest first.
	Versions(ctx context.Context, s *Standing) iter.Seq2[*Version, error]
	// Read opens a version's bytes. NoBytesYet is the code of one that is being processed.
	Read(ctx context.Context, v *Version) (io.ReadCloser, error)
	// Writer prepares to lock a state and to write to it. It asks nothing.
	Writer(s *Standing, o WriterOptions) Writer
	// Down reports whether the backend has answered no request for so long that it is of
	// no use to try again soon.
	Down() bool
}

// DownAfter is how long a target leaves all requests unanswered until it is Down.
const DownAfter = 30 * time.Second

// A Standing is what a target says of one of its states.
type Standing struct {
	// ID outlives a rename; it is empty where the target has none.
	ID string
	// Name is how people call the state within its container.
	Name string
	// Current names the current version.
	Current Ref
	// Locked reports whether anybody holds the lock, Holder who, as far as the target says.
	Locked bool
	Holder Holder
	// CanRead, CanWrite and CanLock (and unlock) are what the credentials permit. Where the
	// target does not say, they are taken to permit it.
	CanRead, CanWrite, CanLock bool
	// Terraform is the version of Terraform that runs there, a constraint, or "latest";
	// "" where none does.
	Terraform string
	// ExecutionMode is where Terraform runs: "remote", "local" or "agent"; "" where the
	// target does not run it.
	ExecutionMode string
	// Run is what is going on there; nil where nothing is known.
	Run *Run
	// HYOK reports that the organization holds the key of what is stored (hold your own
	// key), so that it may not be readable from here.
	HYOK bool
}

// A Ref names a current version.
type Ref struct {
	// Known is false where the answer did not carry it.
	Known bool
	// ID is the version's; "" when nothing is stored.
	ID string
}

// A Holder is who holds a lock.
type Holder struct {
	// Kind is "user", "team" or "run"; "" where the target does not say.
	Kind string
	ID   string
	// Name is how people call the holder; "" where the target does not say.
	Name string
	// Reason is what the holder gave as the reason for locking. ReasonKnown is false where
	// the target does not repeat it.
	Reason      string
	ReasonKnown bool
}

// String names the holder for a person.
func (h Holder) String() string {
	switch {
	case h.Kind == "":
		return "somebody whom the server does not name"
	case h.Name != "":
		return h.Kind + " " + h.Name
	default:
		return h.Kind + " " + h.ID
	}
}

// A Run is a run of Terraform at a target.
type Run struct {
	ID, Status string
	// Over reports that nothing will become of it any more, Waits that it waits for a
	// person to confirm or discard it.
	Over, Waits bool
}

// WriterOptions say for what a Writer locks.
type WriterOptions struct {
	// Reason is what others read, and by which the lock is recognised: it carries the ID
	// of the haul.
	Reason string
	// Run is the run under whose lock is written, which is neither taken nor released; ""
	// for a lock of our own. Associate is the run to associate what is written with.
	Run, Associate string
	// Inherited reports that the lock is held already: by an earlier run of the haul, or by
	// Run.
	Inherited bool
	// Impatient does not wait for a target that is down: many moves wait for it.
	Impatient bool
	// OnLost is called when the reply to a lock request was lost; nil for nobody.
	OnLost func()
	// Lost is how many lock requests of earlier runs had no reply.
	Lost int
}

// A Writer locks one state and writes to it. It serves one move.
type Writer interface {
	lockwait.Locker
	// Seen is what was read of the state last while the lock was ours; nil before that.
	Seen() *Standing
	// LastName is what the state was called when the holder of its lock was last asked for;
	// "" before that.
	LastName() string
	// LostRequests counts the lock requests whose replies were lost. Granted reports
	// whether one was answered.
	LostRequests() int
	Granted() bool
	// Write stores a version. A *SourceError says that its bytes could not be read. The
	// code Ambiguous means that it may have been stored, NotLocked that the lock was lost,
	// Stale, Diverged and Unrelated that the target refuses what it compares.
	Write(ctx context.Context, w Write) (*Version, error)
	// Notes are sentences for the user about how it was written.
	Notes() []string
}

// A Write is what is stored, and under which lock. Serial, Lineage and MD5 come from the
// very bytes that are sent.
type Write struct {
	// Lease is the lock under which it is sent; never nil.
	Lease *lockwait.Lease
	// Sending is called just before each attempt is sent.
	Sending lockwait.Sending

	Serial  int64
	Lineage string
	MD5     string // lower-case hex
	Size    int64  // bytes
	// Open starts reading the bytes from the first.
	Open func(context.Context) (io.ReadCloser, error)
	// Answered, if not nil, is called when the target has answered, where the bytes follow
	// later.
	Answered func()

	// Force replaces whatever is stored.
	Force bool
	// Mode says how the bytes travel, where the kind has several ways; "" leaves it to the
	// kind.
	Mode string
}

// A Creator is a Target that can create states.
type Creator interface {
	// CanCreate makes all checks that can be made before a state is created, and those that
	// creating makes. The note is a sentence for the user, or "".
	CanCreate(ctx context.Context, r CreateRequest) (note string, err error)
	// Create creates a state, or finds it when another user has created it meanwhile;
	// created reports which.
	Create(ctx context.Context, r CreateRequest) (s *Standing, created bool, err error)
}

// A CreateRequest is a state to create.
type CreateRequest struct {
	Name    string
	Options CreateOptions
	// Option names an option of Options to the user: a flag, or a manifest's attribute.
	// value is "" for a switch.
	Option func(name, value string) string
}

// A Checker is a Target that can find out early what its credentials cannot do.
type Checker interface {
	// CheckCredentials returns an *Error where no state can be written with them at all.
	CheckCredentials(ctx context.Context) error
}

// A Decoder is a Target that decodes states itself.
type Decoder interface {
	// ReadJSON opens a version in Terraform's documented JSON
	// (https://developer.hashicorp.com/terraform/internals/json-format); nil, nil where the
	// target has none.
	ReadJSON(ctx context.Context, v *Version) (io.ReadCloser, error)
}
