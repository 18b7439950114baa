package statefile

import (
	"bytes"
	"unicode/utf8"
)

// A signature is how files that are not JSON start.
type signature struct {
	prefix string
	kind   Kind
	detail string
}

// The first match counts.
var signatures = []signature{
	{"\xef\xbb\xbf", KindBOM, ""},
	{"\xff\xfe", KindUTF16, ""},
	{"\xfe\xff", KindUTF16, ""},
	{"{\x00", KindUTF16, ""},
	{"\x00{", KindUTF16, ""},
	{"\x00\x00\xfe\xff", KindUTF16, ""},
	{"\x00\x00\x00{", KindUTF16, ""},
	{"\x00GITCRYPT\x00", KindEncrypted, "git-crypt"},
	{"\x00\x00", KindNotJSON, "it starts with NUL bytes, probably because the machine crashed while writing it"},
	{"PK\x03\x04", KindPlanFile, ""},
	{"PK\x05\x06", KindPlanFile, ""},
	{"\x1f\x8b", KindCompressed, "gzip"},
	{"\x28\xb5\x2f\xfd", KindCompressed, "zstd"},
	{"BZh", KindCompressed, "bzip2"},
	{"\xfd7zXZ\x00", KindCompressed, "xz"},
	{"tfstate", KindFormat0, "it is a binary state from before Terraform 0.7"},
	{"$ANSIBLE_VAULT;", KindEncrypted, "Ansible Vault"},
	{"age-encryption.org/", KindEncrypted, "age"},
	{"-----BEGIN AGE ENCRYPTED FILE-----", KindEncrypted, "age"},
	{"-----BEGIN PGP MESSAGE-----", KindEncrypted, "PGP"},
	{"version https://git-lfs.github.com/spec/", KindPlaceholder, "a Git LFS pointer"},
	{"<<<<<<< ", KindNotJSON, "it starts with conflict markers from a failed merge"},
	{"<", KindNotJSON, "it looks like HTML or XML, perhaps a server's error page"},
}

// sniff recognizes a file by its first bytes, if they are a signature or only whitespace.
func sniff(head []byte) *Error {
	if len(head) == 0 {
		return &Error{Kind: KindEmptyFile, Offset: -1}
	}
	for _, s := range signatures {
		if bytes.HasPrefix(head, []byte(s.prefix)) {
			e := &Error{Kind: s.kind, Offset: -1, Detail: s.detail}
			if s.kind == KindFormat0 {
				e.next = "upgrade it with Terraform 0.6.16 first"
			}
			return e
		}
	}
	return nil
}

// breakers are common causes of invalid JSON.
var breakers = []struct{ prefix, detail string }{
	{"<<<<<<<", "conflict markers from a failed merge"},
	{"=======", "conflict markers from a failed merge"},
	{">>>>>>>", "conflict markers from a failed merge"},
	{"//", "a comment, which JSON does not allow"},
	{"/*", "a comment, which JSON does not allow"},
	{"#", "a comment, which JSON does not allow"},
	{"\x00", "NUL bytes, as in files after a crash of the machine that wrote them"},
	{",", "a misplaced comma"},
	{"'", "single quotes, which JSON does not allow"},
	{"\n", "a misplaced line break"},
	{"\r", "a misplaced line break"},
	{"\t", "a misplaced tab"},
}

// longestBreaker is the length of the longest prefix.
const longestBreaker = 7

// breaker returns what breaks the JSON at the start of rest, or "".
func breaker(rest []byte) string {
	for _, b := range breakers {
		if bytes.HasPrefix(rest, []byte(b.prefix)) {
			return b.detail
		}
	}
	return ""
}

// fold returns the key that encoding/json matches a key with. Like encoding/json it
// ignores case and also maps the long s and the Kelvin sign.
func fold(key []byte) []byte {
	plain := true
	for _, c := range key {
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return key
	}
	folded := make([]byte, 0, len(key))
	for len(key) > 0 {
		r, n := utf8.DecodeRune(key)
		switch {
		case 'A' <= r && r <= 'Z':
			r += 'a' - 'A'
		case r == '\u017f':
			r = 's'
		case r == '\u212a':
			r = 'k'
		}
		folded = utf8.AppendRune(folded, r)
		key = key[n:]
	}
	return folded
}
