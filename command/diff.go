package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/audit"
	"tfhaul/backend"
	"tfhaul/diff"
	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/report"
	"tfhaul/statefile"
)

// A diffStates compares two states.
type diffStates struct {
	connector
	refs     [2]string
	options  diff.Options
	detailed bool
	all      bool
}

func (p *process) diffCommand() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "show how two states, or two versions of a state, differ",
		UsageText: "tfhaul diff [flags] A B",
		Description: `Reads two states and shows how B differs from A: only in formatting, only in metadata (serial, lineage, versions, check
results), or in content: which resources and outputs were added, removed and changed, and in which attributes. It needs no
Terraform and no provider, writes nothing, and shows no values unless you ask for them.

A and B are each one state: ` + sourceForms() + `,
or [HOST/]ORG/WORKSPACE. To name an older version, add @ and its serial or, for a workspace, its ID; tfhaul history lists them.
Addresses of objects can also have a parameter for the version, such as ?versionId= and ?generation=.

--show-values shows texts, numbers and bools that changed. It never shows what the state marks as sensitive, nor what has the
name or the form of a secret. States of older versions of Terraform do not mark every secret: do not publish this output.

Examples:
  tfhaul diff network/terraform.tfstate acme/network         what migrate would overwrite
  tfhaul diff acme/network@41 acme/network                   what changed since serial 41
  tfhaul diff s3://acme-tfstate/net.tfstate ./net.tfstate --json

Exit codes: 0 compared; 1 a state could not be read; 2 with --detailed-exitcode, the states differ in content; 4 usage or
configuration error; 130 interrupted.`,
		Flags: append([]cli.Flag{
			switchFlag("show-values", "show values that changed and are not sensitive"),
			switchFlag("all", "show every resource, even in long lists"),
			switchFlag("detailed-exitcode", "exit 2 if resources or outputs differ"),
		}, append(connectFlags(), jsonFlag())...),
		Action: action(p.parseDiff),
	}
}

func (p *process) parseDiff(c *cli.Context) (*diffStates, error) {
	args, err := exactly(c, "A", "B")
	if err != nil {
		return nil, err
	}
	if args[0] == "-" && args[1] == "-" {
		return nil, usagef("standard input can be read only once: name a file for one of the two")
	}
	d := &diffStates{detailed: c.Bool("detailed-exitcode"), all: c.Bool("all")}
	d.options = diff.Options{Values: c.Bool("show-values"), SecretName: audit.SecretName}
	if d.connector, err = p.connector(c); err != nil {
		return nil, err
	}
	for n, arg := range args {
		d.refs[n] = d.reference(arg)
	}
	return d, nil
}

// reference returns the address of a state as a source: [HOST/]ORG/WORKSPACE is a workspace,
// unless there is such a file.
func (n connector) reference(given string) string {
	base, _ := cutVersion(given)
	if backend.Scheme(given) != "" || given == "-" || isFile(base) || isFile(given) || strings.HasSuffix(base, backend.StateExt) {
		return given
	}
	if _, err := n.workspaceAddress(base); err != nil {
		return given
	}
	return "tfe://" + given
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// cutVersion splits a version from the address of a state: a serial or an ID after an @ in
// its last part.
func cutVersion(ref string) (base, version string) {
	at := strings.LastIndexByte(ref, '@')
	if at <= strings.LastIndexByte(ref, '/') || at < 1 || at == len(ref)-1 || strings.HasSuffix(ref, backend.StateExt) || isFile(ref) {
		return ref, ""
	}
	return ref[:at], ref[at+1:]
}

// Run compares and reports.
func (d *diffStates) Run(ctx context.Context) error {
	d.kinds.Expect(d.refs[:])
	var states [2]diff.State
	for n, ref := range d.refs {
		var err error
		if states[n], err = d.find(ctx, ref); err != nil {
			return err
		}
	}
	result, err := diff.Compare(states[0], states[1], d.options)
	if err != nil {
		return err
	}
	if d.json {
		err = report.JSON(d.stdout, result)
	} else {
		err = report.Diff(d.stdout, d.stdout.style(), result, d.all)
	}
	if err == nil && d.detailed && result.Kind == diff.Content {
		err = ended(exitWork)
	}
	return err
}

// find returns a state, pinned to the version that is read first.
func (d *diffStates) find(ctx context.Context, ref string) (diff.State, error) {
	base, wanted := cutVersion(ref)
	state, err := findOne(ctx, d.kinds, base)
	if err != nil {
		return diff.State{}, err
	}
	var pinned *backend.Version
	if wanted != "" {
		if pinned, err = findVersion(ctx, state, wanted); err != nil {
			return diff.State{}, err
		}
	}
	found := diff.State{Side: diff.Side{Name: backend.Printable(state.Address())}}
	if pinned != nil {
		found.Version = pinned.ID
	}
	found.Open = func() (io.ReadCloser, error) {
		body, version, err := state.Open(ctx, pinned)
		if err != nil {
			return nil, err
		}
		if pinned == nil {
			pinned = &version
		}
		return interruptible{ctx, body}, nil
	}
	return found, nil
}

// interruptible ends a long read when ctx ends.
type interruptible struct {
	ctx context.Context
	io.ReadCloser
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.ReadCloser.Read(p)
}

// findVersion returns the version of a state with an ID or a serial. Where the backend does
// not report serials, it reads the beginning of each version.
func findVersion(ctx context.Context, state backend.State, wanted string) (*backend.Version, error) {
	historic, ok := state.(backend.Historic)
	if !ok {
		return nil, usagef("%s keeps no older versions, so %q cannot be chosen: leave out the @", state.Address(), wanted)
	}
	serial, err := strconv.ParseInt(wanted, 10, 64)
	isSerial := err == nil
	for version, err := range historic.Versions(ctx) {
		switch {
		case err != nil:
			return nil, err
		case version.Announced || version.Gone:
			continue
		case version.ID == wanted:
			return version, nil
		case !isSerial:
			continue
		case version.Serial == 0:
			if version.Serial, err = serialOf(ctx, state, version); err != nil {
				return nil, err
			}
		}
		if version.Serial == serial {
			return version, nil
		}
	}
	return nil, usagef("%s has no version %q: tfhaul history %s lists the versions", state.Address(), wanted, plainwords.ShellWord(strings.TrimPrefix(state.Address(), "tfe://")))
}

// serialOf reads the serial of a version; -1 if it is not a state.
func serialOf(ctx context.Context, state backend.State, version *backend.Version) (int64, error) {
	body, _, err := state.Open(ctx, version)
	if err != nil {
		return 0, fmt.Errorf("version %s of %s cannot be read: %w", version.ID, state.Address(), err)
	}
	// Terraform writes the serial in the first lines, so the rest need not be a state.
	snapshot, _ := statefile.Read(io.LimitReader(body, 4<<10))
	_ = body.Close() // the beginning was read
	if snapshot.Format == 0 {
		return -1, nil
	}
	return snapshot.Serial, nil
}

// tellDiff prints the command that shows why a move was refused, for the first one that was
// refused because the target holds another state.
func (p *process) tellDiff(results []migrate.Result) {
	for _, r := range results {
		different := r.Code == migrate.CodeDiverged || r.Code == migrate.CodeStale || r.Code == migrate.CodeUnrelated
		if r.Outcome == migrate.Refused && different && r.Source != "-" {
			p.tellNext("to see how the states differ: tfhaul diff %s %s", report.Plain(plainwords.ShellWord(r.Source)), report.Plain(plainwords.ShellWord(r.Target)))
			return
		}
	}
}
