package command

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/plainwords"
	"tfhaul/prove"
	"tfhaul/report"
)

// A proveOne proves one state.
type proveOne struct {
	connector
	to       destination
	request  prove.Request
	local    bool
	varFiles []string
	logs     bool
	timeout  time.Duration // of the run
}

func (p *process) proveCommand() *cli.Command {
	return &cli.Command{
		Name:      "prove",
		Usage:     "check that Terraform plans no changes with the state at the target",
		UsageText: "tfhaul prove [flags] DIR [HOST/]ORG/WORKSPACE\n  tfhaul prove [flags] --run RUN-ID [HOST/]ORG/WORKSPACE\n  tfhaul prove [flags] --local DIR TARGET",
		Description: `Uploads the configuration in DIR the way Terraform does (.terraformignore applies, state files are left out), runs a plan
that can never be applied, and returns one of three verdicts:

  proven    Terraform plans no changes to the state that the workspace holds
  changes   Terraform plans changes: shows the addresses and actions, but no values
  unproven  no verdict was possible, and why: a missing variable, credentials, the execution mode, …

Drift (changes made outside of Terraform) is reported separately. If the plan does not see the state's resources, the
verdict is unproven. Ctrl-C cancels the run that tfhaul started. See docs/proving.md.

With --local, the terraform on this machine plans. TARGET can then also be the address of a state in a bucket, a database or
a file: Terraform reads it there without a lock, and writes nothing. The configuration is copied to a temporary directory,
where its backend block is replaced.

Examples:
  tfhaul prove ./network acme/network                     plan on the target
  tfhaul prove --local ./network acme/network             plan with the terraform on this machine
  tfhaul prove --local ./network s3://acme-tfstate/network/terraform.tfstate
  tfhaul prove --run run-CZcmD7eagjhyX0vN acme/network    judge an existing plan
  tfhaul prove --upgrade-state ./network acme/network     then rewrite the state in the workspace's Terraform version

Exit codes: 0 proven; 1 unproven; 3 changes, which need a decision; 4 usage or configuration error; 130 interrupted.`,
		Flags: append([]cli.Flag{
			textFlag("run", "", "judge the plan of the run `RUN-ID` instead of starting one"),
			textFlag("configuration-version", "", "plan with the configuration version `CV-ID` instead of a directory"),
			switchFlag("local", "plan with the terraform on this machine; upload nothing (required unless TARGET is a workspace)"),
			fileListFlag("var-file", "with --local: read values of variables from `FILE`, as terraform plan -var-file does"),
			switchFlag("upgrade-state", "if nothing changes, rewrite the state in the workspace's Terraform version with an empty apply"),
			switchFlag("logs", "stream Terraform's log of the plan to stderr"),
			durationFlag("run-timeout", prove.DefaultTimeout, "cancel a run, including its time in the queue, or a plan on this machine, after `DURATION`"),
		}, append(connectFlags(), jsonFlag())...),
		Action: action(p.parseProve),
	}
}

func (p *process) parseProve(c *cli.Context) (*proveOne, error) {
	o := &proveOne{connector: connector{process: p}, local: c.Bool("local"), logs: c.Bool("logs"), timeout: c.Duration("run-timeout")}
	o.request = prove.Request{Run: c.String("run"), ConfigurationVersion: c.String("configuration-version"), UpgradeState: c.Bool("upgrade-state")}
	o.varFiles = c.StringSlice("var-file")
	if err := o.checkFlags(); err != nil {
		return nil, err
	}
	names := []string{"DIR", "[HOST/]ORG/WORKSPACE"}
	if o.request.Run != "" || o.request.ConfigurationVersion != "" {
		names = names[1:]
	}
	args, err := exactly(c, names...)
	if err != nil {
		return nil, err
	}
	if len(args) == 2 {
		o.request.Dir = args[0]
		if err := checkDirectory(args[0]); err != nil {
			return nil, err
		}
	}
	return o, o.aim(c, args[len(args)-1])
}

// aim reads the address of the state.
func (o *proveOne) aim(c *cli.Context, target string) (err error) {
	if o.connector, o.to, err = o.connectorToState(c, target); err != nil {
		return err
	}
	if o.to.workspaces() {
		o.address, err = o.organization(o.to)
		o.request.Organization, o.request.Workspace = o.address.Organization, o.to.name
		return err
	}
	switch why := o.to.unprovable(); {
	case why != "":
		return usagef("%s", why)
	case o.request.Dir == "":
		return usagef("--configuration-version is for workspaces, and Terraform does not run at %s: use tfhaul prove --local DIR TARGET", o.to)
	case o.request.UpgradeState:
		return usagef("--upgrade-state is an apply in a workspace, and Terraform does not run at %s: leave it out", o.to)
	case !o.local:
		return usagef("Terraform does not run at %s: add --local to plan with the terraform on this machine", o.to)
	}
	return nil
}

// checkFlags refuses flags that contradict each other.
func (o *proveOne) checkFlags() error {
	q := o.request
	switch {
	case q.Run != "" && q.ConfigurationVersion != "":
		return usagef("--run and --configuration-version cannot stand together: a run has its configuration version already")
	case o.local && (q.Run != "" || q.ConfigurationVersion != ""):
		return usagef("--local plans with a directory: it takes neither --run nor --configuration-version")
	case o.local && q.UpgradeState:
		return usagef("--upgrade-state is an apply on the target: --local cannot do it")
	case len(o.varFiles) > 0 && !o.local:
		return usagef("--var-file works only with --local: a run uses the variables of its workspace")
	case q.Run != "" && q.UpgradeState:
		return usagef("--upgrade-state starts its own runs: it takes a directory or a --configuration-version, not a --run")
	}
	for _, file := range o.varFiles {
		if _, err := os.Stat(file); err != nil {
			return usagef("cannot read the --var-file %q: %v", file, plainwords.WithoutPath(err))
		}
	}
	return nil
}

// checkDirectory rejects anything but a directory before the first request.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return usagef("the configuration directory %q cannot be used: %v", dir, plainwords.WithoutPath(err))
	case !info.IsDir():
		return usagef("%q is a file: name the directory of the configuration", dir)
	}
	return nil
}

// Run proves and reports.
func (o *proveOne) Run(ctx context.Context) error {
	prove := o.proveWorkspace
	if !o.to.workspaces() {
		prove = o.proveBackend
	}
	result, err := prove(ctx)
	if err != nil {
		return err
	}
	if err := show(o.process, result, report.JSON, report.Proof); err != nil {
		return err
	}
	return ended(codeOfProof(result))
}

// proveWorkspace proves with a run, or with the terraform on this machine.
func (o *proveOne) proveWorkspace(ctx context.Context) (prove.Result, error) {
	client, err := o.connect(ctx, o.address)
	if err != nil {
		return prove.Result{}, err
	}
	defer client.Close()
	prover := o.prover()
	prover.Target = client
	if o.local {
		return prover.ProveLocal(ctx, o.request, prove.Local{Environ: o.environ, VarFiles: o.varFiles}), nil
	}
	return prover.Prove(ctx, o.request), nil
}

// proveBackend proves with the terraform on this machine.
func (o *proveOne) proveBackend(ctx context.Context) (prove.Result, error) {
	target, err := o.open(ctx, o.to)
	if err != nil {
		return prove.Result{}, err
	}
	defer target.Close()
	request := prove.BackendRequest{Target: target, Name: o.to.name, Block: o.to.block, Dir: o.request.Dir}
	return o.prover().ProveBackend(ctx, request, prove.Local{Environ: o.environ, VarFiles: o.varFiles}), nil
}

// prover prepares proofs.
func (o *proveOne) prover() *prove.Prover {
	stages := &stageTeller{process: o.process, last: map[string]string{}}
	p := &prove.Prover{Timeout: o.timeout, Observe: stages.observe, Temporary: o.leftovers.observe}
	if o.logs {
		p.Logs = plainWriter{o.stderr}
	}
	return p
}

// codeOfProof is the exit code that a proof stands for.
func codeOfProof(r prove.Result) int {
	switch {
	case r.Verdict == prove.Proven:
		return exitDone
	case r.Verdict == prove.Changes:
		return exitRefused
	case r.Code == prove.CodeInterrupted:
		return exitInterrupted
	}
	return exitFailed
}

// A stageTeller tells a person on stderr where proofs stand, a line a stage. It is
// safe for use by many goroutines.
type stageTeller struct {
	*process
	mu   sync.Mutex
	last map[string]string // the last report for each target
}

func (t *stageTeller) observe(e prove.Event) {
	if !t.stderr.interactive || t.quiet {
		return
	}
	text := string(e.Stage)
	if e.Run != "" && e.Stage != prove.StageJudging {
		text += ": " + e.Run + " is " + e.Status
	}
	if e.Position > 0 {
		text += fmt.Sprintf(", %d before it", e.Position)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last[e.Target] == text {
		return
	}
	t.last[e.Target] = text
	fmt.Fprintf(t.stderr, "%s %s\n", t.stderr.style().Faint(time.Now().Format(time.TimeOnly)), report.Plain(text))
}

// A plainWriter makes what is written harmless to a terminal.
type plainWriter struct{ to *terminal }

func (w plainWriter) Write(b []byte) (int, error) {
	if _, err := w.to.Write([]byte(report.Plain(prove.WithoutColors(string(b))))); err != nil {
		return 0, err
	}
	return len(b), nil
}
