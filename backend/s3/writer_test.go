package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/lockwait"
)

const statePath = "/acme/a.tfstate"

// A move is one use of a target, as package migrate makes it.
type move struct {
	t      *testing.T
	target backend.Target
	writer backend.Writer
	lease  *lockwait.Lease
	was    *backend.Version
}

// startMove looks at an object on a server, which is a new target each time.
func startMove(t *testing.T, server http.Handler, params string, o backend.WriterOptions) *move {
	t.Helper()
	at := httptest.NewServer(server)
	t.Cleanup(at.Close)
	target, err := Kind(backend.Connection{}).Target.Open(t.Context(), "s3://acme/?path-style=true&endpoint="+at.URL+params)
	if err != nil {
		t.Fatal(err)
	}
	s, err := target.Look(t.Context(), "a.tfstate")
	if err != nil {
		t.Fatal(err)
	}
	o.Reason = "a test works here"
	m := &move{t: t, target: target, writer: target.Writer(s, o)}
	if m.was, err = target.Current(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *move) lock() (err error) {
	m.lease, err = lockwait.Acquire(m.t.Context(), m.writer, lockwait.Options{})
	return err
}

func (m *move) mustLock() {
	m.t.Helper()
	if err := m.lock(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *move) write(text string) (*backend.Version, error) {
	sum := md5.Sum([]byte(text))
	return m.writer.Write(m.t.Context(), backend.Write{
		Lease: m.lease, Sending: func(context.Context) error { return nil }, Was: m.was, MD5: hex.EncodeToString(sum[:]), Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	})
}

func (m *move) release() {
	m.t.Helper()
	if err := m.lease.Release(m.t.Context()); err != nil {
		m.t.Error(err)
	}
}

// onPut makes a server treat writes of one object in another way.
func (s *oneObject) onPut(path string, how func(w http.ResponseWriter, r *http.Request, then func()) bool) *oneObject {
	s.fail = func(w http.ResponseWriter, r *http.Request, then func()) bool {
		return r.Method == http.MethodPut && r.URL.Path == path && how(w, r, then)
	}
	return s
}

// Without conditions, nothing would prevent overwriting what was not seen.
func TestAServerWithoutConditionsIsRefused(t *testing.T) {
	awsEnvironment(t)
	for name, how := range map[string]func(w http.ResponseWriter, r *http.Request, then func()) bool{
		"ignored": func(_ http.ResponseWriter, r *http.Request, _ func()) bool {
			r.Header.Del("If-None-Match")
			r.Header.Del("If-Match")
			return false
		},
		"only If-None-Match": func(_ http.ResponseWriter, r *http.Request, _ func()) bool {
			r.Header.Del("If-Match")
			return false
		},
		"not implemented": func(w http.ResponseWriter, r *http.Request, _ func()) bool {
			refuse(w, http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented")
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := newOneObject().onPut(lockPath, how)
			if err := startMove(t, server, "", backend.WriterOptions{}).lock(); err == nil || !strings.Contains(err.Error(), "conditional writes") {
				t.Errorf("error %v", err)
			}
			if len(server.objects) != 1 || server.objects[statePath] != "{}" {
				t.Errorf("the server holds %q", server.objects)
			}
		})
	}
}

// After a lost response the same write may be repeated: it does not take effect twice, and
// our own bytes are recognized.
func TestAWriteWithALostResponse(t *testing.T) {
	awsEnvironment(t)
	for name, stored := range map[string]bool{"stored": true, "not stored": false} {
		t.Run(name, func(t *testing.T) {
			lost := false
			server := newOneObject().onPut(statePath, func(w http.ResponseWriter, _ *http.Request, then func()) bool {
				if lost {
					return false
				}
				lost = true
				if stored {
					then()
				}
				hangUp(w)
				return true
			})
			m := startMove(t, server, "", backend.WriterOptions{})
			m.mustLock()
			if _, err := m.write("ours"); backend.CodeOf(err) != backend.Ambiguous {
				t.Fatalf("error %v, want the code %s", err, backend.Ambiguous)
			}
			v, err := m.write("ours")
			if err != nil {
				t.Fatal(err)
			}
			if now, err := m.target.Version(t.Context(), v.ID); err != nil || now.ID != v.ID {
				t.Errorf("the version reads as %+v, %v", now, err)
			}
			m.release()
			if len(server.objects) != 1 || server.objects[statePath] != "ours" {
				t.Errorf("the server holds %q", server.objects)
			}
		})
	}
}

// A write whose response was lost, and that another program has overwritten since, is not
// repeated.
func TestALostWriteIsNotRepeatedOverAnother(t *testing.T) {
	awsEnvironment(t)
	var server *oneObject
	server = newOneObject().onPut(statePath, func(w http.ResponseWriter, _ *http.Request, then func()) bool {
		then()
		server.objects[statePath] = "theirs"
		hangUp(w)
		return true
	})
	m := startMove(t, server, "", backend.WriterOptions{})
	m.mustLock()
	if _, err := m.write("ours"); backend.CodeOf(err) != backend.Ambiguous {
		t.Fatalf("error %v, want the code %s", err, backend.Ambiguous)
	}
	server.recover()
	if _, err := m.write("ours"); backend.CodeOf(err) != backend.Changed {
		t.Errorf("error %v, want the code %s", err, backend.Changed)
	}
	m.release()
	if got := server.object(statePath); got != "theirs" {
		t.Errorf("the server holds %q", got)
	}
}

func TestHowAStateIsWritten(t *testing.T) {
	const sse, key = "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
	awsEnvironment(t)
	for _, tt := range []struct{ name, params, sse, key string }{
		{"like the object that it replaces", "", "aws:kms", "alias/theirs"},
		{"with the bucket's KMS key", "&sse=aws:kms", "aws:kms", ""},
		{"with a KMS key", "&kms-key-id=alias/ours", "aws:kms", "alias/ours"},
		{"with a key of S3", "&sse=AES256", "AES256", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newOneObject()
			server.fail = func(w http.ResponseWriter, r *http.Request, _ func()) bool {
				if r.Method == http.MethodHead {
					w.Header().Set(sse, "aws:kms")
					w.Header().Set(key, "alias/theirs")
				}
				return false
			}
			m := startMove(t, server, tt.params, backend.WriterOptions{})
			m.mustLock()
			if _, err := m.write("ours"); err != nil {
				t.Fatal(err)
			}
			h, sum := server.headers[statePath], md5.Sum([]byte("ours"))
			if h.Get(sse) != tt.sse || h.Get(key) != tt.key {
				t.Errorf("encrypted with %q, %q", h.Get(sse), h.Get(key))
			}
			if lock := server.headers[lockPath]; tt.params != "" && (lock.Get(sse) != tt.sse || lock.Get(key) != tt.key) {
				t.Errorf("the lock is encrypted with %q, %q", lock.Get(sse), lock.Get(key))
			}
			if h.Get("Content-Type") != "application/json" || h.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]) {
				t.Errorf("sent with %q", h)
			}
			// Other servers do not understand these.
			for name := range h {
				if strings.HasPrefix(name, "X-Amz-Checksum") || strings.HasPrefix(name, "X-Amz-Sdk-Checksum") || name == "X-Amz-Trailer" || name == "Content-Encoding" {
					t.Errorf("sent with %s", name)
				}
			}
			m.release()
		})
	}
}

// A lock that an earlier process of the haul has left, or whose response it did not get, is
// ours. Any other program's is not.
func TestLocksOfEarlierProcesses(t *testing.T) {
	awsEnvironment(t)
	for name, o := range map[string]backend.WriterOptions{"inherited": {Inherited: true}, "a lost request": {Lost: 1}, "another's": {}} {
		t.Run(name, func(t *testing.T) {
			server := newOneObject()
			left := startMove(t, server, "", backend.WriterOptions{})
			left.mustLock()
			m := startMove(t, server, "", o)
			ours := o.Inherited || o.Lost > 0
			if o.Inherited {
				m.lease = lockwait.Resume(m.writer, nil, lockwait.Instant{})
			} else if err := m.lock(); (err == nil) != ours {
				t.Fatalf("error %v", err)
			}
			if !ours {
				if server.objects[lockPath] == "" {
					t.Error("the lock was removed")
				}
				return
			}
			if err := m.lease.Ensure(t.Context(), lockwait.MaxAge); err != nil {
				t.Fatal(err)
			}
			if _, err := m.write("ours"); err != nil {
				t.Fatal(err)
			}
			m.release()
			if len(server.objects) != 1 || server.objects[statePath] != "ours" {
				t.Errorf("the server holds %q", server.objects)
			}
		})
	}
}

// The last byte is sent only after all others were checked, so that S3 stores nothing else.
func TestNothingIsStoredIfReadingFails(t *testing.T) {
	awsEnvironment(t)
	server := newOneObject()
	m := startMove(t, server, "", backend.WriterOptions{})
	m.mustLock()
	sum := md5.Sum([]byte("ours"))
	_, err := m.writer.Write(t.Context(), backend.Write{
		Lease: m.lease, Sending: func(context.Context) error { return nil }, Was: m.was, MD5: hex.EncodeToString(sum[:]), Size: 4,
		Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("our"), &broken{})), nil
		},
	})
	if source, ok := errors.AsType[*backend.SourceError](err); !ok || source.Changed {
		t.Errorf("error %v", err)
	}
	m.release()
	if server.objects[statePath] != "{}" {
		t.Errorf("the server holds %q", server.objects)
	}
}

type broken struct{ bytes.Reader }

func (*broken) Read([]byte) (int, error) { return 0, errors.New("the connection broke") }

// On a server that ignores the condition of a delete, nothing is removed.
func TestAServerWithoutConditionalDeletesRemovesNoState(t *testing.T) {
	awsEnvironment(t)
	server := newOneObject()
	m := startMove(t, server, "", backend.WriterOptions{})
	m.mustLock()
	remover := m.writer.(backend.Remover)
	if err := remover.CheckRemoval(t.Context()); backend.CodeOf(err) != backend.NotRemovable {
		t.Errorf("the error is %v", err)
	}
	always := func(context.Context) error { return nil }
	if err := remover.Remove(t.Context(), backend.Write{Sending: always, Was: m.was}); err == nil {
		t.Error("it was removed")
	}
	if err := m.lease.Release(t.Context()); err != nil {
		t.Errorf("the lock was lost: %v", err)
	}
	if _, there := server.objects[statePath]; !there || len(server.objects) != 1 {
		t.Errorf("the bucket holds %v", server.objects)
	}
}
