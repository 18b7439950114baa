package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"tfhaul/crash"
)

// canAsk reports whether a user can see and answer questions.
func (p *process) canAsk() bool {
	in, ok := p.stdin.(*os.File)
	return ok && term.IsTerminal(int(in.Fd())) && p.stderr.interactive
}

// ask asks a question that only yes answers with yes. It ends with ctx; what reads
// the answer is left behind then, as the process ends.
func (p *process) ask(ctx context.Context, question string) (bool, error) {
	p.stderr.message("", question)
	fmt.Fprint(p.stderr, "Only 'yes' will be accepted to confirm: ")
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	crash.Go(ctx, func() {
		text, err := bufio.NewReader(io.LimitReader(p.stdin, 1<<10)).ReadString('\n')
		answered <- answer{text, err}
	})
	select {
	case <-ctx.Done():
		fmt.Fprintln(p.stderr)
		return false, ctx.Err()
	case a := <-answered:
		if a.err != nil && !errors.Is(a.err, io.EOF) {
			return false, a.err
		}
		return strings.TrimSpace(a.text) == "yes", nil
	}
}
