package statefile

import (
	"encoding/hex"
	"io"
)

// maxRefused limits how many bytes of a file are read after it was refused: a file that
// is not a state can have any size.
const maxRefused = 4 << 20

// Inspect is [Read] that also calls visitor, which may be nil, for each resource and
// output.
func Inspect(r io.Reader, visitor *Visitor) (*Snapshot, error) {
	return inspect(r, visitor, maxRefused)
}

// inspect reads at most drain bytes, rounded up to chunks, after a refusal.
func inspect(r io.Reader, visitor *Visitor, drain int64) (*Snapshot, error) {
	s := newScanner(r)
	defer s.release()
	if visitor == nil {
		visitor = &Visitor{}
	}
	d := &document{scanner: s, visitor: visitor}
	refusal := d.read()
	s.in.drain(drain)
	snapshot := d.snapshot()
	if s.in.err == nil {
		return snapshot, refusal // only a refused file is not read to its end
	}
	snapshot.Size = s.in.size
	snapshot.MD5 = hex.EncodeToString(s.in.md5.Sum(nil))
	if s.in.err != io.EOF {
		// The file appears to end where the source failed.
		return snapshot, s.in.err
	}
	return snapshot, refusal
}

// read reads the file, and returns why it is not a state if it isn't.
func (d *document) read() error {
	if refusal := sniff(d.buf); refusal != nil {
		return refusal
	}
	switch d.next() {
	case 0:
		if d.ended() {
			return &Error{Kind: KindEmptyFile, Offset: -1, Detail: "it contains only whitespace"}
		}
		return d.broken()
	case '{':
		d.object = true
		if err := d.members(d.topLevel); err != nil {
			return err
		}
	default:
		if err := d.skip(); err != nil {
			return err
		}
	}
	if d.next(); !d.ended() {
		return d.refuse(KindTrailingGarbage, "", d.offset())
	}
	if refusal := d.judge(); refusal != nil {
		return refusal
	}
	return nil
}

// judge reports whether a JSON file is a state, based on its top-level keys.
func (d *document) judge() *Error {
	switch {
	case !d.object:
		return &Error{Kind: KindNoVersion, Offset: -1, Detail: "it is JSON, but not an object"}
	// OpenTofu treats a file with an encryption_version as encrypted.
	case d.encryptionVersion && (d.encryptedData || !d.hasVersion):
		return &Error{Kind: KindEncrypted, Offset: -1, Detail: "OpenTofu",
			next: `save a decrypted copy with "tofu state pull > FILE" and move that, because Terraform reads only plain state`}
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
		return &Error{Kind: KindFormat0, Offset: -1, Detail: `its "version" is 0, which no Terraform release writes`}
	case d.version > 4:
		return &Error{Kind: KindFormatTooNew, Offset: -1}
	}
	if err := d.typeErrors[d.version]; err != nil {
		return err
	}
	if d.serial.outOfRange(d.version) {
		return d.serial.refusal
	}
	if d.version > 1 && d.versionRefusal != nil {
		return d.versionRefusal
	}
	if d.version == 4 {
		for _, refusal := range []*Error{d.current.refusal, d.current.outputRefusal, d.current.checkRefusal} {
			if refusal != nil {
				return refusal
			}
		}
	}
	if d.version < 4 && d.backend && d.legacy.Empty() {
		return &Error{Kind: KindBackendPointer, Offset: -1}
	}
	return nil
}

// snapshot returns what is known of the file, whether or not it is a state.
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
	if s.Format == 4 {
		s.openTofu = openTofuProviders(s.Contents.Providers, d.current.unseen)
		s.Flaws, s.legacy = d.current.flaws.of(s.TerraformVersion)
	} else if s.Format >= 1 && s.Format <= 3 {
		s.Flaws, s.legacy = d.legacy.flaws.of(s.TerraformVersion)
	}
	return s
}
