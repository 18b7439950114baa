package tfe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	gotfe "github.com/hashicorp/go-tfe"

	"tfhaul/backend"
)

// This file decodes only the fields we use. go-tfe builds everything that a workspace or
// state version can contain, twice and by reflection, and loses some of what we need. That
// was half of a move's CPU time.

// A document is a JSON:API document with one resource, or with several in a slice.
type document[T any] struct {
	Data     T               `json:"data"`
	Included []namedResource `json:"included"`
	Meta     struct {
		Pagination *gotfe.Pagination `json:"pagination"`
	} `json:"meta"`
}

// A resourceID names a resource.
type resourceID struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// A namedResource is a resource that others refer to: a user, a team, a project, a run or a
// state version.
type namedResource struct {
	resourceID
	Attributes struct {
		Username string `json:"username"`
		Name     string `json:"name"`
		Actions  struct {
			Confirmable *bool `json:"is-confirmable"`
		} `json:"actions"`
		stateVersionAttributes // Status is also that of a run
	} `json:"attributes"`
}

// A relation is a to-one relationship.
type relation struct {
	Data related `json:"data"`
}

// A related resource has no ID if there is none.
type related struct {
	resourceID
	known bool // the server reported it, even as null
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (r *related) UnmarshalJSONFrom(in *jsontext.Decoder) error {
	r.known = true
	return json.UnmarshalDecode(in, &r.resourceID)
}

// workspaceData is the part of a document about a workspace.
type workspaceData struct {
	resourceID
	Attributes struct {
		Name             string   `json:"name"`
		TerraformVersion string   `json:"terraform-version"`
		ExecutionMode    string   `json:"execution-mode"`
		HYOK             bool     `json:"hyok-enabled"`
		WorkingDirectory string   `json:"working-directory"`
		TagNames         []string `json:"tag-names"`
		VCSRepo          struct {
			Identifier string `json:"identifier"`
			Branch     string `json:"branch"`
		} `json:"vcs-repo"`
		AutoApply    bool    `json:"auto-apply"`
		Locked       *bool   `json:"locked"`
		LockedReason *string `json:"locked-reason"`
		Permissions  struct {
			CanReadStateVersions   *bool `json:"can-read-state-versions"`
			CanCreateStateVersions *bool `json:"can-create-state-versions"`
			CanLock                *bool `json:"can-lock"`
			CanUnlock              *bool `json:"can-unlock"`
		} `json:"permissions"`
	} `json:"attributes"`
	Relationships struct {
		CurrentStateVersion relation `json:"current-state-version"`
		CurrentRun          relation `json:"current-run"`
		LatestRun           relation `json:"latest-run"`
		LockedBy            relation `json:"locked-by"`
		Organization        relation `json:"organization"`
		Project             relation `json:"project"`
	} `json:"relationships"`
}

// errNoDocument is returned for a response that is not in the API's format.
var errNoDocument = errors.New("it does not match the API's format")

// lenient makes decoding as tolerant as encoding/json. Unlike that package, this one reads
// a response once instead of twice, and allocates nothing to skip unused fields, which are
// most of it.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// understand decodes a response. Of package json's errors it returns only syntax errors,
// without the names leading to the position, which the server chose. The other errors may
// quote the input.
func understand(raw []byte, doc any) error {
	err := json.Unmarshal(raw, doc, lenient)
	syntax, grammar := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case err == nil:
		return nil
	case len(bytes.TrimSpace(raw)) == 0:
		return io.EOF
	case grammar:
		syntax.JSONPointer = ""
		return syntax
	}
	return errNoDocument
}

// check checks that a resource has an ID and the expected type.
func (r resourceID) check(kind string) error {
	if r.Type != kind || r.ID == "" {
		return errNoDocument
	}
	return nil
}

// workspaceIs returns a decoder for the workspace of an organization with this name and ID;
// "" means any. Names are compared case-insensitively. If locked is not nil, a response that
// says otherwise is an error.
func workspaceIs(organization, name, id string, locked *bool) func([]byte) (*Workspace, error) {
	return func(raw []byte) (*Workspace, error) {
		var doc document[workspaceData]
		if err := understand(raw, &doc); err != nil {
			return nil, err
		}
		ws, err := doc.Data.workspace(organization, doc.Included)
		switch said := doc.Data.Attributes.Locked; {
		case err != nil:
			return nil, err
		case id != "" && ws.ID != id:
			return nil, mismatch("the workspace", id, clean(ws.ID))
		case name != "" && ws.Name != "" && !strings.EqualFold(ws.Name, name):
			return nil, mismatch("the workspace", name, ws.Name)
		case locked == nil || said == nil || *said == *locked:
			return ws, nil
		case *locked:
			return nil, errors.New("it says that the workspace is not locked")
		default:
			return nil, errors.New("it says that the workspace is still locked")
		}
	}
}

// mismatch is the error for a response about something other than what was requested.
func mismatch(what, want, got string) error {
	return fmt.Errorf("the response is about %s %q instead of %q", what, got, want)
}

// workspace returns the Workspace with the decoded fields.
func (d *workspaceData) workspace(organization string, others []namedResource) (*Workspace, error) {
	if err := d.check("workspaces"); err != nil {
		return nil, err
	}
	a, rel := &d.Attributes, &d.Relationships
	if home := rel.Organization.Data.ID; home != "" && !strings.EqualFold(home, organization) {
		return nil, mismatch("a workspace of the organization", organization, clean(home))
	}
	permitted := func(p *bool) bool { return p == nil || *p }
	may := &a.Permissions
	w := &Workspace{Organization: organization, WorkingDirectory: clean(a.WorkingDirectory), Standing: backend.Standing{
		ID: d.ID, Name: clean(a.Name), Terraform: clean(a.TerraformVersion), ExecutionMode: clean(a.ExecutionMode),
		Locked: a.Locked != nil && *a.Locked, HYOK: a.HYOK,
		CanRead:  permitted(may.CanReadStateVersions),
		CanWrite: permitted(may.CanCreateStateVersions),
		CanLock:  permitted(may.CanLock) && permitted(may.CanUnlock),
		Current:  backend.Ref{Known: rel.CurrentStateVersion.Data.known, ID: rel.CurrentStateVersion.Data.ID},
	}}
	latest := rel.LatestRun.Data
	if !latest.known {
		latest = rel.CurrentRun.Data
	}
	if w.RunsKnown = latest.known; latest.ID != "" {
		w.LatestRun = &backend.Run{ID: clean(latest.ID)}
	}
	switch {
	case a.VCSRepo.Identifier != "":
		w.Automatic = backend.VCSRepository
	case a.AutoApply:
		w.Automatic = backend.AutoApply
	}
	w.vcsRepository, w.vcsBranch = clean(a.VCSRepo.Identifier), clean(a.VCSRepo.Branch)
	for _, tag := range a.TagNames {
		w.tags = append(w.tags, clean(tag))
	}
	w.Project = clean(find(others, rel.Project.Data.resourceID).Attributes.Name)
	if current := find(others, rel.CurrentStateVersion.Data.resourceID); current.ID != "" {
		v, err := (&stateVersionData{resourceID: current.resourceID, Attributes: current.Attributes.stateVersionAttributes}).stateVersion()
		if err != nil {
			return nil, err
		}
		w.current = v
	}
	if run := rel.CurrentRun.Data.resourceID; run.ID != "" {
		got := find(others, run).Attributes
		w.Run = newStandingRun(clean(run.ID), clean(got.Status), got.Actions.Confirmable)
	}
	if !w.Locked {
		return w, nil
	}
	w.Holder = holderIn(others, rel.LockedBy.Data.resourceID)
	if a.LockedReason != nil {
		w.Holder.Reason, w.Holder.ReasonKnown = clean(*a.LockedReason), true
	}
	return w, nil
}

// find returns the included resource that matches, or a zero one.
func find(others []namedResource, id resourceID) *namedResource {
	for i := range others {
		if others[i].resourceID == id {
			return &others[i]
		}
	}
	return new(namedResource)
}

// holderIn returns who holds a lock.
func holderIn(others []namedResource, id resourceID) backend.Holder {
	h := backend.Holder{ID: clean(id.ID)}
	switch id.Type {
	case "users":
		h.Kind, h.Name = "user", clean(find(others, id).Attributes.Username)
	case "teams":
		h.Kind, h.Name = "team", clean(find(others, id).Attributes.Name)
	case "runs":
		h.Kind = "run"
	default:
		return backend.Holder{}
	}
	return h
}

// stateVersionAttributes are the attributes of a state version.
type stateVersionAttributes struct {
	Serial           int64     `json:"serial"`
	Size             int64     `json:"size"`
	Status           string    `json:"status"`
	TerraformVersion string    `json:"terraform-version"`
	CreatedAt        time.Time `json:"created-at"`
	Download         string    `json:"hosted-state-download-url"`
	JSONDownload     string    `json:"hosted-json-state-download-url"`
	Upload           string    `json:"hosted-state-upload-url"`
}

// stateVersionData is the part of a document about a state version.
type stateVersionData struct {
	resourceID
	Attributes    stateVersionAttributes `json:"attributes"`
	Relationships struct {
		Run       relation `json:"run"`
		CreatedBy relation `json:"created-by"`
		Workspace relation `json:"workspace"`
	} `json:"relationships"`
}

// stateVersionOf returns a decoder for a state version of this workspace, if the document
// says so, with this ID; "" means any.
func stateVersionOf(workspace, id string) func([]byte) (*StateVersion, error) {
	return func(raw []byte) (*StateVersion, error) {
		var doc document[stateVersionData]
		if err := understand(raw, &doc); err != nil {
			return nil, err
		}
		v, err := doc.Data.stateVersion()
		switch {
		case err != nil:
			return nil, err
		case id != "" && v.ID != id:
			return nil, mismatch("the state version", id, v.ID)
		case workspace != "" && v.workspace != "" && v.workspace != workspace:
			return nil, mismatch("a state version of the workspace", workspace, v.workspace)
		}
		return v, nil
	}
}

// stateVersion returns the StateVersion with the decoded fields.
func (d *stateVersionData) stateVersion() (*StateVersion, error) {
	if err := d.check("state-versions"); err != nil {
		return nil, err
	}
	a := &d.Attributes
	v := &StateVersion{
		Version: backend.Version{
			ID: d.ID, Serial: a.Serial, Size: a.Size, Created: a.CreatedAt,
			Pending: a.Status == string(gotfe.StateVersionPending), Announced: a.Upload != "", Kept: true,
			Gone:   a.Status == string(gotfe.StateVersionFinalized) && a.Download == "",
			Author: clean(d.Relationships.CreatedBy.Data.ID), Run: clean(d.Relationships.Run.Data.ID),
		},
		Status: a.Status, TerraformVersion: clean(a.TerraformVersion),
		workspace: clean(d.Relationships.Workspace.Data.ID),
		download:  a.Download, jsonDownload: a.JSONDownload, upload: a.Upload,
	}
	v.Detail = v
	return v, nil
}
