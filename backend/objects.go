package backend

import (
	"context"
	"io"
	"iter"
)

// Objects is a Target that can also store files which are not states in use, such as copies
// and an index of them. It writes a file only if the stored one is still the expected one, so
// no lock is needed. Its methods are safe for concurrent use.
type Objects interface {
	Target
	// GetObject opens the file with this name. The error's code is NoState if it does not
	// exist.
	GetObject(ctx context.Context, name string) (io.ReadCloser, *Version, error)
	// PutObject stores a file. The code Changed means that the stored file is not o.Was, and
	// Ambiguous that the file may have been stored. The error is a *SourceError if the bytes
	// could not be read or are not the announced ones; nothing was stored then.
	PutObject(ctx context.Context, name string, o Object) (*Version, error)
	// RemoveObject removes a file. It returns nil if the file does not exist.
	RemoveObject(ctx context.Context, name string) error
}

// An Object is a file to store.
type Object struct {
	// Was is the stored file, which will be replaced; nil if no file is stored.
	Was  *Version
	MD5  string // in lower-case hex
	Size int64  // in bytes
	// Open starts reading at the first byte.
	Open func(context.Context) (io.ReadCloser, error)
}

// A Listed state was found by a listing that reported its current version.
type Listed interface {
	// Listed returns that version, or nil. It sends no request.
	Listed() *Version
}

// A Historic state keeps older versions.
type Historic interface {
	// Versions lists them with the current one, newest first.
	Versions(ctx context.Context) iter.Seq2[*Version, error]
}

// A Described state is a workspace, which has settings.
type Described interface {
	// Workspace returns what the listing reported. It sends no request.
	Workspace() WorkspaceInfo
	// Variables lists the workspace's variables, without the values of sensitive ones.
	Variables(ctx context.Context) ([]Variable, error)
}

// WorkspaceInfo describes a workspace. Strings are empty if the server does not report them.
type WorkspaceInfo struct {
	ID               string   `json:"id,omitempty"`
	Organization     string   `json:"organization,omitempty"`
	Project          string   `json:"project,omitempty"`
	Tags             []string `json:"tags,omitempty"`
	TerraformVersion string   `json:"terraform_version,omitempty"`
	ExecutionMode    string   `json:"execution_mode,omitempty"`
	// VCSRepository is the repository's name at its host, such as "acme/network".
	VCSRepository string `json:"vcs_repository,omitempty"`
	VCSBranch     string `json:"vcs_branch,omitempty"`
	// WorkingDirectory is the directory of the configuration in its repository.
	WorkingDirectory string `json:"working_directory,omitempty"`
}

// A Variable is a workspace's variable.
type Variable struct {
	Key       string `json:"key"`
	Category  string `json:"category"` // "terraform" or "env"
	HCL       bool   `json:"hcl,omitempty"`
	Sensitive bool   `json:"sensitive,omitempty"`
	Value     string `json:"value,omitempty"` // empty if it is sensitive
	// Description is for the reader.
	Description string `json:"description,omitempty"`

	// From says where the value of a variable to set comes from: "env:NAME" or "file:PATH"; ""
	// if it is Value. Secret is what was read there.
	From   string `json:"-"`
	Secret Secret `json:"-"`
}
