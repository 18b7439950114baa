package command

import (
	"bytes"
	"encoding/csv"
	"io"
	"strings"
	"testing"
)

// FuzzParseMap: what is read of a map can be written, and is the same when it is
// read again; an error names the file.
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
			t.Fatalf("%d lines, and written and read again %d: %v", len(lines), len(reread), err)
		}
		for i, line := range reread {
			// A CSV reader makes one line break of CR LF.
			unix := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
			if unix(line.source) != unix(lines[i].source) || unix(line.workspace) != unix(lines[i].workspace) {
				t.Fatalf("%+v became %+v", lines[i], line)
			}
		}
	})
}

// FuzzArguments: no command line makes the program panic, and what it says of one
// that is wrong steers no terminal. Lines are arguments. Nothing is run.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		"move\na\nacme/net", "move\n--json\n--\n-x\nacme/net", "--log-level\ndebug\nversion", "move\n--dry-run=perhaps", "-\n--", "help\nmove", "mvoe",
		"move\n--lock-timeout", "move\n--\n--\n--", "--help\n--version", "move\n---json", "=\n-=\n--=", "audit\n--include\n[a-", "\x1b[2J", "completion\nbash", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		p := &process{stdin: strings.NewReader(""), stdout: &terminal{w: io.Discard}, stderr: &terminal{w: &out}, held: &heldLocks{}}
		args := append([]string{"tfhaul"}, strings.Split(text, "\n")...)
		arranged, err := p.arrange(p.app(), args)
		if err == nil {
			if len(arranged) == 0 || arranged[0] != "tfhaul" {
				t.Fatalf("arranged as %q", arranged)
			}
			return
		}
		switch code := p.exitCode(t.Context(), err); code {
		case exitDone, exitUsage:
		default:
			t.Errorf("exit code %d: %s", code, &out)
		}
		if strings.ContainsAny(out.String(), "\x1b\x07\r\x00") {
			t.Errorf("a control character is shown: %q", &out)
		}
	})
}
