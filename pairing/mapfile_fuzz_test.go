package pairing

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
)

// FuzzParseMap checks that every map that can be read can be written and reads back the
// same, and that errors name the file.
func FuzzParseMap(f *testing.F) {
	for _, seed := range []string{
		"source,workspace\na.tfstate,net\n", "\xef\xbb\xbfsource,workspace\r\n\"a,b\",\"n\"\"t\"\r\n", "# a comment\n a , b \n", "a\n", "a,b,c\n",
		"\"a\nb\",c\n", "\xff\xfea\x00", "PK\x03\x04", "a,\"b", "a,b\"c\n", "\x00,\x00\n", ",\n", "\n\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lines, err := parseMap(bytes.NewReader(text), "map.csv")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "map.csv") {
				t.Fatal("the error does not name the file:", err)
			}
			return
		}
		var again bytes.Buffer
		table := csv.NewWriter(&again)
		if err := table.Write([]string{"source", "workspace"}); err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if line.source == "" || line.workspace == "" || line.number < 1 {
				t.Fatalf("%+v", line)
			}
			source := line.source
			if strings.HasPrefix(source, "#") {
				return // which would be a comment
			}
			if err := table.Write([]string{source, line.workspace}); err != nil {
				t.Fatal(err)
			}
		}
		table.Flush()
		reread, err := parseMap(&again, "map.csv")
		if err != nil || len(reread) != len(lines) {
			t.Fatalf("%d lines, but %d after writing and reading: %v", len(lines), len(reread), err)
		}
		for i, line := range reread {
			// A CSV reader turns CR LF into one line break.
			unix := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
			if unix(line.source) != unix(lines[i].source) || unix(line.workspace) != unix(lines[i].workspace) {
				t.Fatalf("%+v became %+v", lines[i], line)
			}
		}
	})
}
