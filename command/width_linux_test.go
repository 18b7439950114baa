package command_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
	"golang.org/x/sys/unix"
)

// openTerminal opens a terminal of some width: what is written to user is what the program
// prints to program. It skips the test where there is none.
func openTerminal(t *testing.T, width int) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: there are no terminals: %v", err)
	}
	t.Cleanup(func() { _ = user.Close() })
	fd := int(user.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(width)}); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return user, program
}

// onTerminal returns what a command prints to a terminal.
func onTerminal(t *testing.T, width int, environ []string, args ...string) string {
	t.Helper()
	user, program := openTerminal(t, width)
	run := exec.CommandContext(t.Context(), binary(t), args...)
	run.Env = append(os.Environ(), append(environ, "TERM=xterm")...)
	run.Stdout, run.Stderr = program, program
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, _ = b.ReadFrom(user) // ends with EIO when the program has ended
	_ = run.Wait()
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}

// TestTerminalWidths runs commands on terminals, where only names and commands may be wider
// than the terminal.
func TestTerminalWidths(t *testing.T) {
	t.Parallel()
	for _, width := range []int{80, 100, 160} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			t.Parallel()
			for _, line := range []string{
				"--help", "help migrate", "move --help", "demo", "moev", "move a", "move terraform.tfstate 'not a name'",
				"audit ../fixtures", "audit --all ../statefile", "move --dry-run=perhaps a b", "migrate none.hcl",
			} {
				out := onTerminal(t, width, []string{"NO_COLOR=1"}, strings.Fields(line)...)
				if out == "" {
					t.Errorf("%s prints nothing", line)
				}
				for printed := range strings.Lines(out) {
					printed = strings.TrimSuffix(printed[strings.LastIndex(printed, "\r")+1:], "\n")
					if runewidth.StringWidth(printed) > width && strings.Contains(strings.TrimSpace(printed), " ") && !strings.Contains(printed, "tfhaul ") && !strings.Contains(printed, `"terraform `) {
						t.Errorf("%s: a line has %d columns: %s", line, runewidth.StringWidth(printed), printed)
					}
				}
			}
		})
	}
}

// escapeSequence matches what colors a text or clears a line.
var escapeSequence = regexp.MustCompile("\x1b\\[[0-9]*[mK]")

// TestColorIsNeverAlone compares what is printed with colors and without. Progress, which
// depends on the speed of the machine, is left out.
func TestColorIsNeverAlone(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"moev", "audit ../fixtures", "report none.jsonl"} {
		args := append(strings.Fields(line), "--quiet")
		colored, plain := onTerminal(t, 100, nil, args...), onTerminal(t, 100, []string{"NO_COLOR=1"}, args...)
		if strings.Contains(plain, "\x1b[3") || !strings.Contains(colored, "\x1b[3") {
			t.Errorf("%s: colors where there should be none, or none where there should be: %q", line, colored)
		}
		if uncolored := escapeSequence.ReplaceAllString(colored, ""); uncolored != escapeSequence.ReplaceAllString(plain, "") {
			t.Errorf("%s prints other words with colors: %s", line, uncolored)
		}
	}
}
