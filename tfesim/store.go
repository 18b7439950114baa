package tfesim

import (
	"crypto/rand"
	"encoding/json"
)

// A stored is a record that is kept on disk.
type stored interface {
	place() (bucket, key string)
}

func (o *organization) place() (string, string) { return "organizations", o.Name }
func (p *project) place() (string, string)      { return "projects", p.ID }
func (w *workspace) place() (string, string)    { return "workspaces", w.ID }
func (v *stateVersion) place() (string, string) { return "state-versions", v.ID }
func (u *user) place() (string, string)         { return "users", u.ID }
func (t *team) place() (string, string)         { return "teams", t.ID }
func (r *run) place() (string, string)          { return "runs", r.ID }
func (t *token) place() (string, string)        { return "tokens", t.Secret }

// A change is one record to be written, or, without a record, removed.
type change struct {
	bucket, key string
	record      []byte
}

// put notes that a record has changed; commit writes it.
func (s *Server) put(r stored) {
	if s.store == nil {
		return
	}
	bucket, key := r.place()
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // records are plain data
	}
	s.changes = append(s.changes, change{bucket, key, b})
}

// drop notes that a record is gone.
func (s *Server) drop(r stored) {
	if s.store == nil {
		return
	}
	bucket, key := r.place()
	s.changes = append(s.changes, change{bucket, key, nil})
}

// commit hands the noted changes over, in the order of the requests that made them, and
// returns what waits until they are on disk. It is called with mu held; the wait is not.
func (s *Server) commit() (wait func() error) {
	if s.store == nil || len(s.changes) == 0 {
		return func() error { return nil }
	}
	changes := s.changes
	s.changes = nil
	return s.store.write(changes)
}

// open prepares the blobs and, with Options.Data, loads what was kept.
func (s *Server) open() error {
	if s.options.Data == "" {
		s.blobs = newMemoryBlobs()
		s.secret = make([]byte, 32)
		rand.Read(s.secret)
		return nil
	}
	return s.load()
}
