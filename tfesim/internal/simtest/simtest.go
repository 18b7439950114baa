// Package simtest starts a tfesim.Server for the tests of tfesim and tfesim/runs, and makes requests
// to it.
package simtest

import (
	"io"
	"net/http"
	"strings"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
)

// A Sim is a server that listens on a loopback address.
type Sim struct {
	*tfesim.Server
	Running *tfesim.Running
}

// Start runs a server until the test ends.
func Start(t testing.TB, o tfesim.Options) *Sim {
	t.Helper()
	s, err := tfesim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return &Sim{s, r}
}

// As returns a go-tfe client with the token of an identity.
func (s *Sim) As(t testing.TB, id tfesim.Identity) *tfe.Client {
	t.Helper()
	return s.WithToken(t, s.Token(id))
}

// WithToken returns a go-tfe client with a token.
func (s *Sim) WithToken(t testing.TB, token string) *tfe.Client {
	t.Helper()
	client := s.Running.Client()
	t.Cleanup(client.CloseIdleConnections)
	c, err := tfe.NewClient(&tfe.Config{Address: s.Running.URL(), Token: token, HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Send makes a request with the token of an identity, or without one for "", and returns the status,
// the headers and the body of the answer.
func (s *Sim) Send(t testing.TB, id tfesim.Identity, method, path, body string) (int, http.Header, string) {
	t.Helper()
	address := path
	if !strings.HasPrefix(path, "https://") {
		address = s.Running.URL() + "/api/v2" + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token(id))
	}
	req.Header.Set("Content-Type", "application/vnd.api+json")
	client := s.Running.Client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}
