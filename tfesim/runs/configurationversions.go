package runs

import (
	"slices"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// A configurationVersion is one upload of a workspace's configuration files.
type configurationVersion struct {
	ID        string
	Workspace string
	Sequence  uint64
	Created   time.Time
	// Arrived is when the archive was received and checked. It is zero before.
	Arrived time.Time
	// AutoQueueRuns queues a run after the upload, Speculative allows only runs that cannot be
	// applied, and Provisional versions never become the workspace's current one.
	AutoQueueRuns, Speculative, Provisional bool
	Source                                  string
	Archive                                 *blobs.Blob
	// Error and ErrorMessage say why the archive cannot be used.
	Error, ErrorMessage string
	Archived            bool
	BackingData         string        // one of the blobs.Data constants
	Atlas               *atlasVersion // of versions made through the first API
}

// The statuses of a configuration version.
const (
	configurationPending  = "pending"
	configurationUploaded = "uploaded"
	configurationErrored  = "errored"
	configurationArchived = "archived"
)

// configurationStatus returns the status at a moment: a version stays pending for
// Options.ProcessingDelay after the upload.
func (s *Service) configurationStatus(v *configurationVersion, now time.Time) string {
	switch {
	case v.Archived:
		return configurationArchived
	case v.Arrived.IsZero() || now.Before(v.Arrived.Add(s.options.ProcessingDelay)):
		return configurationPending
	case v.Error != "":
		return configurationErrored
	}
	return configurationUploaded
}

// configurationsOf returns a workspace's configuration versions, newest first.
func (s *Service) configurationsOf(workspace string) []*configurationVersion {
	var all []*configurationVersion
	for _, v := range s.configurations {
		if v.Workspace == workspace {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b *configurationVersion) int { return int(b.Sequence) - int(a.Sequence) })
	return all
}

// currentConfiguration returns a workspace's newest version that is neither speculative nor
// provisional, whether its archive has arrived or not.
func (s *Service) currentConfiguration(workspace string) *configurationVersion {
	for _, v := range s.configurationsOf(workspace) {
		if !v.Speculative && !v.Provisional && !v.Archived {
			return v
		}
	}
	return nil
}

// usableConfiguration returns the version for runs that name none.
func (s *Service) usableConfiguration(workspace string, now time.Time) *configurationVersion {
	for _, v := range s.configurationsOf(workspace) {
		if !v.Speculative && !v.Provisional && s.configurationStatus(v, now) == configurationUploaded {
			return v
		}
	}
	return nil
}

// listConfigurations answers GET /workspaces/:id/configuration-versions, newest first.
func listConfigurations(c *call, w Workspace) (*jsonapi.Answer, error) {
	if err := c.checkConfigurationIncludes(); err != nil {
		return nil, err
	}
	return jsonapi.List(c.Request(), c.s.configurationsOf(w.ID), c.configurationResource, nil)
}

// checkConfigurationIncludes accepts the names that the API knows. Nothing is ever included: an
// ingress exists only for versions from a VCS.
func (c *call) checkConfigurationIncludes() error {
	for _, name := range jsonapi.Includes(c.Request()) {
		switch name {
		case "", "ingress_attributes", "ingress-attributes", "run":
		default:
			return jsonapi.BadInclude(name)
		}
	}
	return nil
}

// createConfiguration answers POST /workspaces/:id/configuration-versions.
func createConfiguration(c *call, w Workspace) (*jsonapi.Answer, error) {
	if !c.MayRun() {
		return nil, jsonapi.NotFound()
	}
	it := c.Body().One
	if it.Type != "" && it.Type != "configuration-versions" {
		return nil, jsonapi.Unprocessable("data.type must be configuration-versions")
	}
	v := &configurationVersion{ID: jsonapi.NewID("cv"), Workspace: w.ID, Created: c.Now(), Source: "tfe-api"}
	err := readFlags(it,
		flag{"auto-queue-runs", &v.AutoQueueRuns, true},
		flag{"speculative", &v.Speculative, false},
		flag{"provisional", &v.Provisional, false})
	if err != nil {
		return nil, err
	}
	c.s.addConfiguration(v)
	data := c.configurationResource(v)
	// Only this answer has the address, because it is a secret and works once.
	data.Attributes["upload-url"] = c.s.options.Signer.Address(jsonapi.Origin(c.Request()), blobs.Ticket{Upload: true, Kind: blobConfiguration, ID: v.ID})
	return jsonapi.Created(jsonapi.Document{Data: data}), nil
}

func (s *Service) addConfiguration(v *configurationVersion) {
	s.sequence++
	v.Sequence = s.sequence
	s.configurations[v.ID] = v
	s.put(v)
}

// configuration returns the configuration version that the path names.
func (c *call) configuration(need Access) (*configurationVersion, error) {
	v := c.s.configurations[c.Request().PathValue("configuration_version_id")]
	if v == nil || !c.May(need, v.Workspace) {
		return nil, jsonapi.NotFound()
	}
	return v, nil
}

// getConfiguration answers GET /configuration-versions/:id.
func getConfiguration(c *call, v *configurationVersion) (*jsonapi.Answer, error) {
	if err := c.checkConfigurationIncludes(); err != nil {
		return nil, err
	}
	return jsonapi.OK(jsonapi.Document{Data: c.configurationResource(v)}), nil
}

// getIngress answers GET /configuration-versions/:id/ingress-attributes. Only versions from a VCS
// have any.
func getIngress(c *call, _ *configurationVersion) (*jsonapi.Answer, error) {
	return nil, jsonapi.NotFound()
}

// downloadConfiguration answers GET /configuration-versions/:id/download with a redirect to
// the archive.
func downloadConfiguration(c *call, v *configurationVersion) (*jsonapi.Answer, error) {
	if c.s.configurationStatus(v, c.Now()) != configurationUploaded || v.BackingData != blobs.DataKept {
		return nil, jsonapi.NotFound()
	}
	return c.redirect(blobs.Ticket{Kind: blobConfiguration, ID: v.ID}), nil
}

const notAllowed = "transition not allowed"

// archiveConfiguration answers POST /configuration-versions/:id/actions/archive.
func archiveConfiguration(c *call, v *configurationVersion) (*jsonapi.Answer, error) {
	switch {
	case c.s.currentConfiguration(v.Workspace) == v:
		return nil, jsonapi.Conflict(notAllowed + ": configuration could not be archived because it is current")
	case c.s.configurationStatus(v, c.Now()) != configurationUploaded:
		return nil, jsonapi.Conflict(notAllowed)
	case slices.ContainsFunc(c.s.runsOf(v.Workspace), func(r *run) bool { return r.Configuration == v.ID && !r.final() }):
		return nil, jsonapi.Conflict(notAllowed + ": configuration could not be archived because runs in progress use it")
	}
	v.Archived = true
	c.s.host.Discard(v.Archive)
	v.Archive = nil
	c.s.put(v)
	return &jsonapi.Answer{Status: 202}, nil
}

// moveConfigurationData answers the actions on the archive of a configuration version, which only
// Terraform Enterprise has. They fail for the current version.
func moveConfigurationData(from, to string) handler {
	return func(c *call) (*jsonapi.Answer, error) {
		v, err := c.configuration(Administer)
		if err != nil {
			return nil, err
		}
		if !c.s.options.BackingDataActions {
			return nil, jsonapi.NotFound()
		}
		if v.BackingData != from || c.s.currentConfiguration(v.Workspace) == v {
			return nil, jsonapi.Conflict(notAllowed)
		}
		v.BackingData = to
		if to == blobs.DataDeleted {
			c.s.host.Discard(v.Archive)
			v.Archive = nil
		}
		c.s.put(v)
		return jsonapi.NoContent(), nil
	}
}

func (c *call) configurationResource(v *configurationVersion) jsonapi.Resource {
	status := c.s.configurationStatus(v, c.Now())
	timestamps := map[string]any{"queued-at": jsonapi.Timestamp(v.Created)}
	attributes := map[string]any{
		"auto-queue-runs":   v.AutoQueueRuns,
		"speculative":       v.Speculative,
		"provisional":       v.Provisional,
		"source":            v.Source,
		"status":            status,
		"status-timestamps": timestamps,
		"changed-files":     []string{},
		"error":             nil,
		"error-message":     nil,
		"upload-url":        nil,
	}
	self := "/api/v2/configuration-versions/" + v.ID
	links := map[string]any{"self": self}
	if status != configurationPending {
		timestamps["started-at"] = jsonapi.Timestamp(v.Arrived)
		timestamps["finished-at"] = jsonapi.Timestamp(v.Arrived)
	}
	switch status {
	case configurationErrored:
		attributes["error"], attributes["error-message"] = v.Error, v.ErrorMessage
	case configurationUploaded:
		links["download"] = self + "/download"
	}
	return jsonapi.Resource{ID: v.ID, Type: "configuration-versions", Attributes: attributes,
		Relationships: map[string]any{"ingress-attributes": jsonapi.ToOne(nil, self+"/ingress-attributes")}, Links: links}
}

// configurationRef returns a relationship to a configuration version, or nil.
func configurationRef(v *configurationVersion) *jsonapi.Ref {
	if v == nil {
		return nil
	}
	return &jsonapi.Ref{ID: v.ID, Type: "configuration-versions"}
}
