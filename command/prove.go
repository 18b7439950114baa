package command

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend/tfe"
	"tfhaul/plainwords"
	"tfhaul/prove"
	"tfhaul/report"
)

// A proveOne proves one workspace.
type proveOne struct {
	connector
	request prove.Request
	local   bool
	logs    bool
	timeout time.Duration // of the run
}

func (p *process) proveCommand() *cli.Command {
	return &cli.Command{
		Name:      "prove",
		Usage:     "check that Terraform plans no changes on the target",
		UsageText: "tfhaul prove [flags] DIR [HOST/]ORG/WORKSPACE\n  tfhaul prove [flags] --run RUN-ID [HOST/]ORG/WORKSPACE",
		Description: `Uploads the configuration in DIR the way Terraform does (.terraformignore applies, state files are left out), runs a plan
that can never be applied, and returns one of three verdicts:

  proven    Terraform plans no changes to the state that the workspace holds
  changes   Terraform plans changes: shows the addresses and actions, but no values
  unproven  no verdict was possible, and why: a missing variable, credentials, the execution mode, …

Drift (changes made outside of Terraform) is reported separately. If the plan does not see the state's resources, the
verdict is unproven. Ctrl-C cancels the run that tfhaul started. See docs/proving.md.

Examples:
  tfhaul prove ./network acme/network                     plan on the target
  tfhaul prove --local ./network acme/network             plan with the terraform on this machine
  tfhaul prove --run run-CZcmD7eagjhyX0vN acme/network    judge an existing plan
  tfhaul prove --upgrade-state ./network acme/network     then rewrite the state in the workspace's Terraform version

Exit codes: 0 proven; 1 unproven; 3 changes, which need a decision; 4 usage or configuration error; 130 interrupted.`,
		Flags: append([]cli.Flag{
			textFlag("run", "", "judge the plan of the run `RUN-ID` instead of starting one"),
			textFlag("configuration-version", "", "plan with the configuration version `CV-ID` instead of a directory"),
			switchFlag("local", "plan with the terraform on this machine and a temporary copy of the workspace's state; upload nothing"),
			switchFlag("upgrade-state", "if nothing changes, rewrite the state in the workspace's Terraform version with an empty apply"),
			switchFlag("logs", "stream Terraform's log of the plan to stderr"),
			durationFlag("run-timeout", prove.DefaultTimeout, "cancel a run after `DURATION`, including its time in the queue"),
		}, append(connectFlags(), jsonFlag())...),
		Action: action(p.parseProve),
	}
}

func (p *process) parseProve(c *cli.Context) (*proveOne, error) {
	o := &proveOne{local: c.Bool("local"), logs: c.Bool("logs"), timeout: c.Duration("run-timeout")}
	o.request = prove.Request{Run: c.String("run"), ConfigurationVersion: c.String("configuration-version"), UpgradeState: c.Bool("upgrade-state")}
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
	if o.connector, err = p.connectorTo(c, args[len(args)-1]); err != nil {
		return nil, err
	}
	o.request.Organization, o.request.Workspace = o.address.Organization, o.address.Workspace
	return o, nil
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
	case q.Run != "" && q.UpgradeState:
		return usagef("--upgrade-state starts its own runs: it takes a directory or a --configuration-version, not a --run")
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
	client, err := o.connect(ctx, o.address)
	if err != nil {
		return err
	}
	defer client.Close()
	prover := o.prover(client, o.timeout)
	if o.logs {
		prover.Logs = plainWriter{o.stderr}
	}
	var result prove.Result
	if o.local {
		result = prover.ProveLocal(ctx, o.request, prove.Local{Environ: o.environ})
	} else {
		result = prover.Prove(ctx, o.request)
	}
	if err := show(o.process, result, report.JSON, report.Proof); err != nil {
		return err
	}
	return ended(codeOfProof(result))
}

// prover prepares proofs through a client.
func (p *process) prover(client *tfe.Client, timeout time.Duration) *prove.Prover {
	stages := &stageTeller{process: p, last: map[string]string{}}
	return &prove.Prover{Target: client, Timeout: timeout, Observe: stages.observe, Temporary: p.leftovers.observe}
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
