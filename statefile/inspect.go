package statefile

import (
	"encoding/hex"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Inspect is [Read] that besides tells visitor, which may be nil, of every
// resource and output.
func Inspect(r io.Reader, visitor *Visitor) (*Snapshot, error) {
	in := newIntake(r)
	defer in.release()
	if visitor == nil {
		visitor = &Visitor{}
	}
	d := &document{in: in, dec: in.decoder, visitor: visitor}

	refusal := sniff(in.peek())
	if refusal == nil {
		refusal = d.read()
	}
	in.drain()
	in.join()
	snapshot := d.snapshot()
	snapshot.Size = in.size
	snapshot.MD5 = hex.EncodeToString(in.md5.Sum(nil))
	switch {
	case in.err != io.EOF:
		return snapshot, in.err
	case refusal != nil:
		return snapshot, refusal
	}
	if refusal := d.judge(); refusal != nil {
		return snapshot, refusal
	}
	return snapshot, nil
}

// read reads the one JSON value that the file is to consist of.
func (d *document) read() *Error {
	if d.dec.PeekKind() == '{' {
		d.object = true
		if err := d.members(d.topLevel); err != nil {
			return d.brokenJSON(err)
		}
	} else if err := d.dec.SkipValue(); err != nil {
		return d.brokenJSON(err)
	}
	if d.dec.PeekKind() != jsontext.KindInvalid {
		return d.refuse(KindTrailingGarbage, "", d.nextOffset())
	}
	if _, err := d.dec.ReadToken(); err != io.EOF {
		return d.refuse(KindTrailingGarbage, "", d.nextOffset())
	}
	return nil
}

// brokenJSON says what is wrong with the grammar where the decoder stopped.
func (d *document) brokenJSON(err error) *Error {
	var syntax *jsontext.SyntacticError
	switch {
	case err == io.EOF:
		return &Error{Kind: KindEmptyFile, Offset: -1, Detail: "it holds nothing but blanks"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		// Truncated; or src failed, which Inspect reports instead.
		return d.refuse(KindTruncated, "", d.in.size)
	case !errors.As(err, &syntax):
		return d.refuse(KindNotJSON, "", -1)
	case d.dec.StackDepth() >= maxDepth:
		return d.refuse(KindTooDeep, "", d.in.offset(syntax.ByteOffset))
	}
	at := d.in.offset(syntax.ByteOffset)
	return d.refuse(KindNotJSON, breaker(d.in.from(at)), at)
}

// maxDepth is how deep encoding/json, and the decoder, go.
const maxDepth = 10_000

// judge says whether a file that is JSON is a state, by what was found at its
// top level.
func (d *document) judge() *Error {
	switch {
	case !d.object:
		return &Error{Kind: KindNoVersion, Offset: -1, Detail: "it is JSON, but not an object"}
	// OpenTofu takes for encrypted what has an encryption_version.
	case d.encryptionVersion && (d.encryptedData || !d.hasVersion):
		return &Error{Kind: KindEncrypted, Offset: -1, Detail: "OpenTofu",
			next: `HCP Terraform needs plain state: write a decrypted copy with "tofu state pull > FILE" and move that`}
	case d.sops && (!d.hasVersion || d.versionError != nil):
		return &Error{Kind: KindEncrypted, Offset: -1, Detail: "SOPS"}
	case d.lockFields >= lockFieldsNeeded && (!d.hasVersion || d.versionError != nil):
		return &Error{Kind: KindLockInfo, Offset: -1}
	case d.formatVersion && !d.hasVersion && d.versionError == nil:
		return &Error{Kind: KindShowJSON, Offset: -1}
	case d.versionError != nil:
		return d.versionError
	case !d.hasVersion:
		return &Error{Kind: KindNoVersion, Offset: -1}
	case d.version == 0:
		return &Error{Kind: KindFormat0, Offset: -1, Detail: `its "version" is 0, which no Terraform ever wrote`}
	case d.version > 4:
		return &Error{Kind: KindFormatTooNew, Offset: -1}
	}
	if err := d.typeErrors[d.version]; err != nil {
		return err
	}
	if d.serial.outOfRange(d.version) {
		return d.serial.refusal
	}
	if d.version < 4 && d.backend && d.legacy.empty() {
		return &Error{Kind: KindBackendPointer, Offset: -1}
	}
	return nil
}

// snapshot is what is known of the file, be it a state or not.
func (d *document) snapshot() *Snapshot {
	s := &Snapshot{}
	if d.hasVersion {
		s.Format = int(min(d.version, 1<<30))
	}
	if s.Format != 1 {
		s.TerraformVersion, s.Lineage = d.terraformVersion, d.lineage
	}
	if !d.serial.outOfRange(d.version) {
		s.Serial = d.serial.value(d.version)
		s.serialAt, s.serialLen = d.serial.at, d.serial.length
	}
	if s.Format >= 1 && s.Format <= 3 {
		s.Contents = d.legacy.contents()
	} else {
		s.Contents = d.current.contents()
	}
	return s
}
