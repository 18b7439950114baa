package runs

import (
	"net/http"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// A Host is the server whose workspaces a Service has runs of. Except for Do and AddState, the
// methods are called with the host locked: within Do, or while the host answers a Call.
type Host interface {
	// Do calls f with the host locked, and returns once what f changed is on disk.
	Do(f func()) error
	// Put stores a record, and Drop deletes one. Load returns the records at the next start.
	Put(bucket, key string, record any)
	Drop(bucket, key string)
	// Discard deletes blobs once the records that referred to them are gone from the disk.
	Discard(gone ...*blobs.Blob)

	// Workspace returns a workspace as it is now.
	Workspace(id string) (w Workspace, ok bool)
	// Lock locks an unlocked workspace for a run. Unlock releases the lock, and advances the
	// workspace's queue.
	Lock(workspace, run string)
	Unlock(workspace string)
	// CurrentState returns the workspace's current state, or nil, and the serial of its newest
	// state version, or -1.
	CurrentState(workspace string) (state *blobs.Blob, newest int64)
	// AddState makes a state that a run wrote the workspace's current one.
	AddState(workspace string, s State) error
	// StateVersions returns the state versions that a run made.
	StateVersions(workspace, run string) []jsonapi.Ref
	// OffersTerraform reports whether a run may ask for a version of Terraform.
	OffersTerraform(version string) bool

	// User returns the user, or the service user of a token, who did something.
	User(who jsonapi.Ref) (user jsonapi.Resource, ok bool)
	// HolderName returns a user's or team's name.
	HolderName(who jsonapi.Ref) string
}

// A Workspace is what a Service needs to know about a workspace.
type Workspace struct {
	ID, Org, Name string
	// ExecutionMode is the workspace's own or the one it inherits: remote, local or agent.
	ExecutionMode string
	// AgentPool is the name of the agent pool that its runs wait for, if any.
	AgentPool        string
	TerraformVersion string
	WorkingDirectory string
	AutoApply        bool
	// LockedBy is nil while the workspace is unlocked.
	LockedBy *LockHolder
}

// A LockHolder is who holds a workspace's lock.
type LockHolder struct {
	jsonapi.Ref
	// Text names the holder in error texts, such as "User olivia".
	Text string
}

// A State is the state that a run wrote.
type State struct {
	Blob      *blobs.Blob
	Serial    int64
	Lineage   string
	Run       string
	CreatedBy jsonapi.Ref
}

// A Call is a request that a Service answers while its host is locked.
type Call interface {
	Request() *http.Request
	Now() time.Time
	// Body is the request's document.
	Body() *jsonapi.Payload
	// Asker is who sent the request.
	Asker() jsonapi.Ref
	// May reports whether the asker has the access to a workspace. The answer is false
	// for a workspace that does not exist.
	May(do Access, workspace string) bool
	// MayRun reports whether the asker's kind of token may start runs at all.
	MayRun() bool
	// Workspace returns the workspace that the path names, or 404 without the access.
	Workspace(need Access) (Workspace, error)
	// Organization returns the name of the organization that the path names, and its
	// workspaces, or 404.
	Organization() (name string, workspaces []Workspace, err error)
	// WorkspaceResource returns a workspace as the asker sees it.
	WorkspaceResource(id string) jsonapi.Resource
}

// Access is what an asker may do with a workspace. Each level includes those before it.
type Access int

// The levels of access.
const (
	Read Access = iota
	Write
	Administer
)

// An Endpoint is a method and a path of the API, and what answers it.
type Endpoint struct {
	Pattern string // as in http.ServeMux, below /api/v2
	Handle  func(Call) (*jsonapi.Answer, error)
}

// A call is a Call while a Service answers it.
type call struct {
	Call
	s *Service
}
