package pairing

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"tfhaul/migrate"
	"tfhaul/plainwords"
)

// A mapLine is a line of a map file.
type mapLine struct {
	number            int
	source, workspace string
	// own are the settings in the other columns.
	own ManifestSettings
	// autoApply is the text of the column auto_apply.
	autoApply string
}

// mapColumns are the columns that a header can name, and what each sets. Columns without a
// function are for the reader: a plan writes them.
var mapColumns = map[string]func(*mapLine, string){
	"source":            func(l *mapLine, text string) { l.source = text },
	"workspace":         func(l *mapLine, text string) { l.workspace = text },
	"key":               func(l *mapLine, text string) { l.workspace = text },
	"project":           func(l *mapLine, text string) { l.own.Project = ifSet(text) },
	"tags":              func(l *mapLine, text string) { l.own.Tags = splitTags(text) },
	"execution_mode":    func(l *mapLine, text string) { l.own.ExecutionMode = ifSet(text) },
	"agent_pool":        func(l *mapLine, text string) { l.own.AgentPool = ifSet(text) },
	"terraform_version": func(l *mapLine, text string) { l.own.TerraformVersion = ifSet(text) },

	"description":                func(l *mapLine, text string) { l.own.Description = ifSet(text) },
	"working_directory":          func(l *mapLine, text string) { l.own.WorkingDirectory = ifSet(text) },
	"auto_apply":                 func(l *mapLine, text string) { l.autoApply = text },
	"remote_state_consumers":     func(l *mapLine, text string) { l.own.Consumers = splitTags(text) },
	"source_name":                func(l *mapLine, text string) { l.own.SourceName = ifSet(text) },
	"source_url":                 func(l *mapLine, text string) { l.own.SourceURL = ifSet(text) },
	"vcs_repository":             func(l *mapLine, text string) { l.repository().Identifier = ifSet(text) },
	"vcs_branch":                 func(l *mapLine, text string) { l.repository().Branch = ifSet(text) },
	"oauth_token_id":             func(l *mapLine, text string) { l.repository().OAuthTokenID = ifSet(text) },
	"github_app_installation_id": func(l *mapLine, text string) { l.repository().AppInstallationID = ifSet(text) },

	"relation": nil,
	"serial":   nil,
	"size":     nil,
	"reason":   nil,
}

// columnNames lists the columns for messages.
const columnNames = "source, workspace (or key), project, tags, execution_mode, agent_pool, terraform_version, description, working_directory, auto_apply, " +
	"remote_state_consumers, vcs_repository, vcs_branch, oauth_token_id, github_app_installation_id, source_name and source_url, and for notes relation, serial, size and reason"

// repository returns the line's VCS repository.
func (l *mapLine) repository() *ManifestRepository {
	if l.own.VCS == nil {
		l.own.VCS = &ManifestRepository{}
	}
	return l.own.VCS
}

// splitTags splits a list of tags, which are separated by semicolons because they can contain
// spaces.
func splitTags(text string) []string {
	var tags []string
	for tag := range strings.SplitSeq(text, ";") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// headerOf returns the columns in the order of a header line, or nil if the line is not one.
func headerOf(record []string) ([]string, error) {
	columns := make([]string, len(record))
	for i, name := range record {
		columns[i] = strings.ToLower(name)
	}
	named := slices.Contains(columns, "workspace")
	if keyed := slices.Contains(columns, "key"); !slices.Contains(columns, "source") || !named && !keyed {
		return nil, nil
	} else if named && keyed {
		return nil, errors.New("it has the columns workspace and key: keep workspace for workspaces, or key for a bucket or directory")
	}
	for i, name := range columns {
		if _, known := mapColumns[name]; !known {
			return nil, fmt.Errorf("unknown column %q: the columns are %s", record[i], columnNames)
		}
		if slices.Contains(columns[:i], name) {
			return nil, fmt.Errorf("the column %q appears twice", record[i])
		}
	}
	return columns, nil
}

// readMap reads a map file.
func readMap(path string) ([]mapLine, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the map %q cannot be read: %w", path, plainwords.WithoutPath(err))
	}
	lines, err := parseMap(file, path)
	if closed := file.Close(); err == nil && closed != nil {
		err = closed
	}
	return lines, err
}

// Limits of a map: in memory, lines and their fields take many times their size in the
// file.
const (
	maxMapLines = 200_000
	maxMapLine  = 2 << 20 // bytes, including the comments before it
)

// lineByLine fails when a line is too long.
type lineByLine struct {
	from io.Reader
	left int // bytes left for this line
}

// errLongLine is returned when a line of a map is too long.
var errLongLine = fmt.Errorf("a line is longer than %d MB: is this a CSV file of sources and workspaces?", maxMapLine>>20)

func (l *lineByLine) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	if l.left -= n; l.left < 0 {
		return 0, errLongLine
	}
	return n, err
}

// notCSV is how workbooks begin, which spreadsheets save by default.
var notCSV = []string{"PK\x03\x04", "\xd0\xcf\x11\xe0"}

// isUTF16 reports whether a file begins like UTF-16: with a byte order mark, or with ASCII
// characters in which every other byte is 0.
func isUTF16(begin []byte) bool {
	if bytes.HasPrefix(begin, []byte("\xff\xfe")) || bytes.HasPrefix(begin, []byte("\xfe\xff")) {
		return true
	}
	if len(begin) < 4 {
		return false
	}
	zeros := [2]int{}
	for i, b := range begin {
		if b == 0 {
			zeros[i%2]++
		}
	}
	return zeros[0] == 0 && zeros[1] > len(begin)/4 || zeros[1] == 0 && zeros[0] > len(begin)/4
}

// fieldsOf returns the number of fields in a line, in words.
func fieldsOf(record []string) string {
	if len(record) == 1 {
		return "one field"
	}
	return fmt.Sprintf("%d fields", len(record))
}

// withoutHeader explains a line with more columns than a map without a header has.
func withoutHeader(record, columns []string) string {
	if len(record) < len(columns) || len(columns) != 2 {
		return ""
	}
	return "; more columns need a header line, such as source,workspace,project"
}

// plainQuote explains an error about quotes.
func plainQuote(err error) error {
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		return errors.New("there is a quote inside a field: quote the whole field, and double the quote")
	case errors.Is(err, csv.ErrQuote):
		return errors.New("a field begins with a quote but does not end with one")
	}
	return err
}

// parseMap reads source,workspace lines, or those of the columns that a header line names. It
// skips comments, which begin with #. Its errors include the line number.
func parseMap(r io.Reader, path string) ([]mapLine, error) {
	line := &lineByLine{from: r, left: maxMapLine}
	in := bufio.NewReader(line)
	for _, head := range notCSV {
		if begin, err := in.Peek(len(head)); err == nil && string(begin) == head {
			return nil, fmt.Errorf("%s is not CSV in UTF-8: save it as UTF-8 CSV", path)
		}
	}
	if begin, _ := in.Peek(64); isUTF16(begin) {
		return nil, fmt.Errorf("%s is UTF-16, not CSV in UTF-8: save it as UTF-8 CSV", path)
	}
	// Spreadsheets write a byte order mark.
	if bom, err := in.Peek(3); err == nil && bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3) // it was just peeked
	}
	table := csv.NewReader(in)
	table.Comment, table.TrimLeadingSpace, table.FieldsPerRecord = '#', true, -1
	columns := []string{"source", "workspace"}
	var lines []mapLine
	for first := true; ; first = false {
		line.left = maxMapLine
		record, err := table.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if broken, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, fmt.Errorf("%s:%d: %w", path, broken.Line, plainQuote(broken.Err))
		}
		if err != nil {
			return nil, fmt.Errorf("the map %q cannot be read: %w", path, plainwords.WithoutPath(err))
		}
		number, _ := table.FieldPos(0)
		for i := range record {
			record[i] = strings.TrimSpace(record[i])
		}
		if first {
			header, err := headerOf(record)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, number, err)
			}
			if header != nil {
				columns = header
				continue
			}
		}
		if len(record) != len(columns) {
			return nil, fmt.Errorf("%s:%d: each line must be %s, but this one has %s%s", path, number, strings.Join(columns, ","), fieldsOf(record), withoutHeader(record, columns))
		}
		l := mapLine{number: number}
		for i, text := range record {
			if set := mapColumns[columns[i]]; set != nil {
				set(&l, text)
			}
		}
		if l.source == "" || l.workspace == "" {
			return nil, fmt.Errorf("%s:%d: the source and the workspace must not be empty", path, number)
		}
		if len(lines) == maxMapLines {
			return nil, fmt.Errorf("%s has more than %d lines: split it into several maps", path, maxMapLines)
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s has no source,workspace lines, so there is nothing to do", path)
	}
	return lines, nil
}

// settings returns the settings of a line's move, or nil if they are those of all moves.
func (l *mapLine) settings(of migrate.Settings) (*migrate.Settings, error) {
	switch l.autoApply {
	case "":
	case "true", "false":
		applies := l.autoApply == "true"
		l.own.AutoApply = &applies
	default:
		return nil, fmt.Errorf("auto_apply cannot be %q: write true or false", l.autoApply)
	}
	if r := l.own.VCS; r != nil && r.Identifier == nil { // a line without a repository
		l.own.VCS = nil
	}
	what := l.own.describesCreation()
	switch {
	case what == "":
		return nil, nil
	case !of.Create && !of.UpdateSettings:
		return nil, fmt.Errorf("%s describes a new workspace and requires --create, or --update-settings to change one that exists", what)
	}
	if err := l.own.over(&of); err != nil {
		return nil, err
	}
	return &of, checkVCS(of.CreateOptions.More.Repository())
}
