package tfesim

import (
	"encoding/json"
	"strings"
	"time"

	"tfhaul/tfesim/jsonapi"
)

// The records below are the server's data. They are read and written under Server.mu, and
// stored on disk as JSON if Options.Data is set.

type organization struct {
	Name           string
	ID             string
	Email          string
	Created        time.Time
	DefaultProject string
	Settings       map[string]json.RawMessage
}

type project struct {
	ID       string
	Org      string
	Name     string
	Created  time.Time
	Settings map[string]json.RawMessage
	Tags     []binding // inherited by the project's workspaces
}

type workspace struct {
	ID       string
	Org      string
	Project  string
	Name     string
	Created  time.Time
	Updated  time.Time
	Settings map[string]json.RawMessage
	TagNames []string // flat tags, in the order they were given
	Tags     []binding
	Lock     *lock
	Readme   string
	// Consumers are the workspaces that may read this one's state.
	Consumers []string
	Grants    []grant
	SSHKey    string

	versions []*stateVersion // oldest first; derived
}

type lock struct {
	Holder jsonapi.Ref
	Reason string
	At     time.Time
	// Cycle distinguishes the state versions of this lock from those of an earlier one.
	Cycle string
}

type user struct {
	ID       string
	Name     string
	Email    string
	Admin    bool // of the whole site
	Teams    []string
	Identity Identity
}

type team struct {
	ID         string
	ExternalID string
	Org        string
	Name       string
	Access     access
	Identity   Identity
}

type token struct {
	Secret  string
	Holder  jsonapi.Ref
	Expires time.Time // zero means never
	// Description identifies a team's token; nil for the one token without a description.
	Description *string
	Created     time.Time
	CreatedBy   jsonapi.Ref
	Used        time.Time // zero means never
}

// maxWorkspaceName is the maximum length of a workspace name in characters.
const maxWorkspaceName = 260

// validName reports whether the text can be the name of an organization or a workspace.
func validName(name string, max int) bool {
	if name == "" || len(name) > max {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// organizationNamed returns the organization with this name, ignoring case, or nil.
func (s *Server) organizationNamed(name string) *organization {
	if o := s.organizations[name]; o != nil {
		return o
	}
	for _, o := range s.organizations {
		if strings.EqualFold(o.Name, name) {
			return o
		}
	}
	return nil
}

// workspacesOf returns an organization's workspaces by their names in lower case.
func (s *Server) workspacesOf(org string) map[string]*workspace {
	if o := s.organizationNamed(org); o != nil {
		return s.byName[o.Name]
	}
	return nil
}

// workspaceNamed returns the workspace with this name in the organization, ignoring case,
// or nil.
func (s *Server) workspaceNamed(org, name string) *workspace {
	return s.workspacesOf(org)[strings.ToLower(name)]
}
