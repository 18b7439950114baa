package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// moveFlags say how moves are carried out.
func moveFlags() []cli.Flag {
	return []cli.Flag{
		switchFlag("dry-run", "show what would happen, and write nothing"),
		switchFlag("detailed-exitcode", "with --dry-run: exit 2 if there is work to do"),
		switchFlag("create", "create missing workspaces, or a database's missing schema and table, instead of refusing to move into them"),
		textFlag("project", "", "with --create: project `NAME` for the new workspace"),
		suggestFlag("terraform-version", migrate.FromState, "with --create: Terraform version of the new workspace: from-state, latest, `X.Y.Z`, or a constraint such as \"~> 1.11\"",
			migrate.FromState, "latest"),
		newChoiceFlag("execution-mode", "", "with --create: execution `MODE` of the new workspace: remote, local or agent (default: the project's, then the organization's)", "remote", "local", backend.AgentMode),
		textFlag("agent-pool", "", "with --execution-mode agent: agent pool `NAME|ID` (default: the project's, then the organization's)"),
		listFlag("tag", "with --create: tag `NAME|KEY=VALUE` for the new workspace"),
		switchFlag("update-settings", "change the settings of workspaces that exist, too, after the state was verified (docs/workspaces.md)"),
		textFlag("history", "", "also move older versions, oldest first: the newest `N` versions of each state, or all (docs/migrating.md)"),
		switchFlag("include-empty", "also move states without resources or outputs"),
		durationFlag("lock-timeout", 0, "wait up to `DURATION` for a target that another user has locked"),
		listFlag("replace", "replace unrelated, diverged or newer state in `WORKSPACE|KEY`, after a backup (with --bump-serial: with a serial above the target's)"),
		listFlag("bump-serial", "raise a serial that is too low for `WORKSPACE|KEY` above the target's (with --replace: even if the lineage differs)"),
		listFlag("allow", "allow a state despite a finding: `NAME=CODE`, with the NAME of its workspace or key, and CODE unusable, errored, or in a haul diverged or backup-newer"),
		textFlag("backup-dir", migrate.DefaultBackupDir, "keep backups of replaced states in `DIR`, readable only by you"),
		switchFlag("lock-source", "lock the source during the move, so that Terraform cannot write there (S3 and workspaces)"),
		switchFlag("freeze-source", "keep the source locked after the move, and show how to unlock it"),
		newChoiceFlag("on-failure", string(migrate.KeepLock), "take `ACTION` if the content of a target is unproven: keep (the lock) or unlock",
			string(migrate.KeepLock), string(migrate.ClearLock)),
		newChoiceFlag("upload", string(migrate.UploadAuto), "send states by `METHOD`: inline (in the request), signed (to a signed URL; inline if that is blocked) or auto (inline up to 4 MiB, else signed; the other one if the server refuses)",
			string(migrate.UploadAuto), string(migrate.UploadInline), string(migrate.UploadSigned)),
		fileFlag("journal", "record every step in `FILE`; the same file continues an interrupted move (default: a file in the user's state directory, removed afterwards; with --history: tfhaul-<time>.jsonl)"),
	}
}

// onlyWithCreate are the flags that say how a workspace is made.
var onlyWithCreate = []string{"project", "terraform-version", "execution-mode", "agent-pool", "tag"}

// moveOptions reads moveFlags.
func (p *process) moveOptions(c *cli.Context) (migrate.Options, error) {
	o := migrate.Options{DryRun: c.Bool("dry-run"), BackupDir: c.String("backup-dir"), Settings: migrate.Settings{
		Create: c.Bool("create"), IncludeEmpty: c.Bool("include-empty"), LockTimeout: c.Duration("lock-timeout"),
		LockSource: c.Bool("lock-source"), FreezeSource: c.Bool("freeze-source"), UpdateSettings: c.Bool("update-settings"),
		CreateOptions: backend.CreateOptions{
			Project: c.String("project"), TerraformVersion: c.String("terraform-version"),
			ExecutionMode: c.String("execution-mode"), AgentPool: c.String("agent-pool"), Tags: c.StringSlice("tag"),
		},
	}}
	var err error
	if o.History, err = p.historyFlag(c); err != nil {
		return o, err
	}
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
		if p.typed[name] && !o.Create && !o.UpdateSettings {
			return o, usagef("--%s requires --create: it applies only to new workspaces. To change a workspace that exists, use --update-settings", name)
		}
	}
	if p.typed["detailed-exitcode"] && !o.DryRun && !planning[c.Command.Name] {
		return o, usagef("--detailed-exitcode requires --dry-run")
	}
	return o, nil
}

// planning are the commands that are dry runs of themselves.
var planning = map[string]bool{"plan": true, "rehearse": true}

// A moveOne moves one snapshot into one workspace.
type moveOne struct {
	connector
	source   string
	to       destination
	move     migrate.Move // without its object
	options  migrate.Options
	journal  string
	detailed bool
}

func (p *process) moveCommand() *cli.Command {
	flags := append(moveFlags(), textFlag("run", "", "associate the state version with `RUN-ID`, the run that holds the workspace's lock"))
	return &cli.Command{
		Name:      "move",
		Usage:     "move one state into a workspace, bucket or file",
		UsageText: "tfhaul move [flags] SOURCE TARGET",
		Description: `Reads the state, compares it with what the target holds, locks the target, sends the state byte for byte, reads it back,
compares all bytes, and unlocks the target. A state that is older than the target's, or unrelated to it, is refused. Before
a state is replaced, tfhaul makes sure that it is kept: as an older version, or in the backup directory. If the target stays
locked, tfhaul shows why and how to unlock it.

SOURCE is one state: ` + sourceForms() + `.
TARGET is ` + stateForms() + `.
` + seeBackends + `
HOST defaults to TFE_ADDRESS or TFE_HOSTNAME if set, and otherwise to app.terraform.io.

Examples:
  tfhaul move terraform.tfstate acme/network                     into app.terraform.io
  tfhaul move --dry-run terraform.tfstate acme/network           show what would happen
  tfhaul move --create --lock-timeout 5m a.tfstate tfe.example.com/acme/a
  tfhaul move terraform.tfstate s3://acme-tfstate/network/terraform.tfstate
  terraform state pull | tfhaul move - acme/network --json       for scripts

Exit codes: 0 moved, or already there; 1 failed; 2 with --dry-run --detailed-exitcode, the state would be moved;
3 refused, and needs a decision; 4 usage or configuration error; 130 interrupted.`,
		Flags:  append(append(flags, connectFlags()...), jsonFlag()),
		Action: action(p.parseMove),
	}
}

func (p *process) parseMove(c *cli.Context) (*moveOne, error) {
	args, err := exactly(c, "SOURCE", "TARGET")
	if err != nil {
		return nil, err
	}
	m := &moveOne{source: args[0], journal: c.String("journal"), detailed: c.Bool("detailed-exitcode")}
	if m.connector, m.to, err = p.connectorToState(c, args[1]); err != nil {
		return nil, err
	}
	if m.kinds.Same(m.source, args[1]) {
		return nil, usagef("the source and the target are the same: %s", m.to)
	}
	if err := m.to.kind.Target.CheckName(m.to.name); err != nil {
		return nil, usagef("%s %v", m.to, err)
	}
	if m.options, err = p.moveOptions(c); err != nil {
		return nil, err
	}
	if err := checkHistory(m.kinds, m.options.Settings, m.source, args[1]); err != nil {
		return nil, err
	}
	m.move = migrate.Move{Workspace: m.to.name, Run: c.String("run")}
	permissions, err := p.permissions(c)
	if err != nil {
		return nil, err
	}
	return m, permitOne(&m.move, m.to, permissions)
}

// Run moves and reports.
func (m *moveOne) Run(ctx context.Context) error {
	result, err := m.findAndMove(ctx)
	if err != nil {
		var failed bool
		if result, failed = failedEarly(m.source, m.to, err); !failed {
			return err
		}
	}
	if err := show(m.process, result, report.JSON, report.Move); err != nil {
		return err
	}
	switch {
	case result.Outcome == migrate.Refused:
		m.tellDiff([]migrate.Result{result})
	case result.Outcome == migrate.WouldMove:
		m.tellNext("run the same command without --dry-run")
	case result.Outcome == migrate.Moved:
		if err := m.tellRecipe(ctx, []migrate.Result{result}); err != nil {
			return err
		}
	}
	return ended(codeOfResults(ctx, []migrate.Result{result}, m.detailed))
}

// findAndMove prepares an engine and has it move what it finds.
func (m *moveOne) findAndMove(ctx context.Context) (migrate.Result, error) {
	var err error
	if m.move.Object, err = findOne(ctx, m.kinds, m.source); err != nil {
		return migrate.Result{}, err
	}
	target, err := m.open(ctx, m.to)
	if err != nil {
		return migrate.Result{}, err
	}
	defer target.Close()
	engine := &migrate.Engine{Target: target, Options: m.options, Observe: m.progress().observe}
	switch {
	case m.options.DryRun:
		engine.Haul = migrate.NewHaulID()
	case m.journal == "" && !m.options.WithHistory():
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
		defer record.close()
		this := []migrate.Result{{Source: m.source, Target: m.to.String()}}
		if record.past.Runs() > 0 && !record.past.Concerns(this) {
			return migrate.Result{}, otherJournal(m.journal)
		}
		record.engage(engine)
		if m.journal != "" {
			record.keep()
			break
		}
		again := m.commandLine() + " --journal " + plainwords.ShellWord(record.path)
		m.held.recordedIn(record.path, again)
		m.note("Journal: %s. After an interruption: %s", record.path, again)
		result := engine.Move(ctx, m.move)
		if h := result.History; result.Locked || h != nil && h.Moved > 0 {
			record.keep()
		}
		return result, nil
	}
	return engine.Move(ctx, m.move), nil
}

// failedEarly returns the result of a move or verification that failed before the engine
// started, because of the source's server or the target's host. For any other error,
// which is a user's mistake, it returns false.
func failedEarly(ref string, to destination, err error) (migrate.Result, bool) {
	r := migrate.Result{Source: ref, Target: to.String(), Outcome: migrate.Failed, Message: plainwords.Sentence(err.Error())}
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
	fmt.Fprintf(&b, "%s contains %d states, but this command takes one; name one of them:", ref, len(found.States))
	for i, object := range found.States {
		if i == mostListed {
			fmt.Fprintf(&b, "\n  … and %d more", len(found.States)-i)
			break
		}
		b.WriteString("\n  " + report.PlainLine(object.Address()))
	}
	return nil, &usageError{b.String()}
}
