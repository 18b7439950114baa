package migrate_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tfhaul/migrate"
	"tfhaul/tfesim"
)

// A downloads changes what is downloaded, and is warned before.
type downloads struct {
	http.RoundTripper
	change func([]byte) []byte
	before func()
	made   int
}

func (d *downloads) RoundTrip(req *http.Request) (*http.Response, error) {
	download := req.Method == http.MethodGet && strings.HasPrefix(req.URL.Path, "/_archivist/")
	if download {
		d.made++
		if d.before != nil {
			d.before()
		}
	}
	resp, err := d.RoundTripper.RoundTrip(req)
	if err != nil || !download || d.change == nil {
		return resp, err
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	raw = d.change(raw)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	resp.Header.Del("Content-Length")
	return resp, nil
}

// Small states are compared by their MD5, larger ones in files byte by byte.
var compared = map[string]int64{"by MD5": 2 << 10, "byte by byte": 100 << 10}

// Whatever is another byte in what is read back is found, wherever it is.
func TestReadingBackFindsEveryChange(t *testing.T) {
	changes := map[string]func([]byte) []byte{
		"nothing":           nil,
		"the first byte":    func(b []byte) []byte { b[0] ^= 1; return b },
		"one in the middle": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"the last byte":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"one byte less":     func(b []byte) []byte { return b[:len(b)-1] },
		"one byte more":     func(b []byte) []byte { return append(b, '\n') },
		"nothing is left":   func([]byte) []byte { return nil },
	}
	for how, size := range compared {
		for name, change := range changes {
			t.Run(how+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBenchOver(t, tfesim.Options{}, func(next http.RoundTripper) http.RoundTripper {
						return &downloads{RoundTripper: next, change: change}
					})
					b.snapshot(bigState(size))
					r := b.run()
					if change == nil {
						want(t, r, migrate.Moved, migrate.Fresh, "")
						return
					}
					want(t, r, migrate.Failed, migrate.Fresh, migrate.CodeUnproven)
					found := strings.Contains(r.Message, "returned different bytes than were sent") || strings.Contains(r.Message, "bytes that it announced")
					if !found || !r.Locked {
						t.Errorf("it is told as: %s", r.Message)
					}
				})
			})
		}
	}
}

// A source that changes after it was sent, or goes away, does not make what arrived
// look like something else.
func TestASourceThatChangesWhileItIsReadBack(t *testing.T) {
	for how, size := range compared {
		raw := bigState(size)
		for name, change := range map[string]func(*bench) error{
			"rewritten": func(b *bench) error { return os.WriteFile(b.file, bigState(2*size), 0o600) },
			"rewritten, with the same size": func(b *bench) error {
				other := slices.Clone(raw)
				other[len(other)-3] ^= 1
				return os.WriteFile(b.file, other, 0o600)
			},
			"cut":  func(b *bench) error { return os.Truncate(b.file, 10) },
			"gone": func(b *bench) error { return os.Remove(b.file) },
		} {
			t.Run(fmt.Sprintf("%s/%s", how, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := new(downloads)
					b := newBenchOver(t, tfesim.Options{}, func(next http.RoundTripper) http.RoundTripper {
						d.RoundTripper = next
						return d
					})
					b.snapshot(raw)
					d.before = func() {
						if d.made == 1 {
							if err := change(b); err != nil {
								t.Error(err)
							}
						}
					}
					r := b.run()
					want(t, r, migrate.Refused, migrate.Fresh, migrate.CodeSourceChanged)
					if !strings.Contains(r.Message, "arrived, but") {
						t.Errorf("it is told as: %s", r.Message)
					}
					b.wantHeld(raw)
					b.wantUnlocked()
				})
			})
		}
	}
}
