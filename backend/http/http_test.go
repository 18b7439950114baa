package http

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
	"tfhaul/fixtures/gitlab"
)

// The real terraform is in e2e/gitlab.

const (
	token = "glpat-of-the-test"
	group = "acme/infra"
)

// environ is an environment with credentials and nothing of this machine.
func environ(more ...string) []string {
	return append([]string{"TF_HTTP_USERNAME=ann", "TF_HTTP_PASSWORD=" + token}, more...)
}

func kinds(more ...string) backend.Kinds {
	other, gitLab := Kinds(backend.Connection{Environ: environ(more...)})
	return backend.Kinds{other, gitLab}
}

// serve serves a handler on loopback and returns its host and port.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// startGitLab serves a GitLab with one project, and returns the project's address.
func startGitLab(t *testing.T, s *gitlab.Server) string {
	t.Helper()
	s.AddProject(group)
	s.AddToken(token, gitlab.Token{User: "ann", Role: gitlab.Maintainer})
	return "gitlab+http://" + serve(t, s) + "/" + group + "/"
}

// A form is how servers other than GitLab lock.
type form struct {
	name, query string
	server      func() *gitlab.Plain
}

var forms = []form{
	{"at the state's address", "?lock-address={name}", func() *gitlab.Plain { return &gitlab.Plain{} }},
	{"as in Gitea", "?lock-address={name}/lock&lock-method=POST&unlock-method=DELETE", gitea},
	{"without digests", "?lock-address={name}&update-method=PUT", func() *gitlab.Plain { return &gitlab.Plain{NoDigest: true} }},
}

// gitea returns a server with the addresses of Gitea's Terraform state registry
// (https://docs.gitea.com/usage/packages/terraform).
func gitea() *gitlab.Plain {
	return &gitlab.Plain{LockSuffix: "/lock", LockMethod: http.MethodPost, UnlockMethod: http.MethodDelete}
}

// startPlain serves another server, and returns the address of a container there.
func startPlain(t *testing.T, s *gitlab.Plain, query string) string {
	t.Helper()
	s.User, s.Password = "ann", token
	return plain + "://" + serve(t, s) + "/states/" + query
}

func openTarget(t *testing.T, address string, more ...string) backend.Target {
	t.Helper()
	kind, err := kinds(more...).Target(address)
	if err != nil {
		t.Fatal(err)
	}
	target, err := kind.Target.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

func TestGitLabIsABackend(t *testing.T) {
	_, gitLab := Kinds(backend.Connection{Environ: append(environ(), "TF_HTTP_PASSWORD=", "GITLAB_TOKEN="+token)})
	n := 0
	s := &gitlab.Server{PageSize: 2}
	s.AddToken(token, gitlab.Token{User: "ann", Role: gitlab.Maintainer})
	host := serve(t, s)
	backendtest.Named(t, gitLab, func(t *testing.T, files map[string][]byte) (string, func(string, []byte)) {
		n++
		project := fmt.Sprintf("acme/infra%d", n)
		s.AddProject(project)
		put := func(name string, data []byte) {
			if data == nil {
				s.Delete(project, name)
				return
			}
			s.Put(project, name, serialIn(data), data)
		}
		for name, data := range files {
			put(name, data)
		}
		return "gitlab+http://" + host + "/" + project + "/", put
	})
}

func TestGitLabIsATarget(t *testing.T) {
	backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
		return openTarget(t, startGitLab(t, &gitlab.Server{})), "network-prod"
	})
}

func TestAJobsTokenIsEnoughForATarget(t *testing.T) {
	s := &gitlab.Server{}
	s.AddProject(group)
	s.AddToken("job-token", gitlab.Token{User: "ann", Role: gitlab.Maintainer, Job: true})
	host := serve(t, s)
	other, gitLab := Kinds(backend.Connection{Environ: []string{"CI_JOB_TOKEN=job-token", "CI_SERVER_URL=http://" + host}})
	for _, kind := range []backend.Kind{other, gitLab} {
		if kind.Scheme != gitLabScheme {
			continue
		}
		target, err := kind.Target.Open(t.Context(), "gitlab+http://"+host+"/"+group+"/")
		if err != nil {
			t.Fatal(err)
		}
		move(t, target, "network", stateText(1))
		if got := s.Current(group, "network"); string(got) != stateText(1) {
			t.Errorf("it holds %q", got)
		}
		standing, err := target.Look(t.Context(), "network")
		if err != nil || !standing.LockUnknown {
			t.Errorf("%+v, %v", standing, err)
		}
	}
}

func TestOtherServersAreTargets(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			backendtest.Target(t, func(t *testing.T) (backend.Target, string) {
				server := form.server()
				return lookable{openTarget(t, startPlain(t, server, form.query)), server}, "network-prod"
			})
		})
	}
}

// A lookable target reports what the protocol does not: whether a state is locked.
type lookable struct {
	backend.Target
	server *gitlab.Plain
}

func (l lookable) Look(ctx context.Context, name string) (*backend.Standing, error) {
	s, err := l.Target.Look(ctx, name)
	if err == nil && s.LockUnknown {
		s.Locked = l.server.LockOf("/states/"+name) != nil
	}
	return s, err
}

func TestHowTheKindsAreTargets(t *testing.T) {
	_, gitLab := Kinds(backend.Connection{Environ: environ()})
	other, _ := Kinds(backend.Connection{Environ: environ()})
	backendtest.Role(t, gitLab, "gitlab://gitlab.example.com/acme/infra/network", "gitlab://gitlab.example.com/acme/infra/")
	backendtest.Role(t, other, "http+https://state.example.com/live/network?lock-address={name}", "http+https://state.example.com/live/?lock-address={name}")
}

const lineage = "8a3c4b52-9f7d-4f25-9d80-0b6c2f6f7a11"

// stateText returns a state with this serial.
func stateText(serial int) string {
	return `{"version":4,"terraform_version":"1.11.4","serial":` + serialText(int64(serial)) + `,"lineage":"` + lineage + `","outputs":{},"resources":[]}`
}

func sumOf(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// toWrite returns what to write under a lease that the test holds itself.
func toWrite(serial int, text string) backend.Write {
	return backend.Write{
		Sending: func(context.Context) error { return nil }, Serial: int64(serial), Lineage: lineage, MD5: sumOf(text), Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

func always(context.Context) error { return nil }

func writerOf(t *testing.T, target backend.Target, name string) *writer {
	t.Helper()
	standing, err := target.Look(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return target.Writer(standing, backend.WriterOptions{Reason: "a test works here"}).(*writer)
}

// locked returns a writer that holds the lock.
func locked(t *testing.T, target backend.Target, name string) *writer {
	t.Helper()
	w := writerOf(t, target, name)
	if err := w.Lock(t.Context(), always); err != nil {
		t.Fatal(err)
	}
	return w
}

// move locks, writes and unlocks.
func move(t *testing.T, target backend.Target, name, text string) {
	t.Helper()
	w := locked(t, target, name)
	serial := serialIn([]byte(text))
	if _, err := w.Write(t.Context(), toWrite(int(serial), text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Unlock(t.Context(), always); err != nil {
		t.Fatal(err)
	}
}

// find returns the only state that an address names.
func find(t *testing.T, address string, more ...string) backend.State {
	t.Helper()
	listing, err := kinds(more...).Find(t.Context(), address, backend.Filter{})
	if err != nil || len(listing.States) != 1 {
		t.Fatalf("%s: %+v, %v", address, listing, err)
	}
	return listing.States[0]
}

// read reads a version, or the current one.
func read(t *testing.T, s backend.State, v *backend.Version) (string, backend.Version, error) {
	t.Helper()
	in, got, err := s.Open(t.Context(), v)
	if err != nil {
		return "", got, err
	}
	defer func() { _ = in.Close() }() // only read
	text, err := io.ReadAll(in)
	got.MD5 = sumOf(string(text))
	return string(text), got, err
}
