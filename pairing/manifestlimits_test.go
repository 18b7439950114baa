package pairing

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"tfhaul/plainhcl"
)

// movesOf returns a manifest with n moves.
func movesOf(n int, source, workspace string) []byte {
	const head = "target {\n  hostname     = \"app.terraform.io\"\n  organization = \"acme\"\n}\n"
	const move = "\nmove \"%s%d\" {\n  workspace = \"%s-%[2]d\"\n  serial    = 41\n  md5       = \"9e107d9d372bb6826bd81d3542a419d6\"\n  relation  = \"fresh\" # seen\n}\n"
	b := []byte(head)
	for i := range n {
		b = fmt.Appendf(b, move, source, i, workspace)
	}
	return b
}

func TestManifestsWithTooManyTokensAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"signs":       strings.Repeat("+", maxManifest),
		"empty lines": strings.Repeat("\n", maxManifest),
		"a list":      "a = [" + strings.Repeat("1,", plainhcl.MaxTokens) + "]",
		"strings":     "a = [" + strings.Repeat(`"",`, plainhcl.MaxTokens) + "]",
		"not UTF-8":   strings.Repeat("\xff", maxManifest),
		"templates":   `a = "` + strings.Repeat("${a}", plainhcl.MaxTokens) + `"`,
	} {
		_, err := ReadManifest(strings.NewReader(text), "haul.hcl")
		if err == nil || !strings.Contains(err.Error(), "split it") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func TestLargestManifestIsWithinTheLimit(t *testing.T) {
	if plainhcl.TooLong(movesOf(MaxManifestMoves, "s3://bucket/env/prod/", "prod")) {
		t.Errorf("%d moves have more than %d tokens", MaxManifestMoves, plainhcl.MaxTokens)
	}
	m := &Manifest{Moves: make([]*ManifestMove, MaxManifestMoves+1)}
	if n, err := m.WriteTo(io.Discard); n > 0 || err == nil || !strings.Contains(err.Error(), "--include") {
		t.Errorf("wrote %d bytes of a manifest that cannot be read: %v", n, err)
	}
}

func TestManifestsOf10000MovesWithLongNamesAreRead(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	long := strings.Repeat("s3://bucket/a-b.c/", 100) // 1.8 KB
	m, err := ReadManifest(bytes.NewReader(movesOf(10_000, long, "prod")), "haul.hcl")
	if err != nil || len(m.Moves) != 10_000 {
		t.Errorf("%.200v", err)
	}
}
