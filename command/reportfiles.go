package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/plainwords"
)

// A reportFiles names the files for other programs that several commands write.
type reportFiles struct {
	sarif, markdown, markdownAppend string // "" for none
	force                           bool   // replaces files that are not ours
}

// reportFlags are the flags of reportFiles, without --force.
func reportFlags() []cli.Flag {
	return []cli.Flag{
		fileFlag("sarif", "also write SARIF 2.1.0 to `FILE`, for code scanning"),
		fileFlag("markdown", "also write Markdown to `FILE`, for a comment on a pull request; at most 60 KB"),
		fileFlag("markdown-append", "also append Markdown to `FILE`, for the summary of a job"),
	}
}

// readReportFiles reads the flags, and checks that the files can be written.
func readReportFiles(c *cli.Context) (f reportFiles, err error) {
	f.force = c.Bool("force")
	if f.sarif, err = reportPath(c, "sarif"); err != nil {
		return f, err
	}
	if f.markdown, err = reportPath(c, "markdown"); err != nil {
		return f, err
	}
	f.markdownAppend, err = appendPath(c, "markdown-append")
	return f, err
}

// writeReports writes the files, and says so. It writes as many as it can.
func (p *process) writeReports(f reportFiles, sarif, markdown func(io.Writer) error) error {
	var failed error
	wrote := func(path string, write func(path string) error) {
		if path == "" {
			return
		}
		if err := write(path); err != nil {
			failed = errors.Join(failed, err)
			return
		}
		p.tellWrote(path)
	}
	wrote(f.sarif, func(path string) error { return writeFile(path, f.force, sarif) })
	wrote(f.markdown, func(path string) error { return writeFile(path, f.force, markdown) })
	wrote(f.markdownAppend, func(path string) error { return appendFile(path, markdown) })
	return failed
}

// appendPath returns the path of the file that the flag names, or "". It checks that a
// report can be appended to it before the work starts.
func appendPath(c *cli.Context, flag string) (string, error) {
	path := c.String(flag)
	switch {
	case path == "":
		return "", nil
	case path == "-":
		return "", usagef("--%s takes the name of a file, and no - for stdout: a report and a text would stand in one stream", flag)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return "", usagef("the report %q cannot be written: %v", path, plainwords.WithoutPath(err))
	}
	return path, mustTakeMore(path)
}

// mustTakeMore refuses to append to what could be a state or a journal, and to what is no
// file.
func mustTakeMore(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return usagef("the report %q cannot be written: %v", path, plainwords.WithoutPath(err))
	case info.IsDir():
		return usagef("%q is a directory: name a file", path)
	case !info.Mode().IsRegular():
		return nil
	case isOurOutput(info):
		return usagef("%q is where the output of tfhaul itself goes: name another file", path)
	}
	head, err := beginningOf(path)
	switch {
	case err != nil:
		return usagef("%q exists and cannot be read (%v), so nothing is appended to it: name another file", path, plainwords.WithoutPath(err))
	case strings.HasPrefix(strings.TrimSpace(head), "{"):
		return usagef("%q is JSON and could be a state or a journal, so nothing is appended to it: name another file", path)
	}
	return nil
}

// appendFile appends to a file in one write, after a newline if the file does not end with
// one. Others may read it: it holds no secret.
func appendFile(path string, write func(io.Writer) error) error {
	if err := mustTakeMore(path); err != nil { // it may have come while the content was made
		return err
	}
	var text strings.Builder
	if err := write(&text); err != nil {
		return err
	}
	err := appendText(path, text.String())
	if err != nil {
		return fmt.Errorf("%q cannot be written: %w", path, plainwords.WithoutPath(err))
	}
	return nil
}

func appendText(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
	if errors.Is(err, fs.ErrPermission) { // perhaps it can only be written
		file, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	}
	if err != nil {
		return err
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		var last [1]byte
		if _, err := file.ReadAt(last[:], info.Size()-1); err != nil || last[0] != '\n' {
			text = "\n" + text
		}
	}
	_, err = io.WriteString(file, text)
	return errors.Join(err, file.Close())
}
