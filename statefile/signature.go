package statefile

import (
	"bytes"
	"unicode/utf8"
)

// A signature is how files begin that are not JSON.
type signature struct {
	prefix string
	kind   Kind
	detail string
}

// signatures are looked at in this order.
var signatures = []signature{
	{"\xef\xbb\xbf", KindBOM, ""},
	{"\xff\xfe", KindUTF16, ""},
	{"\xfe\xff", KindUTF16, ""},
	{"{\x00", KindUTF16, ""},
	{"\x00{", KindUTF16, ""},
	{"\x00\x00\xfe\xff", KindUTF16, ""},
	{"\x00\x00\x00{", KindUTF16, ""},
	{"\x00GITCRYPT\x00", KindEncrypted, "git-crypt"},
	{"\x00\x00", KindNotJSON, "it begins with NUL bytes, as files do after a crash of the machine that wrote them"},
	{"PK\x03\x04", KindPlanFile, ""},
	{"PK\x05\x06", KindPlanFile, ""},
	{"\x1f\x8b", KindCompressed, "gzip"},
	{"\x28\xb5\x2f\xfd", KindCompressed, "zstd"},
	{"BZh", KindCompressed, "bzip2"},
	{"\xfd7zXZ\x00", KindCompressed, "xz"},
	{"tfstate", KindFormat0, "it is a binary state of Terraform before 0.7"},
	{"$ANSIBLE_VAULT;", KindEncrypted, "Ansible Vault"},
	{"age-encryption.org/", KindEncrypted, "age"},
	{"-----BEGIN AGE ENCRYPTED FILE-----", KindEncrypted, "age"},
	{"-----BEGIN PGP MESSAGE-----", KindEncrypted, "PGP"},
	{"version https://git-lfs.github.com/spec/", KindPlaceholder, "a Git LFS pointer"},
	{"<<<<<<< ", KindNotJSON, "it begins with the conflict markers of a failed merge"},
	{"<", KindNotJSON, "it begins like HTML or XML, as the error pages of servers do"},
}

// sniff tells from the first bytes of a file what it is, if it is one of the
// signatures or has nothing but blanks at its beginning.
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

// breakers are what breaks JSON in ways that have a name.
var breakers = []struct{ prefix, detail string }{
	{"<<<<<<<", "conflict markers of a failed merge"},
	{"=======", "conflict markers of a failed merge"},
	{">>>>>>>", "conflict markers of a failed merge"},
	{"//", "a comment, which JSON does not know"},
	{"/*", "a comment, which JSON does not know"},
	{"#", "a comment, which JSON does not know"},
	{"\x00", "NUL bytes, as files hold after a crash of the machine that wrote them"},
	{",", "a comma where none may stand"},
	{"'", "single quotes, which JSON does not know"},
	{"\n", "a line break where none may stand"},
	{"\r", "a line break where none may stand"},
	{"\t", "a tab where none may stand"},
}

// longestBreaker is the length of the longest of them.
const longestBreaker = 7

// breaker names what breaks the JSON where rest begins, or returns "".
func breaker(rest []byte) string {
	for _, b := range breakers {
		if bytes.HasPrefix(rest, []byte(b.prefix)) {
			return b.detail
		}
	}
	return ""
}

// fold turns a key into the one of Terraform's keys that encoding/json takes it
// for. It folds letters as encoding/json does, which to the letters of
// Terraform's keys adds, besides capitals, the long s and the Kelvin sign.
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
