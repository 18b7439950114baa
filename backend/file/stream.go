package file

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"tfhaul/backend"
	"tfhaul/crash"
)

// newStdin returns the state named "-". If standard input is a regular file, every read
// starts at its initial offset. Anything else is held in memory: a temporary file would
// write state where nobody expects it.
func newStdin(c backend.Connection) backend.State {
	in := c.Stdin
	if in == nil {
		in = os.Stdin
	}
	place := backend.Place{Key: "-", Workspace: backend.DefaultWorkspace}
	if f, ok := in.(*os.File); ok {
		if start, ok := regular(f); ok {
			return &rereadable{file: f, start: start, place: place}
		}
	}
	return &stream{
		name: "-", place: place, limit: c.StreamLimit,
		open: func() (io.ReadCloser, error) { return io.NopCloser(in), nil },
	}
}

// regular reports whether f is a regular file that can be read again, and its current
// offset.
func regular(f *os.File) (start int64, ok bool) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	start, err = f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, false
	}
	return start, true
}

// rereadable is standard input redirected from a regular file.
type rereadable struct {
	file  *os.File
	start int64 // offset when the process started
	place backend.Place
}

func (r *rereadable) Address() string        { return "-" }
func (r *rereadable) Place() backend.Place   { return r.place }
func (r *rereadable) Traits() backend.Traits { return traits }

func (r *rereadable) Open(ctx context.Context, v *backend.Version) (io.ReadCloser, backend.Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, backend.Version{}, err
	}
	now, err := r.stat()
	if err != nil {
		return nil, backend.Version{}, err
	}
	current := now.version()
	if v != nil {
		if err := same(ctx, r.Address(), *v, now, r.reader()); err != nil {
			return nil, backend.Version{}, err
		}
		current.MD5 = v.MD5
	}
	return io.NopCloser(r.reader()), current, nil
}

func (r *rereadable) Check(ctx context.Context, v backend.Version) error {
	now, err := r.stat()
	if err != nil {
		return err
	}
	return same(ctx, r.Address(), v, now, r.reader())
}

// Holder returns nil: a descriptor does not identify the file, so its lock cannot be found.
func (r *rereadable) Holder(context.Context) (*backend.Lock, error) { return nil, nil }

func (r *rereadable) reader() io.Reader {
	const toTheEnd = 1<<63 - 1
	return io.NewSectionReader(r.file, r.start, toTheEnd-r.start)
}

func (r *rereadable) stat() (stamps, error) {
	info, err := r.file.Stat()
	if err != nil {
		return stamps{}, fmt.Errorf("reading standard input: %w", err)
	}
	file, changed := identify(r.file, info)
	return stamps{size: max(0, info.Size()-r.start), modified: info.ModTime(), opened: time.Now(), file: file, changed: changed}, nil
}

// stream is a state that can be read only once, such as a pipe. The first Open reads it
// into memory.
type stream struct {
	name  string
	place backend.Place
	limit int64 // bytes
	open  func() (io.ReadCloser, error)

	once   sync.Once
	done   chan struct{} // closed when blocks, size and err are final
	blocks [][]byte
	size   int64
	err    error
}

func (s *stream) Address() string        { return s.name }
func (s *stream) Place() backend.Place   { return s.place }
func (s *stream) Traits() backend.Traits { return traits }

// Open reads the whole stream the first time. Reading a pipe cannot be interrupted: if ctx
// ends first, Open returns and the reading goroutine remains until the stream or the
// process ends.
func (s *stream) Open(ctx context.Context, _ *backend.Version) (io.ReadCloser, backend.Version, error) {
	s.once.Do(func() {
		s.done = make(chan struct{})
		crash.Go(ctx, func() {
			s.blocks, s.size, s.err = s.readAll()
			close(s.done)
		})
	})
	select {
	case <-s.done:
	case <-ctx.Done():
		return nil, backend.Version{}, fmt.Errorf("reading %s: %w", s.called(), ctx.Err())
	}
	if s.err != nil {
		return nil, backend.Version{}, s.err
	}
	return io.NopCloser(&blockReader{blocks: s.blocks}), stamps{size: s.size}.version(), nil
}

// Check returns nil: the bytes are held in memory and cannot change.
func (s *stream) Check(context.Context, backend.Version) error { return nil }

// Holder returns nil: a stream has no lock.
func (s *stream) Holder(context.Context) (*backend.Lock, error) { return nil, nil }

func (s *stream) called() string {
	if s.name == "-" {
		return "standard input"
	}
	return fmt.Sprintf("%q", s.name)
}

// readAll reads the stream into blocks. Growing therefore never copies what has been read.
func (s *stream) readAll() (blocks [][]byte, size int64, err error) {
	in, err := s.open()
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", s.called(), err)
	}
	defer func() { _ = in.Close() }() // only read
	const blockSize = 256 << 10
	for {
		block := make([]byte, blockSize)
		n, err := io.ReadFull(in, block)
		size += int64(n)
		if size > s.limit {
			return nil, 0, fmt.Errorf("%s is larger than %d bytes, and input that can be read only once must fit in memory: save it to a file and name the file", s.called(), s.limit)
		}
		if n > 0 {
			blocks = append(blocks, block[:n:n])
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return blocks, size, nil
		default:
			return nil, 0, fmt.Errorf("reading %s: %w", s.called(), err)
		}
	}
}

// blockReader reads consecutive blocks.
type blockReader struct {
	blocks [][]byte // still to read
	off    int      // offset in the first block
}

func (r *blockReader) Read(p []byte) (int, error) {
	if len(r.blocks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.blocks[0][r.off:])
	r.off += n
	if r.off == len(r.blocks[0]) {
		r.blocks, r.off = r.blocks[1:], 0
	}
	return n, nil
}
