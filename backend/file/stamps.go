package file

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tfhaul/backend"
)

// stamps distinguish two contents of a file without reading them. They make up the ID of a
// version.
type stamps struct {
	size     int64
	modified time.Time
	// opened is when the file was opened, by this machine's clock. If the modification time
	// is close to it, the file may have been written again within the same tick of the file
	// system's clock, which leaves the modification time unchanged.
	opened time.Time
	// file identifies the file by device and inode, so it changes when another file is
	// renamed over it. 0 if the system does not have them.
	file uint64
	// changed is when the file or its metadata last changed, in nanoseconds since 1970.
	// Unlike the modification time, no program can set it. 0 if the system does not report
	// it.
	changed int64
}

// version returns the version with these stamps as its ID. A plan keeps the ID of every
// state in memory, so it is short: numbers in base 36, times in nanoseconds since 1970, and
// opened only where it matters.
func (s stamps) version() backend.Version {
	numbers := []int64{s.size, nanoseconds(s.modified), int64(s.file), s.changed}
	if !s.decisive() {
		numbers = append(numbers, nanoseconds(s.opened))
	}
	id := make([]byte, 0, 64)
	for i, n := range numbers {
		if i > 0 {
			id = append(id, '.')
		}
		id = strconv.AppendInt(id, n, 36)
	}
	return backend.Version{ID: string(id), Size: s.size, Created: s.modified}
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// parseStamps reads the ID of a version.
func parseStamps(id string) (stamps, error) {
	if strings.Contains(id, "=") {
		return parsePin(id)
	}
	var numbers []int64
	for text := range strings.SplitSeq(id, ".") {
		n, err := strconv.ParseInt(text, 36, 64)
		if err != nil {
			return stamps{}, fmt.Errorf("not a file's version: %q", id)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) < 4 {
		return stamps{}, fmt.Errorf("not a file's version: %q", id)
	}
	s := stamps{size: numbers[0], modified: instant(numbers[1]), file: uint64(numbers[2]), changed: numbers[3]}
	if len(numbers) > 4 {
		s.opened = instant(numbers[4])
	} else {
		s.opened = later(s.modified, instant(s.changed)).Add(2 * clockTick)
	}
	return s, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// parsePin reads a version ID from an old journal, which has RFC 3339 times.
func parsePin(pin string) (stamps, error) {
	values, err := url.ParseQuery(pin)
	if err != nil {
		return stamps{}, fmt.Errorf("not a file's version: %q", pin)
	}
	var s stamps
	if s.size, err = strconv.ParseInt(values.Get("size"), 10, 64); err != nil {
		return stamps{}, fmt.Errorf("not a file's version: %q", pin)
	}
	// Missing stamps stay zero, which means unknown.
	s.modified, _ = time.Parse(time.RFC3339Nano, values.Get("mod_time"))
	s.opened, _ = time.Parse(time.RFC3339Nano, values.Get("opened"))
	s.file, _ = strconv.ParseUint(values.Get("file"), 10, 64)
	s.changed, _ = strconv.ParseInt(values.Get("changed_ns"), 10, 64)
	return s, nil
}

// clockTick is the coarsest resolution of modification times among file systems in use
// (FAT: two seconds). A file written less than this before it was opened may be written
// again with the same stamp.
const clockTick = 2 * time.Second

// decisive reports whether a write after the file was opened would have changed its stamps.
func (s stamps) decisive() bool {
	return !s.opened.IsZero() && s.opened.Sub(s.modified) > clockTick && s.opened.Sub(time.Unix(0, s.changed)) > clockTick
}

// differs describes how the file's identity differs from was, in the stamps that both have,
// or returns "".
func (s stamps) differs(was stamps) string {
	switch {
	case was.file != 0 && s.file != 0 && s.file != was.file:
		return "another file of the same size and time has replaced it"
	case was.changed != 0 && s.changed != 0 && s.changed != was.changed:
		return fmt.Sprintf("changed %s, was %s", stamp(time.Unix(0, s.changed)), stamp(time.Unix(0, was.changed)))
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// same returns nil if the file is still version v, and a *ChangedError if not. It reads the
// content only if the stamps are inconclusive and v has an MD5: a restored backup is
// another file, but may hold the same bytes.
func same(ctx context.Context, path string, v backend.Version, now stamps, content io.Reader) error {
	was, err := parseStamps(v.ID)
	if err != nil {
		return err
	}
	changed := func(format string, args ...any) error {
		return &backend.ChangedError{Address: path, How: fmt.Sprintf(format, args...)}
	}
	if now.size != was.size {
		return changed("size %d, was %d", now.size, was.size)
	}
	stamped := now.modified.Equal(was.modified)
	differs := now.differs(was)
	switch {
	case stamped && differs == "" && (was.decisive() || v.MD5 == ""):
		return nil
	case v.MD5 == "" && stamped:
		return changed("%s; restoring it from a backup does that, too", differs)
	case v.MD5 == "":
		return changed("written %s, was %s", stamp(now.modified), stamp(was.modified))
	}
	digest := md5.New()
	if _, err := io.Copy(digest, &ctxReader{ctx, content}); err != nil {
		return fmt.Errorf("reading %q again: %w", path, err)
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != v.MD5 {
		return changed("MD5 %s, was %s", got, v.MD5)
	}
	return nil
}

// fileOf combines a device and an inode into one number.
func fileOf(device, inode uint64) uint64 { return inode + device*0x9e3779b97f4a7c15 }

// ctxReader ends a long read when ctx ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
