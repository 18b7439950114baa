package backend

import (
	"context"
	"io"
	"iter"
	"time"

	"tfhaul/lockwait"
)

// A Target is a backend that states can be written to, such as an organization or a bucket.
// It is safe for concurrent use. Its errors unwrap to *Error.
type Target interface {
	Traits() Traits
	// Host returns the server as the user names it, and Container what holds the states
	// there: an organization or a bucket.
	Host() string
	Container() string
	// Address returns what a user types to name the state with this name. It holds no secret.
	Address(name string) string
	// List lists all states, including those without a version. It returns nil if a listing
	// reports less than Look.
	List(ctx context.Context) iter.Seq2[*Standing, error]
	// Look reads the state with this name, and LookByID the one with this ID, which a
	// rename does not change. If the state does not exist or cannot be seen, the error's
	// code is ForbiddenOrMissing.
	Look(ctx context.Context, name string) (*Standing, error)
	LookByID(ctx context.Context, id string) (*Standing, error)
	// Current returns the current version, or nil without one.
	Current(ctx context.Context, s *Standing) (*Version, error)
	// Version reads a version by its ID.
	Version(ctx context.Context, id string) (*Version, error)
	// Versions lists a state's versions, newest first.
	Versions(ctx context.Context, s *Standing) iter.Seq2[*Version, error]
	// Read opens the bytes of a version. The error's code is NoBytesYet while the version
	// is being processed.
	Read(ctx context.Context, v *Version) (io.ReadCloser, error)
	// Writer returns a Writer for locking and writing a state. It sends no requests.
	Writer(s *Standing, o WriterOptions) Writer
	// Close releases connections. Nothing else is called afterwards.
	Close()
	// Down reports whether the backend has left all requests unanswered for so long that
	// retrying soon is useless.
	Down() bool
}

// DownAfter is how long a target must leave all requests unanswered to be Down.
const DownAfter = 30 * time.Second

// A Standing is what a target reports about one of its states.
type Standing struct {
	// ID does not change when the state is renamed. It is the name if states cannot be
	// renamed.
	ID string
	// Name is the state's name in its container.
	Name string
	// Current identifies the current version.
	Current Ref
	// Locked reports whether the state is locked, and Holder by whom, as far as the target
	// reports it.
	Locked bool
	Holder Holder
	// LockUnknown means that the target does not report whether the state is locked: only a
	// request for the lock shows that.
	LockUnknown bool
	// CanRead, CanWrite and CanLock (and unlock) are the permissions of the credentials.
	// They are true if the target does not report them.
	CanRead, CanWrite, CanLock bool
	// HYOK reports whether the organization holds the encryption key of the state (hold
	// your own key), which may then be unreadable from here.
	HYOK bool
	// Automatic is what starts or applies runs there without a user, if that is known.
	Automatic Automation
	// RunsKnown reports whether LatestRun was in the response.
	RunsKnown bool
	// Terraform is the version of Terraform that runs there, a constraint, or "latest"; ""
	// if the target does not run it.
	Terraform string
	// ExecutionMode is where Terraform runs: "remote", "local" or "agent"; "" if the target
	// does not run it.
	ExecutionMode string
	// Run is the current run; nil if unknown.
	Run *Run
	// LatestRun is the run that was queued last, without its status; nil if none ever was.
	LatestRun *Run
}

// NewestRun returns the ID of the run that was queued last; "" if none ever was.
func (s *Standing) NewestRun() string {
	if s.LatestRun == nil {
		return ""
	}
	return s.LatestRun.ID
}

// An Automation is what starts or applies runs without a user.
type Automation uint8

// The automations.
const (
	NoAutomation Automation = iota
	VCSRepository
	AutoApply
)

// String returns the end of a sentence about a workspace.
func (a Automation) String() string {
	switch a {
	case VCSRepository:
		return "has a VCS repository"
	case AutoApply:
		return "applies its runs automatically"
	}
	return "starts no runs by itself"
}

// A Ref identifies a current version.
type Ref struct {
	// Known is false if the response did not have it.
	Known bool
	// ID is the version's ID; "" if nothing is stored.
	ID string
}

// A Holder is the holder of a lock.
type Holder struct {
	// Kind is "user", "team" or "run"; "" if the target does not report it.
	Kind string
	ID   string
	// Name is the holder's name; "" if the target does not report it.
	Name string
	// Reason is the reason that the holder gave for locking. ReasonKnown is false if the
	// target does not return reasons.
	Reason      string
	ReasonKnown bool
}

// String returns the holder's name for messages.
func (h Holder) String() string {
	switch {
	case h.Kind == "":
		return "another user whom the server does not name"
	case h.Name != "":
		return h.Kind + " " + h.Name
	default:
		return h.Kind + " " + h.ID
	}
}

// A Run is a Terraform run at a target.
type Run struct {
	ID, Status string
	// Over means that the run is finished for good, and Waits that it waits for a user to
	// confirm or discard it.
	Over, Waits bool
}

// WriterOptions configure a Writer.
type WriterOptions struct {
	// Reason is shown to others and identifies the lock: it contains the ID of the haul.
	Reason string
	// Run is the run whose lock is used, and neither taken nor released; "" means a lock of
	// our own. Associate is the run to associate with the new version.
	Run, Associate string
	// Inherited reports that the lock is already held, by an earlier run of the haul or by
	// Run.
	Inherited bool
	// Impatient means not to wait for a target that is down, because many moves would.
	Impatient bool
	// OnLost is called when the response to a lock request was lost; it may be nil.
	OnLost func()
	// Lost is how many lock requests of earlier processes got no response.
	Lost int
}

// A Writer locks one state and writes to it, for one move.
type Writer interface {
	lockwait.Locker
	// Seen is the last reading of the state while the lock was ours; nil before that.
	Seen() *Standing
	// LastName is the state's name when the holder of its lock was last checked; "" before
	// that.
	LastName() string
	// LostRequests counts the lock requests whose responses were lost. Granted reports
	// whether one was answered.
	LostRequests() int
	Granted() bool
	// Write stores a version. It returns a *SourceError if the bytes could not be read. The
	// code Ambiguous means that the version may have been stored, NotLocked that the lock
	// was lost, Changed that the target no longer held Write.Was, and Stale, Diverged and Unrelated that the target refused it after its own
	// comparison.
	Write(ctx context.Context, w Write) (*Version, error)
	// Notes are sentences for the user about how the state was written.
	Notes() []string
}

// A Restorer is a Writer of a target that can make an earlier version current again without
// receiving its bytes.
type Restorer interface {
	// Restore stores a copy of the version with this ID, under the lease of w. Its errors are
	// those of Write. The code Unsupported means that the target cannot do it, and that the
	// bytes must be written.
	Restore(ctx context.Context, w Write, id string) (*Version, error)
}

// A Remover is a Writer of a target that can remove a state.
type Remover interface {
	// CheckRemoval returns an *Error with the code NotRemovable if the state cannot be removed
	// safely, or if more than its versions would be lost, such as runs. Under the lock it
	// makes all checks that are possible.
	CheckRemoval(ctx context.Context) error
	// Remove removes the state under the lease of w if it holds w.Was. It returns nil only
	// if it has looked for the state afterwards and found it gone. The code Ambiguous means
	// that the state may have been removed, or may be later. A lock that goes with the state
	// counts as released.
	Remove(ctx context.Context, w Write) error
}

// A Write is what to store, and under which lock. Serial, Lineage and MD5 come from the
// very bytes that are sent.
type Write struct {
	// Lease is the lock that protects the write; never nil.
	Lease *lockwait.Lease
	// Sending is called just before each attempt is sent.
	Sending lockwait.Sending
	// Was is the version that will be replaced; nil if nothing is stored. A kind that can
	// compare and set stores nothing if the target holds another one.
	Was *Version

	Serial  int64
	Lineage string
	MD5     string // in lower-case hex
	Size    int64  // in bytes
	// Open starts reading at the first byte.
	Open func(context.Context) (io.ReadCloser, error)
	// Answered, if not nil, is called when the target has answered and the bytes are still
	// to be sent.
	Answered func()

	// Force replaces whatever is stored.
	Force bool
	// Mode is how to transfer the bytes, if the kind has several ways; "" leaves it to the
	// kind.
	Mode string
}

// A Creator is a Target that can create states.
type Creator interface {
	// CanCreate makes all checks that are possible before creating a state, including those
	// that Create makes. The note is a sentence for the user, or "".
	CanCreate(ctx context.Context, r CreateRequest) (note string, err error)
	// Create creates a state, or returns it if another user has created it meanwhile;
	// created reports which.
	Create(ctx context.Context, r CreateRequest) (s *Standing, created bool, err error)
}

// A CreateRequest describes a state to create.
type CreateRequest struct {
	Name    string
	Options CreateOptions
	// Option returns how the user sets an option of Options: a flag or a manifest's
	// attribute. value is "" for a switch.
	Option func(name, value string) string
}

// A Checker is a Target that can detect early what its credentials cannot do.
type Checker interface {
	// CheckCredentials returns an *Error if the credentials cannot write any state.
	CheckCredentials(ctx context.Context) error
}

// A Decoder is a Target that decodes states itself.
type Decoder interface {
	// ReadJSON opens a version in Terraform's documented JSON
	// (https://developer.hashicorp.com/terraform/internals/json-format), or returns nil if
	// the target does not have it.
	ReadJSON(ctx context.Context, v *Version) (io.ReadCloser, error)
}
