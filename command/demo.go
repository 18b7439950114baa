package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/crash"
	"tfhaul/fixtures"
	"tfhaul/migrate"
	"tfhaul/report"
	"tfhaul/tfesim"
)

// demoOrg is the organization that the demo's server has.
const demoOrg = "demo"

// A demo moves sample states into a server of its own.
type demo struct {
	*process
	keep bool

	dir     string // temporary, removed at the end
	server  *tfesim.Server
	running *tfesim.Running
}

func (p *process) demoCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "move sample states into an embedded Terraform Enterprise, and show what happens",
		UsageText: "tfhaul demo [--keep]",
		Description: `Creates sample states in a temporary directory, starts an embedded Terraform Enterprise on this machine, moves the states
into it as tfhaul move would, and compares what arrived with the files. Some are refused on purpose. The demo
takes a few seconds, needs no network, and leaves nothing behind.

With --keep, the server runs until Ctrl-C, and the demo prints commands to try.

Examples:
  tfhaul demo
  tfhaul demo --keep

Exit codes: 0 everything ended as expected; 1 something did not.`,
		Flags: []cli.Flag{
			switchFlag("keep", "keep the server running until Ctrl-C, and print commands to try"),
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return (&demo{process: p, keep: c.Bool("keep")}).Run(c.Context)
		},
	}
}

// Run makes, moves, verifies, tells, and clears up.
func (d *demo) Run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "tfhaul-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	// No rate limit is announced: the demo is not to take longer than it is interesting.
	d.server, d.running, err = startServer(tfesim.Options{Organizations: []string{demoOrg}, RateLimit: -1, NoRuns: runsRefused, Logger: d.log}, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.running.Close()) }()
	if err := d.running.WriteEnvFile(d.envFile()); err != nil {
		return err
	}
	samples := demoSamples()
	for i := range samples {
		if err := d.plant(&samples[i]); err != nil {
			return err
		}
	}
	results, err := d.moveAll(ctx, samples)
	if err != nil {
		return err
	}
	problems := d.check(samples, results)
	if err := d.tell(results, problems); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(problems) > 0 {
		return ended(exitFailed)
	}
	if d.keep {
		d.tellWhatToTry()
		<-ctx.Done()
	}
	return nil
}

// envFile is the file with the variables that make clients use the demo's server.
func (d *demo) envFile() string { return filepath.Join(d.dir, "env") }

// plant writes a sample's file, and prepares its workspace.
func (d *demo) plant(s *demoSample) error {
	path := s.path(d.dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path, s.state, 0o600); err != nil {
		return err
	}
	if s.held != nil {
		if _, err := d.server.Seed(demoOrg, s.workspace, s.held); err != nil {
			return err
		}
	}
	if s.lockedBriefly {
		if _, err := d.server.AddWorkspace(demoOrg, s.workspace); err != nil {
			return err
		}
		return d.server.Lock(demoOrg, s.workspace, tfesim.SecondUser, "terraform apply, nearly done")
	}
	return nil
}

// connect makes a client as any command would, but ignores the user's settings and tokens.
func (d *demo) connect(ctx context.Context) (*tfe.Client, error) {
	tls, err := tfe.TLSConfig(d.envFile()+".ca.pem", func(string) string { return "" })
	if err != nil {
		return nil, err
	}
	return tfe.Connect(ctx, tfe.Address{Host: d.running.Host(), Organization: demoOrg}, backend.Connection{
		TLS: tls, Environ: []string{"TFE_TOKEN=" + d.server.Token(tfesim.Owner)},
		Parallelism: demoParallel, UserAgent: userAgent(), Logger: d.log,
	})
}

// demoParallel is how many moves run at a time.
const demoParallel = 4

// moveAll moves every sample.
func (d *demo) moveAll(ctx context.Context, samples []demoSample) ([]migrate.Result, error) {
	client, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	engine := &migrate.Engine{
		Target: client.Target(demoOrg), Haul: migrate.NewHaulID(), Observe: d.observe,
		Options: migrate.Options{BackupDir: filepath.Join(d.dir, "backup"), Settings: migrate.Settings{
			Create: true, LockTimeout: time.Minute, CreateOptions: backend.CreateOptions{TerraformVersion: migrate.FromState}}},
	}
	results := make([]migrate.Result, len(samples))
	var group errgroup.Group
	group.SetLimit(demoParallel)
	for i := range samples {
		group.Go(func() error {
			defer crash.Catch(ctx)
			object, err := findOne(ctx, kinds(backend.Connection{}), samples[i].path(d.dir))
			if err != nil {
				return err
			}
			results[i] = engine.Move(ctx, migrate.Move{
				Object:    shownAs{object, samples[i].file},
				Workspace: samples[i].workspace,
			})
			return nil
		})
	}
	return results, group.Wait()
}

// A shownAs is a state with a short address, because its directory is temporary.
type shownAs struct {
	backend.State
	address string
}

func (s shownAs) Address() string { return s.address }

// observe plays the colleague who holds a workspace's lock, and releases it when a move
// waits for it.
func (d *demo) observe(e migrate.Event) {
	d.held.observe(e)
	if e.Event == migrate.EventWaiting {
		for _, name := range d.server.Locked(demoOrg) {
			if h, ok := d.server.LockHolder(demoOrg, name); ok && h.Identity == tfesim.SecondUser {
				if err := d.server.Unlock(demoOrg, name); err != nil {
					d.log.Warn("the demo's lock stays", "workspace", name, "error", err)
				}
			}
		}
	}
}

// check compares every outcome with the one that is expected, and every workspace
// with the bytes that it must hold. It returns what is wrong.
func (d *demo) check(samples []demoSample, results []migrate.Result) []string {
	var problems []string
	for i, s := range samples {
		r := results[i]
		if r.Outcome != s.outcome || r.Code != s.code {
			problems = append(problems, fmt.Sprintf("%s ended as %s (%s) instead of %s (%s): %s", s.workspace, r.Outcome, r.Code, s.outcome, s.code, r.Message))
		}
		must := s.held
		if s.outcome == migrate.Moved {
			must = s.state
		}
		holds, _, _ := d.server.Current(demoOrg, s.workspace)
		if !bytes.Equal(holds, must) {
			problems = append(problems, fmt.Sprintf("%s does not hold the expected state", s.workspace))
		}
	}
	if locked := d.server.Locked(demoOrg); len(locked) > 0 {
		problems = append(problems, fmt.Sprintf("still locked: %q", locked))
	}
	return problems
}

func (d *demo) tell(results []migrate.Result, problems []string) error {
	if d.json {
		for _, problem := range problems {
			d.complain(problem)
		}
		return report.MovesJSON(d.stdout, results)
	}
	var b bytes.Buffer
	style, prose := d.stdout.style(), d.stdout.proseStyle()
	prose.Prose(&b, fmt.Sprintf("The demo created sample states in a temporary directory, started an embedded Terraform Enterprise at %s, and moved the states into it:\n", d.running.URL()))
	if err := report.Moves(&b, style, results); err != nil {
		return err
	}
	for _, problem := range problems {
		style.Message(&b, style.Bad("Unexpected:")+" ", problem)
	}
	var last strings.Builder
	if len(problems) == 0 {
		last.WriteString(demoExplanation)
	}
	fmt.Fprintf(&last, "\nIt took %s.", report.Seconds(time.Since(d.started).Seconds()))
	if !d.keep {
		last.WriteString(demoNext)
	}
	prose.Prose(&b, last.String())
	_, err := d.stdout.Write(b.Bytes())
	return err
}

const demoExplanation = `
What happened:

tfhaul read each state and compared it with what its workspace held. If the move was allowed, it locked the workspace,
sent the state byte for byte, read it back, compared it, and unlocked the workspace. The demo then checked on the
server that every workspace holds exactly the expected bytes and that none is locked.

Another user held the lock of the workspace queue, so that move waited (--lock-timeout) until the lock was released.

States that are older than the workspace's, or that belong to something else, were refused, and nothing was changed.
The messages above explain why, and what you can do.
`

const demoNext = ` The demo has removed everything it created. What to try next:
  tfhaul demo --keep  run it again, and keep the server to experiment with
  tfhaul move --dry-run terraform.tfstate ORG/WORKSPACE  preview a move of your own state; writes nothing
  tfhaul move --help  see what else a move can do`

// tellWhatToTry prints commands for a second shell.
func (d *demo) tellWhatToTry() {
	file := func(workspace string) string {
		samples := demoSamples()
		i := slices.IndexFunc(samples, func(s demoSample) bool { return s.workspace == workspace })
		return shellQuoted(samples[i].path(d.dir))
	}
	fmt.Fprintf(d.stdout, `
The server runs until Ctrl-C. In another shell:
  . %s

  tfhaul history demo/network                         the workspace's state versions
  tfhaul verify %s demo/network
  tfhaul move --dry-run %s demo/dns
  tfhaul move --replace dns %s demo/dns
  tfhaul move --json %s demo/mine --create
  curl --cacert "$TFHAUL_CA_FILE" -H "Authorization: Bearer $TFE_TOKEN" "$TFE_ADDRESS/api/v2/organizations/demo/workspaces"
`, shellQuoted(d.envFile()), file("network"), file("dns"), file("dns"), file("network"))
}

// A demoSample is one state, what its workspace holds before, and how its move
// has to end.
type demoSample struct {
	file, workspace string
	state           []byte
	held            []byte // nil for nothing
	lockedBriefly   bool

	outcome migrate.Outcome
	code    migrate.Code
}

func (s *demoSample) path(dir string) string {
	return filepath.Join(dir, "states", filepath.FromSlash(s.file))
}

// demoSamples are a little of everything.
func demoSamples() []demoSample {
	state := func(seed uint64, serial int64, resources int) []byte {
		return fixtures.Spec{Seed: seed, Serial: serial, Resources: resources, Outputs: 4}.Bytes()
	}
	large := fixtures.Spec{Seed: 4, Serial: 212, Resources: 40, MinSize: 5 << 20, Outputs: 8}.Bytes()
	network := state(1, 41, 24)
	return []demoSample{
		{file: "network/terraform.tfstate", workspace: "network", state: network, outcome: migrate.Moved},
		{file: "network/terraform.tfstate.d/prod/terraform.tfstate", workspace: "network-prod", state: state(2, 17, 30), outcome: migrate.Moved},
		{file: "app/terraform.tfstate", workspace: "app", state: state(3, 96, 55), held: state(3, 95, 54), outcome: migrate.Moved},
		{file: "data/warehouse.tfstate", workspace: "data-warehouse", state: large, outcome: migrate.Moved},
		{file: "queue/terraform.tfstate", workspace: "queue", state: state(5, 8, 12), lockedBriefly: true, outcome: migrate.Moved},
		{file: "iam/terraform.tfstate", workspace: "iam", state: state(6, 30, 18), held: state(6, 30, 18), outcome: migrate.AlreadyThere},
		{file: "dns/terraform.tfstate", workspace: "dns", state: state(7, 12, 9), held: state(7, 15, 11), outcome: migrate.Refused, code: migrate.CodeStale},
		{file: "billing/terraform.tfstate", workspace: "billing", state: state(8, 5, 6), held: state(9, 3, 7), outcome: migrate.Refused, code: migrate.CodeUnrelated},
		{file: "vault/terraform.tfstate", workspace: "vault", state: fixtures.SampleNamed("encrypted-opentofu.tfstate").Bytes(), outcome: migrate.Refused, code: migrate.CodeEncrypted},
	}
}
