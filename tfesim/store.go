package tfesim

import (
	"crypto/rand"
	"encoding/json"

	"tfhaul/tfesim/blobs"
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
func (a *asset) place() (string, string)        { return "assets", a.ID }
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

// discard notes that no record will hold the bytes any more once the noted changes are on
// disk.
func (s *Server) discard(gone ...*blobs.Blob) {
	s.garbage = append(s.garbage, gone...)
}

// commit hands the noted changes over, in the order of the requests that made them, and
// returns what waits until they are on disk. It is called with mu held; the wait is not.
func (s *Server) commit() (wait func() error) {
	garbage := s.garbage
	s.garbage = nil
	written := func() error { return nil }
	if len(s.changes) > 0 {
		written = s.store.write(s.changes)
		s.changes = nil
	}
	return func() error {
		if err := written(); err != nil {
			s.warn("the folder could not be written", err)
			return err
		}
		s.removeBlobs(garbage...)
		return nil
	}
}

// do calls f while no request reads or changes anything, and returns once what f changed is on
// disk.
func (s *Server) do(f func()) error {
	s.mu.Lock()
	f()
	wait := s.commit()
	s.mu.Unlock()
	return wait()
}

// open prepares the blobs and, with Options.Data, loads what was kept.
func (s *Server) open() error {
	if s.options.Data == "" {
		s.blobs = blobs.InMemory()
		s.signer = make([]byte, 32)
		rand.Read(s.signer)
		return nil
	}
	return s.load()
}
