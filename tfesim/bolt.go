package tfesim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/runs"
)

// A store keeps the records in a bbolt file. Concurrent changes share one write to disk.
type store struct {
	db *bolt.DB

	mu     sync.Mutex
	next   *batch // the next batch
	failed error
	wake   chan struct{}
	ended  chan struct{}
}

// A batch is written in one transaction.
type batch struct {
	changes []change
	done    chan struct{}
	err     error
}

var buckets = append([]string{"organizations", "projects", "workspaces", "state-versions", "users", "teams", "assets", "tokens", "server"}, runs.Buckets...)

func openStore(folder string) (*store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	db, err := bolt.Open(filepath.Join(folder, "tfesim.db"), 0o600, &bolt.Options{Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("tfesim: the folder %s is in use by another server", folder)
	}
	if err != nil {
		return nil, fmt.Errorf("tfesim: opening the folder %s: %w", folder, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &store{db: db, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go s.run()
	return s, nil
}

// write queues changes and returns a function that waits until they are on disk.
func (s *store) write(changes []change) (wait func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		err := s.failed
		return func() error { return err }
	}
	if s.next == nil {
		s.next = &batch{done: make(chan struct{})}
	}
	b := s.next
	b.changes = append(b.changes, changes...)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return func() error {
		<-b.done
		return b.err
	}
}

// run writes one batch after another until close.
func (s *store) run() {
	defer close(s.ended)
	for range s.wake {
		s.mu.Lock()
		b := s.next
		s.next = nil
		s.mu.Unlock()
		if b == nil {
			continue
		}
		if b.err = s.commit(b.changes); b.err != nil {
			s.mu.Lock()
			s.failed = b.err
			s.mu.Unlock()
		}
		close(b.done)
	}
}

func (s *store) commit(changes []change) error {
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	if failed != nil {
		return failed
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, c := range changes {
			b := tx.Bucket([]byte(c.bucket))
			var err error
			if c.record == nil {
				err = b.Delete([]byte(c.key))
			} else {
				err = b.Put([]byte(c.key), c.record)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// broken reports whether a write has failed. What is in memory is then ahead of the disk,
// so the server must not answer from it any more.
func (s *store) broken() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed != nil
}

var errClosed = errors.New("tfesim: the server is closed")

func (s *store) close() error {
	s.mu.Lock()
	if s.failed == errClosed {
		s.mu.Unlock()
		return nil
	}
	s.failed = errClosed
	last := s.next
	s.next = nil
	close(s.wake)
	s.mu.Unlock()
	<-s.ended
	if last != nil {
		last.err = errClosed
		close(last.done)
	}
	return s.db.Close()
}

func (s *Server) closeStore() error {
	if s.store == nil {
		return nil
	}
	return s.store.close()
}

// signer reads the key for blob URLs, or creates it.
func (s *store) signer() (key blobs.Signer, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		key = slices.Clone(tx.Bucket([]byte("server")).Get([]byte("secret")))
		return nil
	})
	if key == nil && err == nil {
		key = newSigner()
		err = s.commit([]change{{"server", "secret", key}})
	}
	return key, err
}

// load reads all records in Options.Data, and deletes the blobs that no record refers to.
func (s *Server) load() error {
	if s.store == nil {
		return nil
	}
	err := s.store.db.View(s.loadRecords)
	if err == nil {
		err = s.link()
	}
	if err == nil {
		err = s.dropOrphans(s.blobs.(*blobs.Folder))
	}
	if err != nil {
		return fmt.Errorf("tfesim: loading the folder %s: %w", s.options.Data, err)
	}
	return nil
}

func (s *Server) loadRecords(tx *bolt.Tx) error {
	err := errors.Join(
		loadBucket(tx, "organizations", s.organizations),
		loadBucket(tx, "projects", s.projects),
		loadBucket(tx, "workspaces", s.workspaces),
		loadBucket(tx, "state-versions", s.versions),
		loadBucket(tx, "users", s.users),
		loadBucket(tx, "teams", s.teams),
		loadBucket(tx, "assets", s.assets),
		loadBucket(tx, "tokens", s.tokens),
	)
	for _, bucket := range runs.Buckets {
		err = errors.Join(err, tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error {
			return s.runs.Load(bucket, string(k), v)
		}))
	}
	return err
}

func loadBucket[T any](tx *bolt.Tx, bucket string, into map[string]*T) error {
	return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error {
		record := new(T)
		if err := json.Unmarshal(v, record); err != nil {
			return fmt.Errorf("a record of kind %q: %w", bucket, err)
		}
		into[string(k)] = record
		return nil
	})
}

// link restores what is derived from the records.
func (s *Server) link() error {
	for name := range s.organizations {
		s.byName[name] = map[string]*workspace{}
	}
	for _, w := range s.workspaces {
		if s.byName[w.Org] == nil {
			return fmt.Errorf("the workspace %s has no organization", w.ID)
		}
		s.byName[w.Org][strings.ToLower(w.Name)] = w
	}
	for _, v := range s.versions {
		w := s.workspaces[v.Workspace]
		if w == nil {
			return fmt.Errorf("the state version %s has no workspace", v.ID)
		}
		w.versions = append(w.versions, v)
		s.sequence = max(s.sequence, v.Sequence)
	}
	for _, w := range s.workspaces {
		slices.SortFunc(w.versions, func(a, b *stateVersion) int { return int(a.Sequence) - int(b.Sequence) })
	}
	return nil
}

// dropOrphans removes blobs whose record was never acknowledged.
func (s *Server) dropOrphans(files *blobs.Folder) error {
	held := map[string]bool{}
	for _, v := range s.versions {
		for _, b := range []*blobs.Blob{v.State, v.JSON, v.Outputs} {
			if b != nil {
				held[b.ID] = true
			}
		}
	}
	for _, b := range s.runs.Blobs() {
		if b != nil {
			held[b.ID] = true
		}
	}
	names, err := files.IDs()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !held[name] {
			if err := files.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}
