package tfesim

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"tfhaul/tfesim/blobs"
)

// A stored is a record that is stored on disk.
type stored interface {
	place() (bucket, key string)
}

func (o *organization) place() (string, string) { return "organizations", o.Name }
func (p *project) place() (string, string)      { return "projects", p.ID }
func (w *workspace) place() (string, string)    { return "workspaces", w.ID }
func (v *stateVersion) place() (string, string) { return "state-versions", v.ID }
func (u *user) place() (string, string)         { return "users", u.ID }
func (t *team) place() (string, string)         { return "teams", t.ID }
func (a *asset) place() (string, string)        { return "assets", a.ID }
func (t *token) place() (string, string)        { return "tokens", t.Secret }

// A change is a record to write or, without a record, to remove.
type change struct {
	bucket, key string
	record      []byte
}

// put marks a record as changed; commit writes it.
func (s *Server) put(r stored) {
	bucket, key := r.place()
	s.putRecord(bucket, key, r)
}

func (s *Server) putRecord(bucket, key string, record any) {
	if s.store == nil {
		return
	}
	b, err := json.Marshal(record)
	if err != nil {
		panic(err) // records are plain data
	}
	s.changes = append(s.changes, change{bucket, key, b})
}

// drop marks a record as removed.
func (s *Server) drop(r stored) {
	bucket, key := r.place()
	s.dropRecord(bucket, key)
}

func (s *Server) dropRecord(bucket, key string) {
	if s.store == nil {
		return
	}
	s.changes = append(s.changes, change{bucket, key, nil})
}

// discard marks bytes that no record will refer to once the pending changes are on disk.
func (s *Server) discard(gone ...*blobs.Blob) {
	s.garbage = append(s.garbage, gone...)
}

// commit queues the pending changes, in the order of the requests that made them, and
// returns a function that waits until they are on disk. It is called with mu held; the
// function is not.
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
			s.options.Logger.Warn("cannot write to the folder", "error", err)
			return err
		}
		s.removeBlobs(garbage...)
		return nil
	}
}

// do calls f while no request reads or changes anything, and returns once f's changes are
// on disk.
func (s *Server) do(f func()) error {
	s.mu.Lock()
	f()
	wait := s.commit()
	s.mu.Unlock()
	return wait()
}

// open opens Options.Data and its blobs, or prepares to keep everything in memory.
func (s *Server) open() error {
	if s.options.Data == "" {
		s.blobs = blobs.InMemory()
		s.signer = newSigner()
		return nil
	}
	var err error
	if s.store, err = openStore(s.options.Data); err != nil {
		return err
	}
	if s.blobs, err = blobs.InFolder(filepath.Join(s.options.Data, "blobs")); err == nil {
		s.signer, err = s.store.signer()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("tfesim: loading the folder %s: %w", s.options.Data, err), s.closeStore())
	}
	return nil
}

func newSigner() blobs.Signer {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}
