// Package rootmodule reads configurations without Terraform: which directories are root
// modules, where each keeps its state, and whose states it reads. It evaluates constants and
// executes nothing. It does not depend on any kind of backend: package backend turns the settings that
// it finds into addresses.
//
// Settings may have credentials, so nothing here shows a value of them.
package rootmodule

import (
	"cmp"
	"slices"

	"tfhaul/backend"
)

// A Module is a root module, with one way to initialize it. A directory with several
// backend-config files is several modules, one for each file.
type Module struct {
	// Dir is the directory, as a user types it.
	Dir string
	// Repository is the directory of the Git repository, or what was searched outside of one.
	// Path is the module's path in it, with slashes; "" for the repository itself.
	Repository, Path string
	// Variant distinguishes the modules of one directory: the backend-config file's name
	// without its extension. It is "" if there is only one.
	Variant string
	// Origin says where the settings were found.
	Origin Origin
	// At is where the block is; zero without one.
	At Position
	// Settings are nil if Problem says why they are unknown.
	Settings *backend.Settings
	// Problem is a sentence about why the state is unknown; "" if it is not.
	Problem string
	// Workspace is the selected Terraform workspace.
	Workspace string
	// Reads are the states of others that the module reads, in the order of the files.
	Reads []Reference
	// Notes are sentences for the user.
	Notes []string

	// staleInit means that the last init was with another backend than the block's.
	staleInit bool
}

// An Origin is where the settings of a module were found.
type Origin string

// The origins. They are part of the JSON output.
const (
	FromBackend    Origin = "backend"     // a backend block
	FromCloud      Origin = "cloud"       // a cloud block
	FromTerragrunt Origin = "terragrunt"  // a remote_state or generate block of Terragrunt
	FromPointer    Origin = "initialized" // only .terraform/terraform.tfstate
	FromNothing    Origin = "none"        // no block: a local state
)

// A Position is a place in a file.
type Position struct {
	File string
	Line int
}

// A Reference is a state that a module reads through a data source.
type Reference struct {
	At Position
	// Name is the address of the data source, such as data.terraform_remote_state.vpc.
	Name string
	// Settings are those of the state, and Workspace is its Terraform workspace. Settings are
	// nil if Problem says why they are unknown.
	Settings  *backend.Settings
	Workspace string
	Problem   string
}

// A Tree is what was found below some directories.
type Tree struct {
	// Modules are sorted by directory and variant.
	Modules []*Module
	// Shared are directories that are no root modules, but read states: modules that others call.
	Shared []*Module
	// Unread are files and directories that could not be read.
	Unread []Unread
}

// An Unread is a file or directory that could not be read, and why.
type Unread struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// sort puts the modules into their order.
func (t *Tree) sort() {
	slices.SortFunc(t.Modules, func(a, b *Module) int {
		return cmp.Or(cmp.Compare(a.Dir, b.Dir), cmp.Compare(a.Variant, b.Variant))
	})
	slices.SortFunc(t.Unread, func(a, b Unread) int { return cmp.Compare(a.Path, b.Path) })
}
