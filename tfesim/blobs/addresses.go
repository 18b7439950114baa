package blobs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// A Kind says which of a record's blobs an address refers to.
type Kind byte

// DownloadLife is how long a download address is valid.
const DownloadLife = 24 * time.Hour

// A Ticket is the content of a blob address. Addresses are secrets: they need no token, and only
// the holder of the server's key can make one.
type Ticket struct {
	Upload bool
	Kind   Kind
	// ID is the id of the record that has the blob.
	ID string
	// Expires is in Unix seconds. It is 0 for uploads, which end when the bytes have arrived.
	Expires int64
}

// A Signer is the key that makes and reads blob addresses.
type Signer []byte

// Address returns the address of a ticket. origin is its scheme and host.
func (s Signer) Address(origin string, t Ticket) string {
	return origin + Path + s.seal(t)
}

func (s Signer) seal(t Ticket) string {
	b := []byte{'d', byte(t.Kind)}
	if t.Upload {
		b[0] = 'u'
	}
	b = binary.BigEndian.AppendUint64(b, uint64(t.Expires))
	b = append(b, t.ID...)
	mac := hmac.New(sha256.New, s)
	mac.Write(b)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(b))
}

// Unseal reads the last element of an address. ok is false when this key did not sign it.
func (s Signer) Unseal(text string) (t Ticket, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 10+sha256.Size {
		return Ticket{}, false
	}
	b, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	mac := hmac.New(sha256.New, s)
	mac.Write(b)
	if !hmac.Equal(sum, mac.Sum(nil)) {
		return Ticket{}, false
	}
	return Ticket{Upload: b[0] == 'u', Kind: Kind(b[1]), Expires: int64(binary.BigEndian.Uint64(b[2:10])), ID: string(b[10:])}, true
}

// Path is what the path of every blob address begins with.
const Path = "/_archivist/v1/object/"

// IsPath reports whether a path is that of a blob address, which has no rate limit.
func IsPath(path string) bool {
	return strings.HasPrefix(path, Path)
}
