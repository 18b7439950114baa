package file_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"tfhaul/backend"
	"tfhaul/backend/file"
)

func TestPipedStdinCanBeReadAgain(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 100_000) // 1.6 MB, not a multiple of a block
	listing, err := backend.Kinds{file.Kind(backend.Connection{Stdin: iotest.HalfReader(bytes.NewReader(want))})}.Find(t.Context(), "-", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	o := listing.States[0]
	if o.Address() != "-" {
		t.Errorf("Address = %q", o.Address())
	}
	for range 2 {
		got, pin := readPinned(t, o)
		if !bytes.Equal(got, want) || pin.Size != int64(len(want)) {
			t.Fatalf("read %d bytes, version has size %d, want %d", len(got), pin.Size, len(want))
		}
		if err := o.Check(t.Context(), pin); err != nil {
			t.Errorf("Check: %v", err)
		}
		if _, _, err := o.Open(t.Context(), &pin); err != nil {
			t.Errorf("Open of the version: %v", err)
		}
	}
	if lock, err := o.Holder(t.Context()); lock != nil || err != nil {
		t.Errorf("Holder = %+v, %v; want none", lock, err)
	}
}

func TestStdinOverTheLimitIsAnError(t *testing.T) {
	for _, tt := range []struct {
		does  string
		size  int
		works bool
	}{{"at the limit", 1000, true}, {"one byte over the limit", 1001, false}} {
		t.Run(tt.does, func(t *testing.T) {
			in := strings.NewReader(strings.Repeat("x", tt.size))
			listing, err := backend.Kinds{file.Kind(backend.Connection{Stdin: in, StreamLimit: 1000})}.Find(t.Context(), "-", backend.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = listing.States[0].Open(t.Context(), nil)
			const want = "standard input is larger than 1000 bytes, and input that can be read only once must fit in memory: save it to a file and name the file"
			if tt.works && err != nil || !tt.works && (err == nil || err.Error() != want) {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

func TestFailingStdinIsAnErrorEachTime(t *testing.T) {
	broken := errors.New("the wire broke")
	listing, err := backend.Kinds{file.Kind(backend.Connection{Stdin: io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))})}.Find(t.Context(), "-", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := listing.States[0].Open(t.Context(), nil); !errors.Is(err, broken) {
			t.Errorf("Open: %v, want the reader's error, not half a state", err)
		}
	}
}

func TestWaitingForStdinEndsWithTheContext(t *testing.T) {
	in, out := io.Pipe()
	defer func() { _ = out.Close() }() // ends the reading goroutine
	listing, err := backend.Kinds{file.Kind(backend.Connection{Stdin: in})}.Find(t.Context(), "-", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := listing.States[0].Open(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want context.Canceled", err)
	}
}

func TestStdinFromAFileStartsAtItsOffset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, []byte("header|state"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }() // only read
	if _, err := in.Seek(int64(len("header|")), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	// With a limit of one byte, nothing can be held in memory.
	listing, err := backend.Kinds{file.Kind(backend.Connection{Stdin: in, StreamLimit: 1})}.Find(t.Context(), "-", backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	o := listing.States[0]
	var pin backend.Version
	for range 2 {
		var got []byte
		if got, pin = readPinned(t, o); string(got) != "state" || pin.Size != 5 {
			t.Fatalf("read %d bytes, version has size %d, want 5", len(got), pin.Size)
		}
	}
	if err := o.Check(t.Context(), pin); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := os.WriteFile(path, []byte("header|STATE"), 0o600); err != nil {
		t.Fatal(err)
	}
	var changed *backend.ChangedError
	if err := o.Check(t.Context(), pin); !errors.As(err, &changed) {
		t.Errorf("Check after a write: %v, want a *ChangedError", err)
	}
	if _, _, err := o.Open(t.Context(), &pin); !errors.As(err, &changed) {
		t.Errorf("Open of the version after a write: %v, want a *ChangedError", err)
	}
}

// readPinned reads a state and fills in its version's MD5.
func readPinned(t *testing.T, o backend.State) ([]byte, backend.Version) {
	t.Helper()
	in, pin, err := o.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	sum := md5.Sum(data)
	pin.MD5 = hex.EncodeToString(sum[:])
	return data, pin
}
