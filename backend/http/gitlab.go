package http

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"tfhaul/backend"
)

// How addresses of GitLab are written. A path that ends in a slash is a project's. Without the
// slash, the last part is the name of a state, unless there are only two parts: the path of a
// project has at least two.
const (
	gitLabScheme    = "gitlab"
	gitLabPlain     = "gitlab+http" // only to this machine
	gitLabContainer = "gitlab://HOST/GROUP/PROJECT/"
	gitLabState     = "gitlab://HOST/GROUP/PROJECT/NAME"
)

// gitLabTraits are those of states in GitLab. The version with the highest serial is current.
var gitLabTraits = backend.Traits{
	Noun: "endpoint", Versions: true, Rises: true, Pins: backend.PinsAnyVersion, Locks: backend.LocksDurable, Writes: backend.WritesUnderLock,
}

// gitLab returns the kind of backend that keeps states in GitLab's projects.
func (s *servers) gitLab() backend.Kind {
	return backend.Kind{
		Name: "GitLab", Scheme: gitLabScheme, Environment: "TF_HTTP_PASSWORD, GITLAB_TOKEN, CI_JOB_TOKEN, …", Aliases: []string{gitLabPlain}, Example: gitLabContainer, Traits: gitLabTraits, CutPassword: cutPassword,
		Open: func(_ context.Context, address string) (backend.Backend, error) {
			p, name, err := s.project(address, false)
			switch {
			case err != nil:
				return nil, err
			case name != "":
				return &one{p.state(name).asSource()}, nil
			}
			return p, nil
		},
		Canonical: func(address string) string {
			at, path, name, err := s.parseProject(address)
			if err != nil {
				return address
			}
			return projectAddress(at, path, name)
		},
		Target: &backend.TargetRole{
			State: gitLabState, Container: gitLabContainer, CheckName: checkGitLabName, Layout: flatLayout, Block: s.gitLabBlock, History: true,
			SplitState: func(address string) (container, name string, err error) {
				at, path, name, err := s.parseProject(address)
				if err == nil && name == "" {
					err = fmt.Errorf("%q names a project, not a state: write %s", projectAddress(at, path, ""), gitLabState)
				}
				return projectAddress(at, path, ""), name, err
			},
			CheckContainer: func(address string) error {
				at, path, name, err := s.parseProject(address)
				if err == nil && name != "" {
					err = fmt.Errorf("%q names one state: write %s, with a slash at the end", projectAddress(at, path, name), gitLabContainer)
				}
				return err
			},
			Address: func(container, name string) string {
				at, path, _, err := s.parseProject(container)
				if err != nil {
					return gitLabScheme + "://"
				}
				return projectAddress(at, path, name)
			},
			Open: func(_ context.Context, container string) (backend.Target, error) {
				p, _, err := s.project(container, true)
				if err != nil {
					return nil, err
				}
				return &target{server: p.server, container: p.path + "/", at: p.state, project: p}, nil
			},
		},
	}
}

// parseProject parses gitlab://HOST/PROJECT/[STATE]. name is "" for a project. A project is a
// path, or its ID.
func (s *servers) parseProject(address string) (at origin, path, name string, err error) {
	fail := func(err error) (origin, string, string, error) { return origin{}, "", "", err }
	scheme, rest, _ := strings.Cut(address, "://")
	where, query, hasQuery := strings.Cut(rest, "?")
	host, escaped, _ := strings.Cut(where, "/")
	if strings.Contains(host, "@") || s.connection.Passwords[address] != "" {
		return fail(errSecret("a gitlab:// address", "set GITLAB_TOKEN, or TF_HTTP_USERNAME and TF_HTTP_PASSWORD"))
	}
	if hasQuery && query != "" || strings.Contains(rest, "#") {
		return fail(errors.New("gitlab:// addresses have no parameters: write a question mark in a name as %3F, and a # as %23"))
	}
	if at, err = parseOrigin(address, host, strings.EqualFold(scheme, gitLabPlain)); err != nil {
		return fail(err)
	}
	container, searches := strings.CutSuffix(escaped, "/")
	parts := strings.Split(container, "/")
	for i, part := range parts {
		if parts[i], err = url.PathUnescape(part); err != nil {
			return fail(errors.New("the path of the gitlab:// address is not percent-encoded correctly: write a percent sign as %25"))
		}
	}
	last := len(parts) - 1
	switch named := !searches && (last >= 2 || last == 1 && isNumber(parts[0])); {
	case named:
		path, name = strings.Join(parts[:last], "/"), parts[last]
	default:
		path = strings.Join(parts, "/")
	}
	if strings.Contains(path+"/", "//") || path == "" || !strings.Contains(path, "/") && !isNumber(path) {
		return fail(fmt.Errorf("a gitlab:// address names a project: write %s for all of its states, or %s", gitLabContainer, gitLabState))
	}
	if name != "" {
		if err := checkGitLabName(name); err != nil {
			return fail(fmt.Errorf("the gitlab:// address %w", err))
		}
	}
	return at, path, name, nil
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// projectAddress returns the address of a state in a project, or of the project itself.
func projectAddress(at origin, path, name string) string {
	var b strings.Builder
	b.WriteString(gitLabScheme)
	if at.scheme == "http" {
		b.WriteString("+http")
	}
	b.WriteString("://" + at.host + "/")
	backend.EscapeURL(&b, path, "-_.~/")
	b.WriteByte('/')
	backend.EscapeURL(&b, name, "-_.~")
	return b.String()
}

// checkGitLabName checks the name of a state (lib/api/terraform/state.rb). Its error continues
// a sentence.
func checkGitLabName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("names the state %q: give it a name", name)
	case len(name) > 255:
		return fmt.Errorf("names a state with %d characters: use at most 255", len(name))
	case strings.ContainsAny(name, "\r\n\x00"):
		return fmt.Errorf("names the state %q: use a name without line breaks", name)
	}
	return nil
}

// A project is a project in GitLab.
type project struct {
	server *server
	path   string // or the ID
}

func (s *servers) project(address string, target bool) (*project, string, error) {
	at, path, name, err := s.parseProject(address)
	if err != nil {
		return nil, "", err
	}
	srv, err := s.server(at, true, target)
	if err != nil {
		return nil, "", err
	}
	return &project{srv, path}, name, nil
}

func (p *project) address(name string) string { return projectAddress(p.server.origin, p.path, name) }

// url returns the URL of a state, or of what is below it.
func (p *project) url(name string, below ...string) *url.URL {
	parts := append([]string{"projects", p.path, "terraform", "state", name}, below...)
	u := &url.URL{Scheme: p.server.scheme, Host: p.server.host, Path: "/api/v4", RawPath: "/api/v4"}
	for _, part := range parts {
		u.Path += "/" + part
		u.RawPath += "/" + url.PathEscape(part)
	}
	return u
}

// version returns the URL of a version.
func (p *project) version(s *state, serial int64) *url.URL {
	return p.url(s.name, "versions", strconv.FormatInt(serial, 10))
}

// state returns the state with a name.
func (p *project) state(name string) *state {
	root := p.path[strings.LastIndex(p.path, "/")+1:]
	return &state{
		server: p.server, address: p.address(name), name: name, project: p,
		url: p.url(name), update: http.MethodPost, lock: p.url(name, "lock"), unlock: p.url(name, "lock"), lockMethod: http.MethodPost, unlockMethod: http.MethodDelete,
		place: backend.Place{Base: strings.TrimSuffix(name, backend.StateExt), Key: name, Workspace: backend.DefaultWorkspace, Root: root, Searched: root},
	}
}

// States implements backend.Backend. Includes and excludes are about names.
func (p *project) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	l := &backend.Listing{}
	for r, err := range p.records(ctx) {
		if err != nil {
			return nil, err
		}
		if r.LatestVersion != nil && f.TakesName(r.Name) {
			l.States = append(l.States, p.state(r.Name).asSource())
		}
	}
	l.Sort()
	if len(l.States) == 0 {
		return l, &backend.NoMatchError{Address: p.address(""), Include: f.Include, Exclude: f.Exclude, Names: true}
	}
	return l, nil
}

// A record is what GitLab's GraphQL API says about a state (types/terraform/state_type.rb).
type record struct {
	Name         string
	LockedAt     *time.Time
	LockedByUser *struct{ Username string }
	// LatestVersion is nil if nothing is stored. A lock creates a record, too.
	LatestVersion *struct {
		Serial    int64
		CreatedAt time.Time
	}
}

const recordFields = "name lockedAt lockedByUser{username} latestVersion{serial createdAt}"

// records lists the records of the project, page by page.
func (p *project) records(ctx context.Context) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		r := request{doing: "list", address: p.address("")}
		path, err := p.fullPath(ctx, r)
		if err != nil {
			yield(nil, err)
			return
		}
		seen, after := map[string]bool{}, ""
		for {
			var data struct {
				Project *struct {
					TerraformStates struct {
						Nodes    []*record
						PageInfo struct {
							HasNextPage bool
							EndCursor   string
						}
					}
				}
			}
			variables := map[string]any{"path": path, "first": 100, "after": nil}
			if after != "" {
				variables["after"] = after
			}
			const query = "query($path:ID!,$first:Int,$after:String){project(fullPath:$path){terraformStates(first:$first,after:$after){nodes{" + recordFields + "}pageInfo{hasNextPage endCursor}}}}"
			if err := p.server.query(ctx, r, query, variables, &data); err != nil {
				yield(nil, err)
				return
			}
			if data.Project == nil {
				yield(nil, p.missing(r))
				return
			}
			page := &data.Project.TerraformStates
			for _, found := range page.Nodes {
				if found == nil || found.Name == "" || seen[found.Name] {
					// An incomplete listing that is taken for a complete one would lose states.
					yield(nil, p.server.explain(ctx, r, &unreadableAnswer{"the listing repeats states, so it may be incomplete"}))
					return
				}
				seen[found.Name] = true
				if !yield(found, nil) {
					return
				}
			}
			if !page.PageInfo.HasNextPage {
				return
			}
			if len(page.Nodes) == 0 || page.PageInfo.EndCursor == "" || page.PageInfo.EndCursor == after {
				yield(nil, p.server.explain(ctx, r, &unreadableAnswer{"GitLab reports more states, but not where they begin"}))
				return
			}
			after = page.PageInfo.EndCursor
		}
	}
}

// missing returns the error for a project that GitLab does not show.
func (p *project) missing(r request) error {
	const why = "GitLab has no such project, or the token cannot see it: check the name, and that the token's user is a member"
	return &backend.Error{Address: r.address, Code: backend.NoContainer, Answer: why, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.address, why)}
}

// record returns the record of a state, or nil.
func (p *project) record(ctx context.Context, s *state) (*record, error) {
	r := s.request("look at")
	path, err := p.fullPath(ctx, r)
	if err != nil {
		return nil, err
	}
	var data struct {
		Project *struct{ TerraformState *record }
	}
	const query = "query($path:ID!,$name:String!){project(fullPath:$path){terraformState(name:$name){" + recordFields + "}}}"
	err = p.server.query(ctx, r, query, map[string]any{"path": path, "name": s.name}, &data)
	switch {
	case err != nil:
		return nil, err
	case data.Project == nil:
		return nil, p.missing(r)
	case data.Project.TerraformState != nil && data.Project.TerraformState.Name != s.name:
		return nil, p.server.explain(ctx, r, &unreadableAnswer{"the response is about another state"})
	}
	return data.Project.TerraformState, nil
}

// paths caches the paths of projects that addresses name by their IDs: the GraphQL API knows a
// project by its path.
type paths struct {
	mu    sync.Mutex
	known map[string]string
}

// fullPath returns the path of the project.
func (p *project) fullPath(ctx context.Context, r request) (string, error) {
	if !isNumber(p.path) {
		return p.path, nil
	}
	cache := &p.server.paths
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if known := cache.known[p.path]; known != "" {
		return known, nil
	}
	var data struct {
		Projects struct{ Nodes []struct{ FullPath string } }
	}
	err := p.server.query(ctx, r, "query($ids:[ID!]){projects(ids:$ids){nodes{fullPath}}}", map[string]any{"ids": []string{"gid://gitlab/Project/" + p.path}}, &data)
	if err != nil {
		return "", err
	}
	if len(data.Projects.Nodes) != 1 {
		return "", p.missing(r)
	}
	if cache.known == nil {
		cache.known = map[string]string{}
	}
	cache.known[p.path] = data.Projects.Nodes[0].FullPath
	return cache.known[p.path], nil
}

// removal says how to unlock a state by hand: GitLab shows no ID for terraform force-unlock.
const removal = "unlock it in GitLab (the project's Operate > Terraform states)"

// visibleLock returns the lock that GitLab shows. A job token cannot see it.
func (s *state) visibleLock(ctx context.Context) (*backend.Lock, error) {
	if s.server.credentials.job() {
		return nil, nil
	}
	found, err := s.project.record(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether the state is locked: %w", err)
	}
	return s.lockIn(found), nil
}

func (s *state) lockIn(found *record) *backend.Lock {
	if found == nil || found.LockedAt == nil {
		return nil
	}
	lock := &backend.Lock{Path: s.lock.String(), Created: *found.LockedAt, Removal: removal}
	if found.LockedByUser != nil {
		lock.Who = found.LockedByUser.Username
	}
	return lock
}

// versioned is a state in GitLab, which keeps older versions.
type versioned struct{ lockable }

// maxGap is how many serials in a row may be missing. GitLab does not list versions, so each
// serial is tried, downwards.
const maxGap = 100

// Versions implements backend.Historic.
func (s *versioned) Versions(ctx context.Context) iter.Seq2[*backend.Version, error] {
	return s.versions(ctx)
}

// versions lists the versions of a state in GitLab, newest first.
func (s *state) versions(ctx context.Context) iter.Seq2[*backend.Version, error] {
	return func(yield func(*backend.Version, error) bool) {
		current, err := s.current(ctx)
		if err != nil || current == nil {
			if err != nil {
				yield(nil, err)
			}
			return
		}
		if !yield(current, nil) {
			return
		}
		gap := 0
		for serial := current.Serial - 1; serial >= 0 && gap < maxGap; serial-- {
			v, err := s.numbered(ctx, serial)
			switch {
			case err != nil:
				yield(nil, err)
				return
			case v == nil:
				gap++
				continue
			}
			if gap = 0; !yield(v, nil) {
				return
			}
		}
		if gap == maxGap {
			s.server.logger.Warn(fmt.Sprintf("%s has no versions with the %d serials before %d, so older ones were not searched for", s.address, maxGap, current.Serial))
		}
	}
}

// numbered returns the version with a serial, or nil.
func (s *state) numbered(ctx context.Context, serial int64) (*backend.Version, error) {
	r := s.request("read a version of")
	r.url = s.project.version(s, serial)
	in, err := s.open(ctx, r, "")
	if in == nil || err != nil {
		return nil, err
	}
	_ = in.Close() // not read
	if in.serial >= 0 && in.serial != serial {
		return nil, s.server.explain(ctx, r, &unreadableAnswer{"GitLab sent another version than requested"})
	}
	v := in.version(s)
	v.ID, v.Serial, v.Kept = s.versionID(serialPart, strconv.FormatInt(serial, 10)), serial, true
	return &v, nil
}
