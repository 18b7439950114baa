package runs

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"tfhaul/tfesim/blobs"
	"tfhaul/tfesim/jsonapi"
)

// The kinds of blob addresses that configuration versions and runs have.
const (
	blobConfiguration blobs.Kind = 'c'
	blobPlanJSON      blobs.Kind = 'p'
	blobPlanLog       blobs.Kind = 'l'
	blobApplyLog      blobs.Kind = 'a'
)

// The limits of a configuration: bytes of the archive, bytes unpacked, and number of entries.
const (
	maxArchive     = 256 << 20
	maxUnpacked    = 1 << 30
	maxEntries     = 100_000
	errorUnusable  = "invalid_archive"
	errorTooLarge  = "archive_too_large"
	multipartField = "data"
)

// Receive answers an upload to the address of a ticket that is not the host's own. It takes the
// archive of a configuration version, once: the bytes themselves, or a form with the file in its
// field "data", as the first API had it. Call it with the host unlocked.
func (s *Service) Receive(w http.ResponseWriter, r *http.Request, t blobs.Ticket) {
	if t.Kind != blobConfiguration || !s.awaitsConfiguration(t) {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	body, err := archiveOf(r)
	if err != nil {
		jsonapi.WriteError(w, jsonapi.BadRequest("%v", err))
		return
	}
	body, done := s.arrivingBytes(t.ID, body)
	defer done()
	b, problem, err := s.takeArchive(io.LimitReader(body, maxArchive+1))
	if err != nil {
		// The version stays pending, so the client may retry with the same address.
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	if err := s.keepConfiguration(t, b, problem); err != nil {
		s.discard(b)
		jsonapi.WriteError(w, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// archiveOf returns the archive in a request.
func archiveOf(r *http.Request) (io.Reader, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		if r.Method == http.MethodPost {
			return nil, errors.New("a POST needs a form with the file in the field " + multipartField)
		}
		return r.Body, nil
	}
	form, err := r.MultipartReader()
	if err != nil {
		return nil, errors.New("the form could not be read")
	}
	for {
		part, err := form.NextPart()
		if err != nil {
			return nil, errors.New("the form has no field " + multipartField)
		}
		if part.FormName() == multipartField {
			return part, nil
		}
	}
}

// takeArchive stores an archive and checks it on the way. problem says why it cannot be used, err
// why it did not arrive.
func (s *Service) takeArchive(body io.Reader) (b *blobs.Blob, problem *archiveError, err error) {
	writer, err := s.options.Blobs.Create()
	if err != nil {
		return nil, nil, err
	}
	received := io.TeeReader(body, writer)
	problem = checkArchive(received)
	// The check stops at the end of the archive, or at the first problem.
	_, err = io.Copy(io.Discard, received)
	if err == nil {
		b, err = writer.Finish()
	}
	if err != nil {
		return nil, nil, errors.Join(err, writer.Abort())
	}
	if b.Size > maxArchive {
		problem = &archiveError{errorTooLarge, fmt.Sprintf("The archive is larger than %d MiB.", maxArchive>>20)}
	}
	return b, problem, nil
}

// An archiveError says why an archive cannot be used.
type archiveError struct{ code, message string }

func (e *archiveError) Error() string { return e.message }

func unusable(format string, args ...any) *archiveError {
	return &archiveError{errorUnusable, fmt.Sprintf(format, args...)}
}

// checkArchive reads an archive and returns why it cannot be unpacked safely, or nil.
func checkArchive(r io.Reader) *archiveError {
	return eachEntry(r, func(*tar.Header, io.Reader) error { return nil })
}

// eachEntry visits the entries of a tar.gz. It stops at the limits, and at the first entry that
// would be unpacked outside the target folder.
func eachEntry(r io.Reader, visit func(*tar.Header, io.Reader) error) *archiveError {
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return unusable("Failed to read the archive: it is not a gzip file.")
	}
	bounded := &io.LimitedReader{R: unzipped, N: maxUnpacked}
	archive := tar.NewReader(bounded)
	for n := 0; ; n++ {
		header, err := archive.Next()
		switch {
		case err == io.EOF:
			return nil
		case bounded.N <= 0 || n >= maxEntries:
			return &archiveError{errorTooLarge, "The archive is larger when unpacked than this server accepts."}
		case err != nil:
			return unusable("Failed to read the archive: it is not a tar file, or it is cut off.")
		}
		if problem := checkEntry(header); problem != nil {
			return problem
		}
		if err := visit(header, archive); err != nil {
			return unusable("Failed to unpack the archive: %v", err)
		}
	}
}

// checkEntry refuses names and links that lead out of the folder by themselves. os.Root refuses
// those that lead out through other links.
func checkEntry(h *tar.Header) *archiveError {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeSymlink:
		if path.IsAbs(h.Linkname) || leaves(path.Join(path.Dir(h.Name), h.Linkname)) {
			return unusable("The archive has a symbolic link that leads outside.")
		}
	default:
		return unusable("The archive has an entry that is neither a file, a directory nor a symbolic link.")
	}
	if path.IsAbs(h.Name) || leaves(h.Name) {
		return unusable("The archive has a name that leads outside.")
	}
	return nil
}

// leaves reports whether a relative path climbs above where it starts.
func leaves(name string) bool {
	clean := path.Clean(name)
	return clean == ".." || strings.HasPrefix(clean, "../")
}

// awaitsConfiguration reports whether the archive for an upload address has not arrived yet.
func (s *Service) awaitsConfiguration(t blobs.Ticket) (awaits bool) {
	// Nothing is written to disk.
	_ = s.host.Do(func() {
		v := s.configurations[t.ID]
		awaits = v != nil && v.Arrived.IsZero()
	})
	return awaits
}

// keepConfiguration adds an archive to its version, and queues the run that the version asks for.
func (s *Service) keepConfiguration(t blobs.Ticket, b *blobs.Blob, problem *archiveError) error {
	var refused error
	err := s.host.Do(func() {
		v := s.configurations[t.ID]
		if v == nil || !v.Arrived.IsZero() {
			refused = jsonapi.Forbidden()
			return
		}
		v.Archive, v.Arrived = b, time.Now()
		if problem != nil {
			v.Error, v.ErrorMessage, v.Archive = problem.code, problem.message, nil
			s.host.Discard(b)
		}
		s.put(v)
		if problem == nil && v.AutoQueueRuns {
			s.queueUploaded(v)
		}
	})
	return cmp.Or(refused, err)
}

// redirect is the answer that sends the client to a blob.
func (c *call) redirect(t blobs.Ticket) *jsonapi.Answer {
	t.Expires = c.Now().Add(redirectLife).Unix()
	return &jsonapi.Answer{Status: http.StatusFound, Header: http.Header{"Location": {c.s.options.Signer.Address(jsonapi.Origin(c.Request()), t)}}}
}

// redirectLife is how long the address of a redirect is valid.
const redirectLife = time.Minute
