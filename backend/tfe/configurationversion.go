package tfe

import (
	"context"
	"iter"
	"time"

	gotfe "github.com/hashicorp/go-tfe"
)

// A ConfigurationVersion is one upload of a workspace's configuration files.
type ConfigurationVersion struct {
	// ID is the server's, such as "cv-…".
	ID string
	// Status is "pending", "fetching", "uploaded", "errored" or "archived".
	Status string
	// Error and ErrorMessage are set by the server if the upload cannot be used.
	Error, ErrorMessage string
	// Source is where it came from, such as "tfe-api", "github" or "terraform".
	Source string
	// Speculative versions can only be planned. AutoQueueRuns versions start a run when
	// they are uploaded. Provisional versions become the workspace's current configuration
	// only when they are applied.
	Speculative, AutoQueueRuns, Provisional bool
	// QueuedAt is when it was created or requested; zero if the server does not report it.
	QueuedAt time.Time
	// Ingress describes the commit from version control; nil without version control.
	Ingress *Ingress

	upload string // a signed URL: never printed
}

// An Ingress describes the commit that a configuration version came from.
type Ingress struct {
	Repository, Branch, Tag string
	// Commit is the hash, and CommitMessage the first line of the message.
	Commit, CommitMessage string
	PullRequest           int
}

// Uploaded reports whether runs can use it.
func (v *ConfigurationVersion) Uploaded() bool {
	return v.Status == string(gotfe.ConfigurationUploaded)
}

// Errored reports whether it will never be usable.
func (v *ConfigurationVersion) Errored() bool {
	return v.Status == string(gotfe.ConfigurationErrored) || v.Status == string(gotfe.ConfigurationArchived)
}

func newConfigurationVersion(cv *gotfe.ConfigurationVersion) *ConfigurationVersion {
	v := &ConfigurationVersion{
		ID: clean(cv.ID), Status: clean(string(cv.Status)), Error: clean(cv.Error), ErrorMessage: clean(cv.ErrorMessage),
		Source: clean(string(cv.Source)), Speculative: cv.Speculative, AutoQueueRuns: cv.AutoQueueRuns, Provisional: cv.Provisional,
		upload: cv.UploadURL,
	}
	if at := cv.StatusTimestamps; at != nil {
		for _, t := range []time.Time{at.QueuedAt, at.FetchingAt, at.StartedAt, at.FinishedAt} {
			if v.QueuedAt = t; !t.IsZero() {
				break
			}
		}
	}
	if in := cv.IngressAttributes; in != nil && (in.CommitSHA != "" || in.Identifier != "" || in.Branch != "") {
		v.Ingress = &Ingress{Repository: clean(in.Identifier), Branch: clean(in.Branch), Tag: clean(in.Tag),
			Commit: clean(in.CommitSHA), CommitMessage: clean(in.CommitMessage), PullRequest: in.PullRequestNumber}
	}
	return v
}

// ConfigurationOptions describe a new configuration version.
type ConfigurationOptions struct {
	// Speculative versions can only be planned.
	Speculative bool
	// AutoQueueRuns starts a run after the upload.
	AutoQueueRuns bool
	// Provisional versions become the workspace's current configuration only when a run is
	// applied. Servers without this option make them current immediately.
	Provisional bool
}

// CreateConfigurationVersion creates a configuration version; UploadConfiguration sends its
// files. One that is never uploaded does no harm.
func (c *Client) CreateConfigurationVersion(ctx context.Context, ws *Workspace, o ConfigurationOptions) (*ConfigurationVersion, error) {
	options := gotfe.ConfigurationVersionCreateOptions{AutoQueueRuns: &o.AutoQueueRuns, Speculative: &o.Speculative}
	if o.Provisional {
		options.Provisional = &o.Provisional
	}
	return c.configurationVersion(ctx, "create a configuration version in "+ws.String(),
		func(ctx context.Context, api *gotfe.Client) (*gotfe.ConfigurationVersion, error) {
			return api.ConfigurationVersions.Create(ctx, ws.ID, options)
		})
}

// UploadConfiguration sends the tar.gz of a configuration to the signed URL of a version
// that was just created: only that response contains the URL.
func (c *Client) UploadConfiguration(ctx context.Context, cv *ConfigurationVersion, body Body) error {
	return c.upload(ctx, "upload configuration version "+cv.ID, cv.upload, body)
}

var withIngress = []gotfe.ConfigVerIncludeOpt{gotfe.ConfigVerIngressAttributes}

// ConfigurationVersion reads a configuration version by its ID.
func (c *Client) ConfigurationVersion(ctx context.Context, id string) (*ConfigurationVersion, error) {
	return c.configurationVersion(ctx, "read configuration version "+id,
		func(ctx context.Context, api *gotfe.Client) (*gotfe.ConfigurationVersion, error) {
			return api.ConfigurationVersions.ReadWithOptions(ctx, id, &gotfe.ConfigurationVersionReadOptions{Include: withIngress})
		})
}

func (c *Client) configurationVersion(ctx context.Context, op string,
	do func(context.Context, *gotfe.Client) (*gotfe.ConfigurationVersion, error)) (*ConfigurationVersion, error) {
	cv, err := viaGoTFE(ctx, c, op, do)
	if err != nil {
		return nil, err
	}
	return newConfigurationVersion(cv), nil
}

// ConfigurationVersions lists the workspace's configuration versions, newest first,
// fetching pages as they are consumed.
func (c *Client) ConfigurationVersions(ctx context.Context, ws *Workspace) iter.Seq2[*ConfigurationVersion, error] {
	return listViaGoTFE(ctx, c, "list the configuration versions of "+ws.String(), newConfigurationVersion,
		func(ctx context.Context, api *gotfe.Client, page gotfe.ListOptions) ([]*gotfe.ConfigurationVersion, *gotfe.Pagination, error) {
			options := gotfe.ConfigurationVersionListOptions{ListOptions: page, Include: withIngress}
			found, err := api.ConfigurationVersions.List(ctx, ws.ID, &options)
			if err != nil {
				return nil, nil, err
			}
			return found.Items, found.Pagination, nil
		})
}
