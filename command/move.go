package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// moveFlags say how moves are carried out.
func moveFlags() []cli.Flag {
	return []cli.Flag{
		switchFlag("dry-run", "decide and report, write nothing"),
		switchFlag("detailed-exitcode", "with --dry-run: exit 2 when there is work to do"),
		switchFlag("create", "create a missing workspace; without it, missing is refused"),
		textFlag("project", "", "with --create: make it in the project called `NAME`"),
		textFlag("terraform-version", migrate.FromState, "with --create: the version that runs use: from-state, latest, `X.Y.Z`, or a constraint such as \"~> 1.11\""),
		newChoiceFlag("execution-mode", "", "with --create: remote, local or agent (default: the project's, then the organization's)", "remote", "local", backend.AgentMode),
		textFlag("agent-pool", "", "with --execution-mode agent: the agent pool `NAME|ID` (default: the project's, then the organization's)"),
		listFlag("tag", "with --create: give it the tag `NAME|KEY=VALUE`"),
		switchFlag("include-empty", "move a state without resources and outputs, too"),
		durationFlag("lock-timeout", 0, "how long to wait for a workspace that somebody else has locked"),
		listFlag("replace", "allow replacing unrelated, diverged or newer state in `WORKSPACE`, after a backup (with --bump-serial: by a serial above the workspace's)"),
		listFlag("bump-serial", "where only the serial is too low for `WORKSPACE`, raise it above the workspace's (with --replace: also where the lineage differs)"),
		listFlag("allow", "move a state that Terraform cannot use, into the named workspace: `WORKSPACE=unusable`"),
		textFlag("backup-dir", migrate.DefaultBackupDir, "keep what is replaced in `DIR`, readable by you only"),
		switchFlag("lock-source", "hold the source's own lock during the move, so that nobody applies there (S3)"),
		switchFlag("freeze-source", "leave that lock in place once the state has arrived, and say how to lift it"),
		newChoiceFlag("on-failure", string(migrate.KeepLock), "keep or unlock the workspace when what it holds is unproven",
			string(migrate.KeepLock), string(migrate.ClearLock)),
		newChoiceFlag("upload", string(migrate.UploadAuto), "how a state is sent: inline (in the request), signed (to a signed URL; inline if that is blocked) or auto (inline up to 4 MiB, else signed; the other way if one is refused)",
			string(migrate.UploadAuto), string(migrate.UploadInline), string(migrate.UploadSigned)),
		fileFlag("journal", "record every step in `FILE`; the same file continues (default: one in the user's state directory, removed at the end)"),
	}
}

// onlyWithCreate are the flags that say how a workspace is made.
var onlyWithCreate = []string{"project", "terraform-version", "execution-mode", "agent-pool", "tag"}

// moveOptions reads moveFlags.
func (p *process) moveOptions(c *cli.Context) (migrate.Options, error) {
	o := migrate.Options{DryRun: c.Bool("dry-run"), BackupDir: c.String("backup-dir"), Settings: migrate.Settings{
		Create: c.Bool("create"), IncludeEmpty: c.Bool("include-empty"), LockTimeout: c.Duration("lock-timeout"),
		LockSource: c.Bool("lock-source"), FreezeSource: c.Bool("freeze-source"),
		CreateOptions: backend.CreateOptions{
			Project: c.String("project"), TerraformVersion: c.String("terraform-version"),
			ExecutionMode: c.String("execution-mode"), AgentPool: c.String("agent-pool"), Tags: c.StringSlice("tag"),
		},
	}}
	o.OnFailure, o.Upload = migrate.LockPolicy(c.String("on-failure")), migrate.UploadMode(c.String("upload"))
	if o.CreateOptions.AgentPool != "" && o.CreateOptions.ExecutionMode != backend.AgentMode {
		return o, usagef("--agent-pool requires --execution-mode agent")
	}
	for _, tag := range o.CreateOptions.Tags {
		if err := backend.CheckTag(tag); err != nil {
			return o, usagef("%s cannot be %q: %v", p.originOf("tag"), tag, err)
		}
	}
	for _, name := range onlyWithCreate {
		if p.typed[name] && !o.Create {
			return o, usagef("--%s says how a missing workspace is made: it wants --create", name)
		}
	}
	if p.typed["detailed-exitcode"] && !o.DryRun && !planning[c.Command.Name] {
		return o, usagef("--detailed-exitcode says whether a dry run found work: it wants --dry-run")
	}
	return o, nil
}

// planning are the commands that are dry runs of themselves.
var planning = map[string]bool{"plan": true, "rehearse": true}

// A moveOne moves one snapshot into one workspace.
type moveOne struct {
	connector
	source   string
	move     migrate.Move // without its object
	options  migrate.Options
	journal  string
	detailed bool
}

func (p *process) moveCommand() *cli.Command {
	flags := append(moveFlags(), textFlag("run", "", "associate the state version with `RUN-ID`, the run that has locked the workspace"))
	return &cli.Command{
		Name:      "move",
		Usage:     "move one state into one workspace",
		UsageText: "tfhaul move [flags] SOURCE [HOST/]ORG/WORKSPACE",
		Description: `Reads the state, compares it with what the workspace holds, locks the workspace, sends the state byte for byte,
reads it back, compares all bytes, and unlocks. A state that is older than the workspace's, or that belongs to
something else, is refused. Nothing is left locked, or you are told which workspace is and how to free it.

SOURCE is a file, a directory that holds one state, s3://BUCKET/KEY, or - for standard input.
HOST is app.terraform.io unless you name another, or set TFE_ADDRESS or TFE_HOSTNAME.

Examples:
  tfhaul move terraform.tfstate acme/network                     into app.terraform.io
  tfhaul move --dry-run terraform.tfstate acme/network           say what would happen, write nothing
  tfhaul move --create --lock-timeout 5m a.tfstate tfe.example.com/acme/a
  terraform state pull | tfhaul move - acme/network --json       for scripts

Exit codes: 0 moved, or already there; 1 failed; 2 with --dry-run --detailed-exitcode: it would be moved;
3 refused, and needs a decision; 4 the command line or the configuration is wrong; 130 interrupted.`,
		Flags:  append(append(flags, connectFlags()...), jsonFlag()),
		Action: action(p.parseMove),
	}
}

func (p *process) parseMove(c *cli.Context) (*moveOne, error) {
	args, err := exactly(c, "SOURCE", "[HOST/]ORG/WORKSPACE")
	if err != nil {
		return nil, err
	}
	m := &moveOne{source: args[0], journal: c.String("journal"), detailed: c.Bool("detailed-exitcode")}
	if m.connector, err = p.connectorTo(c, args[1]); err != nil {
		return nil, err
	}
	m.move = migrate.Move{Workspace: m.address.Workspace, Run: c.String("run")}
	if m.options, err = p.moveOptions(c); err != nil {
		return nil, err
	}
	permissions, err := p.permissions(c)
	if err != nil {
		return nil, err
	}
	return m, permitOne(&m.move, permissions)
}

// Run moves and reports.
func (m *moveOne) Run(ctx context.Context) error {
	result, err := m.findAndMove(ctx)
	if err != nil {
		var failed bool
		if result, failed = failedEarly(m.source, m.address, err); !failed {
			return err
		}
	}
	if err := show(m.process, result, report.JSON, report.Move); err != nil {
		return err
	}
	return ended(codeOfResults(ctx, []migrate.Result{result}, m.detailed))
}

// findAndMove prepares an engine and has it move what it finds.
func (m *moveOne) findAndMove(ctx context.Context) (migrate.Result, error) {
	var err error
	if m.move.Object, err = findOne(ctx, m.kinds, m.source); err != nil {
		return migrate.Result{}, err
	}
	client, err := m.connect(ctx, m.address)
	if err != nil {
		return migrate.Result{}, err
	}
	defer client.Close()
	engine := &migrate.Engine{Target: client.Target(m.address.Organization), Options: m.options, Observe: m.progress().observe}
	switch {
	case m.options.DryRun:
		engine.Haul = migrate.NewHaulID()
	case m.journal == "":
		engine.Haul = migrate.NewHaulID()
		if journal, path := m.startMoveJournal(ctx, engine.Haul); journal != nil {
			engine.Journal = journal
			defer m.endMoveJournal(journal, path)
		}
	default:
		record, err := m.openRecord(ctx, m.journal)
		if err != nil {
			return migrate.Result{}, err
		}
		record.keep()
		defer record.close()
		record.engage(engine)
	}
	return engine.Move(ctx, m.move), nil
}

// failedEarly is the result of a move, or verification, that failed before the
// engine had it, for a reason that is not the user's mistake: the source's server
// or the target's host did not do what was asked of it. Any other error has none.
func failedEarly(ref string, address tfe.Address, err error) (migrate.Result, bool) {
	r := migrate.Result{Source: ref, Target: address.String(), Outcome: migrate.Failed, Message: plainwords.Sentence(err.Error())}
	if _, ok := errors.AsType[*unreachableError](err); ok {
		r.Code = migrate.CodeUnreachable
	} else if _, ok := errors.AsType[*backend.Error](err); ok {
		r.Code = migrate.CodeUnreadable
	}
	return r, r.Code != ""
}

// mostListed is how many objects an error names.
const mostListed = 20

// findOne finds the one state that a SOURCE names.
func findOne(ctx context.Context, kinds backend.Kinds, ref string) (backend.State, error) {
	found, err := kinds.Find(ctx, ref, backend.Filter{})
	switch {
	case err != nil:
		return nil, asUsage(pairing.Problem(ctx, err, pairing.Skipped(found)))
	case len(found.States) == 1:
		return found.States[0], nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s holds %d states, and this command takes one; name one of them:", ref, len(found.States))
	for i, object := range found.States {
		if i == mostListed {
			fmt.Fprintf(&b, "\n  … and %d more", len(found.States)-i)
			break
		}
		b.WriteString("\n  " + report.PlainLine(object.Address()))
	}
	return nil, &usageError{b.String()}
}
