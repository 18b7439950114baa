package http

import (
	"context"
	"net/http"

	"tfhaul/backend"
)

// block returns the block of Terraform's http backend for a state.
func (s *servers) block(_ context.Context, container, name string) (*backend.Block, error) {
	l, err := s.parse(container)
	if err != nil {
		return nil, err
	}
	srv, err := s.server(l.origin, false, true)
	if err != nil {
		return nil, err
	}
	return srv.state(l.below(name)).block(), nil
}

func (s *servers) gitLabBlock(_ context.Context, container, name string) (*backend.Block, error) {
	p, _, err := s.project(container, true)
	if err != nil {
		return nil, err
	}
	return p.state(name).block(), nil
}

func (s *state) block() *backend.Block {
	b := &backend.Block{Type: "http"}
	add := func(name, value, standard string) {
		if value != standard {
			b.Arguments = append(b.Arguments, backend.Argument{Name: name, Value: value})
		}
	}
	add("address", s.url.String(), "")
	add("update_method", s.update, http.MethodPost)
	if s.lock != nil {
		add("lock_address", s.lock.String(), "")
		add("lock_method", s.lockMethod, defaults[paramLockMethod])
		add("unlock_address", s.unlock.String(), "")
		add("unlock_method", s.unlockMethod, defaults[paramUnlockMethod])
	}
	if c := &s.server.credentials; c.password != "" {
		note := "The user name and the password come from TF_HTTP_USERNAME and TF_HTTP_PASSWORD: do not write them into the configuration."
		if c.variable != passwordVariable {
			note = "Terraform needs the token of " + c.variable + " in TF_HTTP_PASSWORD, and a user name in TF_HTTP_USERNAME"
			if c.job() {
				note += ", which is " + jobUser + " for a job token"
			}
			note += ": do not write them into the configuration."
		}
		b.Notes = append(b.Notes, note)
	}
	return b
}
