// Package tfesim is an embedded HCP Terraform / Terraform Enterprise: an http.Handler with
// the endpoints that tfhaul, go-tfe and Terraform use for state, with the real server's
// rules, statuses and error texts. It is for tests, rehearsals and demonstrations, and
// knows nothing about tfhaul. It has organizations, projects, teams, tokens, workspaces,
// locks and state versions. Package runs has everything about runs, and this package is its
// Host.
//
// The rules come from HashiCorp's API documentation, go-tfe, Terraform's cloud backend and
// public issue threads. docs/sim.md lists which of them it follows.
package tfesim

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
	"tfhaul/tfesim/runs"
)

// Options configure a Server. The zero value is a current Terraform Enterprise with one
// organization named "demo", in memory, without delays or limits.
type Options struct {
	Personality Personality
	// Organizations are created unless they exist. Default: "demo".
	Organizations []string
	// ExecutionMode is the default execution mode of the Organizations: "remote" (default),
	// "local" or "agent". With "remote", Terraform's cloud block plans on the server; tests
	// of Terraform itself usually need "local".
	ExecutionMode string
	// TerraformVersion is the version of new workspaces. Default: "1.11.4".
	TerraformVersion string
	// OfferedTerraform are the Terraform versions that workspaces may use; others are
	// answered 422. nil means every release. Site administrators can list them.
	OfferedTerraform []string
	// GlobalRemoteState shares the state of new workspaces with their whole organization,
	// as in organizations older than this setting, or if an administrator of Terraform
	// Enterprise chose so. The default is false; OldTFE always shares.
	GlobalRemoteState bool
	// RateLimit is how many API requests a user may make per second. 0 announces the real
	// server's 30 without enforcing it; a negative value announces nothing. Requests to
	// blob URLs are not counted, as on the real server.
	RateLimit int
	// Latency delays every request before it is handled.
	Latency time.Duration
	// MaxBody is the largest request body in bytes that the "proxy in front" accepts for
	// the API; a larger one is answered 413 as an HTML page. 0 means no limit. Blob URLs
	// are really on another host and have no limit.
	MaxBody int64
	// PromoteAtUnlock makes a state version current only when the workspace is unlocked.
	// HCP always does.
	PromoteAtUnlock bool
	// InlineOnly refuses state versions without inline state. OldTFE always does.
	InlineOnly bool
	// HostedState uses download URLs on the API's own host
	// (/api/state-versions/:id/hosted_state). They require the token, count as API
	// requests, and redirect to a signed URL.
	HostedState bool
	// BlobOrigin is the scheme and host of the URLs that HostedState redirects to, such as
	// another name of this server or a customer's HYOK agent. "" means those of the
	// request.
	BlobOrigin string
	// HYOK means that the organizations hold their own encryption keys: their workspaces
	// have neither JSON states nor JSON plans.
	HYOK bool
	// IgnoreForce compares serial and lineage even if a client requests not to (force).
	IgnoreForce bool
	// ProcessingDelay is how long an uploaded state version stays pending; its resources
	// and outputs are processed after the same time again. Nothing runs in the background:
	// the status is computed when it is read, so virtual time works.
	ProcessingDelay time.Duration
	// Data is a folder in which all data is stored, and from which it is loaded. "" keeps
	// it in memory. With a folder, states are streamed to files and never held in memory.
	Data string
	// Logger receives one line per request: method, endpoint, status; never a body, token
	// or signed URL. nil means no logging.
	Logger *slog.Logger
	// Terraform is the program that executes runs; "" means the terraform on PATH,
	// NoTerraform none. Without one, runs end errored.
	Terraform string
	// ProviderMirror is a filesystem mirror, the only place from which runs install
	// providers. "" means that they have only Terraform's built-in one.
	ProviderMirror string
	// NoRuns, if not empty, is the reason why runs are not executed, which appears in their
	// logs. A run executes the configuration's code on this machine; with NoRuns, no
	// configuration is even unpacked.
	NoRuns string
	// Runs is the maximum number of runs executed in parallel; 0 means 2.
	Runs int
}

// NoTerraform is the Options.Terraform of a server that executes no runs.
const NoTerraform = runs.NoTerraform

// A Server has organizations, workspaces and state versions and answers the API. It is safe
// for concurrent use.
type Server struct {
	options Options
	mux     *http.ServeMux
	limiter *limiter
	record  recorder
	blobs   blobs.Store
	store   *store       // nil in memory
	signer  blobs.Signer // of blob addresses

	late     sync.WaitGroup // requests postponed by a fault
	done     chan struct{}  // closed by Close to release hanging requests
	doneOnce sync.Once

	mu            sync.Mutex
	organizations map[string]*organization
	projects      map[string]*project
	workspaces    map[string]*workspace
	byName        map[string]map[string]*workspace
	versions      map[string]*stateVersion
	users         map[string]*user
	teams         map[string]*team
	runs          *runs.Service
	assets        map[string]*asset
	tokens        map[string]*token
	sequence      uint64        // of the newest state version
	changes       []change      // of the request that holds mu
	garbage       []*blobs.Blob // to be removed once the changes are on disk
}

// New returns a server with the data in Options.Data.
func New(o Options) (*Server, error) {
	if len(o.Organizations) == 0 {
		o.Organizations = []string{"demo"}
	}
	if o.ExecutionMode == "" {
		o.ExecutionMode = "remote"
	}
	if o.TerraformVersion == "" {
		o.TerraformVersion = "1.11.4"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for _, name := range o.Organizations {
		if !validName(name, 40) {
			return nil, fmt.Errorf("tfesim: %q is not a valid organization name: use letters, digits, - and _, at most 40", name)
		}
	}
	if !slices.Contains([]string{"remote", "local", "agent"}, o.ExecutionMode) {
		return nil, fmt.Errorf("tfesim: unknown execution mode %q: use remote, local or agent", o.ExecutionMode)
	}
	s := &Server{
		options:       o,
		limiter:       newLimiter(o.RateLimit),
		done:          make(chan struct{}),
		organizations: map[string]*organization{},
		projects:      map[string]*project{},
		workspaces:    map[string]*workspace{},
		byName:        map[string]map[string]*workspace{},
		versions:      map[string]*stateVersion{},
		users:         map[string]*user{},
		teams:         map[string]*team{},
		assets:        map[string]*asset{},
		tokens:        map[string]*token{},
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	s.runs = runs.New(runHost{s}, runs.Options{
		Terraform:          o.Terraform,
		ProviderMirror:     o.ProviderMirror,
		NoRuns:             o.NoRuns,
		Parallel:           o.Runs,
		ProcessingDelay:    o.ProcessingDelay,
		HYOK:               o.HYOK,
		BackingDataActions: o.Personality != HCP,
		Blobs:              s.blobs,
		Signer:             s.signer,
		Logger:             o.Logger,
	})
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.closeStore())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.users) == 0 {
		s.seedIdentities()
	}
	for _, name := range o.Organizations {
		if s.organizationNamed(name) == nil {
			s.seedTeams(s.newOrganization(name, "owner@example.com", o.ExecutionMode))
		}
	}
	s.runs.Resume(maps.Keys(s.workspaces))
	if err := s.commit()(); err != nil {
		return nil, errors.Join(err, s.closeStore())
	}
	s.mux = http.NewServeMux()
	s.routes()
	return s, nil
}

// Close releases hanging requests and closes Options.Data. Later requests fail.
func (s *Server) Close() error {
	s.doneOnce.Do(func() { close(s.done) })
	s.late.Wait()
	s.runs.Close()
	return s.closeStore()
}

// A call is one API request that is being answered.
type call struct {
	s    *Server
	r    *http.Request
	now  time.Time
	who  *principal
	body *jsonapi.Payload
	// incoming is the new state version in a request, with its state already in a blob.
	incoming *incomingVersion
}

// An endpoint is one row of the API.
type endpoint struct {
	pattern string // in the format of http.ServeMux
	// receive reads the request's body before anything is locked; nil means to read a
	// JSON:API document, for methods that have one.
	receive func(*call) error
	// handle answers the request while Server.mu is held.
	handle handler
	// anonymous endpoints need no token.
	anonymous bool
}

// serve handles every API request: it authenticates the sender, checks the rate limit,
// reads the body, answers, and stores the changes.
func (s *Server) serve(e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.options.MaxBody > 0 {
			if r.ContentLength > s.options.MaxBody {
				writeProxyTooLarge(w)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, s.options.MaxBody)
		}
		c := &call{s: s, r: r}
		s.mu.Lock()
		c.now = time.Now()
		c.who = s.authenticate(r)
		s.mu.Unlock()
		s.announce(w.Header())
		if err := s.limiter.take(w.Header(), c.limitKey(), c.now); err != nil {
			jsonapi.WriteError(w, err)
			return
		}
		if c.who == nil && !e.anonymous {
			jsonapi.WriteError(w, jsonapi.Unauthorized())
			return
		}
		a, err := s.answer(c, e)
		if err != nil {
			jsonapi.WriteError(w, err)
			return
		}
		a.Write(w)
	}
}

func (s *Server) answer(c *call, e endpoint) (a *jsonapi.Answer, err error) {
	receive := e.receive
	if receive == nil {
		receive = receiveDocument
	}
	if s.store.broken() {
		return nil, jsonapi.Broken()
	}
	if err := receive(c); err != nil {
		return nil, err
	}
	if c.incoming != nil {
		defer c.incoming.discardUnlessKept()
	}
	// Changes are on disk before they are acknowledged.
	if s.do(func() { c.now = time.Now(); a, err = e.handle(c) }) != nil {
		return nil, jsonapi.Broken()
	}
	return a, err
}

// receiveDocument reads the JSON:API document of a request that has one.
func receiveDocument(c *call) error {
	switch c.r.Method {
	case http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut:
	default:
		return nil
	}
	p, err := jsonapi.ReadPayload(c.r.Body)
	c.body = p
	return err
}

// limitKey returns whose rate budget a request uses: the user's, for any of their tokens.
func (c *call) limitKey() string {
	if c.who != nil {
		return c.who.ID
	}
	return "anonymous"
}

// announce sets the headers that identify the server.
func (s *Server) announce(h http.Header) {
	p := s.options.Personality
	h.Set("TFP-API-Version", p.apiVersion())
	if n := p.appName(); n != "" {
		h.Set("TFP-AppName", n)
	}
	switch p {
	case TFE:
		h.Set("X-TFE-Version", "v202503-1")
		h.Set("X-TFE-Current-Version", "1.0.0")
	case OldTFE:
		h.Set("X-TFE-Version", "v202208-3")
	}
}

// writeProxyTooLarge responds to a large body as a proxy in front of the API does.
func writeProxyTooLarge(w http.ResponseWriter) {
	jsonapi.WriteBody(w, http.StatusRequestEntityTooLarge, "text/html",
		[]byte("<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n</body>\r\n</html>\r\n"))
}
