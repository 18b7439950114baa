// Package tfesim is an embedded HCP Terraform / Terraform Enterprise: an http.Handler that answers
// the endpoints which tfhaul, go-tfe and Terraform use to keep state, with the real server's
// rules, statuses and error texts. It is for tests, rehearsals and demonstrations, and knows
// nothing about tfhaul. It holds organizations, projects, teams, tokens, workspaces, locks and
// state versions; package runs holds what belongs to runs, and this package is its Host.
//
// The rules come from HashiCorp's API documentation, go-tfe, Terraform's cloud backend and public
// issue threads. docs/sim.md lists which of them it follows.
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

// Options say what a Server is like. The zero value is a current Terraform Enterprise with one
// organization named "demo", in memory, without delays or limits.
type Options struct {
	Personality Personality
	// Organizations are made if they do not exist yet. Default: "demo".
	Organizations []string
	// ExecutionMode is the default execution mode of the Organizations: "remote" (default),
	// "local" or "agent". With "remote", Terraform's cloud block wants to run plans on the
	// server, which it cannot; "local" is what Terraform tests want.
	ExecutionMode string
	// TerraformVersion is what new workspaces get. Default "1.11.4".
	TerraformVersion string
	// OfferedTerraform are the Terraform versions that workspaces may be given; another is
	// answered 422. nil: every release. Site administrators may list them.
	OfferedTerraform []string
	// GlobalRemoteState shares the state of new workspaces with their whole organization, as
	// organizations that are older than this setting do, and as an administrator of Terraform
	// Enterprise may choose. The default is false; OldTFE always shares.
	GlobalRemoteState bool
	// RateLimit is how many API requests a user may make a second. 0 announces the real
	// server's 30 and does not enforce it; below 0 announces nothing. Blob addresses are not
	// counted, as at the real one.
	RateLimit int
	// Latency is waited before every request is looked at.
	Latency time.Duration
	// MaxBody is the largest request body in bytes that the "proxy in front" lets through to
	// the API; a larger one is answered 413 as an HTML page. 0: no limit. Blob addresses are
	// on another host in reality and are not limited.
	MaxBody int64
	// PromoteAtUnlock makes a state version current only when the workspace is unlocked. HCP
	// always does that.
	PromoteAtUnlock bool
	// InlineOnly refuses state versions without inline state. OldTFE always does that.
	InlineOnly bool
	// HostedState gives download addresses on the API's own host
	// (/api/state-versions/:id/hosted_state). They want the bearer, count as API requests, and
	// redirect to a signed address.
	HostedState bool
	// BlobOrigin is the scheme and host of the addresses that HostedState redirects to, such as
	// another name of this server, or a customer's HYOK agent. "": as the request has it.
	BlobOrigin string
	// HYOK makes every workspace one whose organization holds its own key: it has neither JSON
	// states nor JSON plans.
	HYOK bool
	// IgnoreForce compares serial and lineage also where a client asks not to (force).
	IgnoreForce bool
	// ProcessingDelay is how long an uploaded state version stays pending; its resources and
	// outputs are processed after the same time again. Nothing runs meanwhile: the status is
	// computed when it is looked at, so virtual time works.
	ProcessingDelay time.Duration
	// Data is a folder in which everything is kept and from which it is loaded. "" keeps it in
	// memory. With a folder, state is streamed to files and never held in memory.
	Data string
	// Logger gets a line a request: method, endpoint, status; never a body, token or signed
	// address. nil: nothing is logged.
	Logger *slog.Logger
	// Terraform is the program that executes runs; "" is the terraform on PATH, NoTerraform
	// none. Without one, runs end errored.
	Terraform string
	// ProviderMirror is a filesystem mirror from which runs install their providers, and the
	// only place from which they do. "": they have none but Terraform's built-in one.
	ProviderMirror string
	// NoRuns, when it is not empty, refuses to execute runs, and is the reason that their logs
	// give: a run executes the configuration's code on this machine. Nothing of a
	// configuration is unpacked then.
	NoRuns string
	// Runs is how many runs are executed at a time; 0 is 2.
	Runs int
}

// NoTerraform is the Options.Terraform of a server that executes no runs.
const NoTerraform = runs.NoTerraform

// A Server holds organizations, workspaces and state versions and answers the API. It is safe
// for use by many goroutines.
type Server struct {
	options Options
	mux     *http.ServeMux
	limiter *limiter
	record  recorder
	blobs   blobs.Store
	store   *store       // nil in memory
	signer  blobs.Signer // of blob addresses

	late     sync.WaitGroup // requests that a fault has postponed
	done     chan struct{}  // closed by Close: lets hanging requests go
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

// New makes a server, and loads what Options.Data holds.
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
			return nil, fmt.Errorf("tfesim: %q cannot name an organization: use letters, digits, - and _, at most 40", name)
		}
	}
	if !slices.Contains([]string{"remote", "local", "agent"}, o.ExecutionMode) {
		return nil, fmt.Errorf("tfesim: there is no execution mode %q: use remote, local or agent", o.ExecutionMode)
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

// Close lets go of requests that hang and closes what Options.Data holds. Requests that arrive
// afterwards fail.
func (s *Server) Close() error {
	s.doneOnce.Do(func() { close(s.done) })
	s.late.Wait()
	s.runs.Close()
	return s.closeStore()
}

// A call is one API request while it is answered.
type call struct {
	s    *Server
	r    *http.Request
	now  time.Time
	who  *principal
	body *jsonapi.Payload
	// incoming is the state version that a request brings, its state already in a blob.
	incoming *incomingVersion
}

// An endpoint is one row of the API.
type endpoint struct {
	pattern string // as http.ServeMux has it
	// receive reads the request's body before anything is locked; nil reads a JSON:API
	// document for methods that have one.
	receive func(*call) error
	// handle answers while Server.mu is held.
	handle handler
	// anonymous endpoints need no token.
	anonymous bool
}

// serve is the way of every API request: who is it, may he ask now, what does he bring, what
// is answered, and is it kept.
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
	// What was changed is on disk before it is acknowledged.
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

// limitKey says whose rate budget a request uses: the user's, whichever token he uses.
func (c *call) limitKey() string {
	if c.who != nil {
		return c.who.ID
	}
	return "anonymous"
}

// announce sets the headers that say what server this is.
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

// writeProxyTooLarge is how a proxy in front of the API refuses a large body.
func writeProxyTooLarge(w http.ResponseWriter) {
	jsonapi.WriteBody(w, http.StatusRequestEntityTooLarge, "text/html",
		[]byte("<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n</body>\r\n</html>\r\n"))
}
