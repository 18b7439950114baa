package command

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

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
