package command

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/report"
	"tfhaul/tfesim"
)

// What a rehearsal without --target is played on.
const (
	rehearsalHost = "rehearsal.invalid"
	rehearsalOrg  = "rehearsal"
)

// A rehearsal runs a haul against an embedded server.
type rehearsal struct {
	hauling
	limit       int // requests a second; 0 for none
	latency     time.Duration
	personality string // "" for that of the target

	server *tfesim.Server
	calls  int // of the real organization
}

func (p *process) rehearseCommand() *cli.Command {
	flags := append(dryFlags(),
		countFlag("rate", 30, "rate limit of the embedded server: `N` requests a second; 0 for no limit"),
		durationFlag("latency", 80*time.Millisecond, "delay every response by `DURATION`"),
		personalityFlag("", "personality `NAME` of the embedded server: tfe, hcp, old-tfe or lax (default: hcp if the target is app.terraform.io, else tfe)"),
		switchFlag("fail-fast", "end the haul at the first failure"),
		jsonFlag(),
	)
	for _, f := range connectFlags() {
		if f.Names()[0] != "rate" {
			flags = append(flags, f)
		}
	}
	return &cli.Command{
		Name:      "rehearse",
		Usage:     "run the whole haul against an embedded server first",
		UsageText: "tfhaul rehearse [flags] SOURCE… [--target TARGET]\n  tfhaul rehearse [flags] MANIFEST.hcl",
		Description: `Runs the haul as tfhaul migrate would, against an embedded Terraform Enterprise with the real server's rules and rate
limit. It reports the same findings and refusals, and how long the haul will take. Sources are only read. No state leaves
the machine or is written to disk.

With --target, tfhaul first reads the real target, as tfhaul plan does: the workspaces or keys, their locks, and what they
hold. It then rehearses what the plan would do. Without --target, it assumes that every workspace exists and is empty or,
with --create, that it is missing.

At the default --rate 30, a rehearsal takes as long as the haul. With --rate 0 --latency 0 it finishes faster, and reports
only the number of requests. For a target without workspaces, the haul is rehearsed in memory, without a server.

Examples:
  tfhaul rehearse s3://acme-tfstate/ --target acme
  tfhaul rehearse . --create --rate 0 --latency 0 --json

Exit codes: the same as for tfhaul plan.`,
		Flags:  flags,
		Action: action(p.parseRehearsal),
	}
}

func (p *process) parseRehearsal(c *cli.Context) (*rehearsal, error) {
	h, err := p.haulOfManifest(c)
	if err != nil {
		return nil, err
	}
	h.connection.Rate = 0 // --rate is the embedded server's
	return &rehearsal{hauling: h, limit: c.Int("rate"), latency: c.Duration("latency"), personality: c.String("personality")}, nil
}

// Run reads, rehearses and reports.
func (r *rehearsal) Run(ctx context.Context) (err error) {
	paired, err := r.pair(ctx)
	if err != nil {
		return err
	}
	var real *migrate.Plan
	moves := paired.Moves
	if r.to.kind.Target != nil && !r.to.workspaces() {
		return r.rehearseStore(ctx, paired)
	}
	if r.to.kind.Target != nil {
		if r.address, err = r.organization(r.to); err != nil {
			return err
		}
		if real, err = r.readReal(ctx, paired); err != nil {
			return err
		}
		moves = possible(real)
	} else {
		r.address = tfe.Address{Host: rehearsalHost, Organization: rehearsalOrg}
	}
	client, end, err := r.stage(moves, real)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	view := report.Haul{Target: r.address.String(), LeftOut: paired.LeftOut, All: r.all}
	begun := time.Now()
	plan, err := r.play(ctx, client, moves, &view)
	if err != nil {
		return err
	}
	view.Rehearsal = &report.Rehearsal{
		APICalls: r.requests(), Seconds: time.Since(begun).Seconds(), Limit: r.limit, Latency: r.latency.Seconds(),
	}
	view.Findings = plan.Findings
	if real != nil {
		view.Findings, view.Results = real.Findings, together(real, view.Results)
	}
	view.APICalls, view.Seconds = r.calls, time.Since(r.started).Seconds()
	if err := show(r.process, view, report.HaulJSON, report.Plan); err != nil {
		return err
	}
	code := r.code(ctx, view.Results, paired)
	if code == exitDone && r.manifest != "" {
		r.tellNext("tfhaul migrate %s", report.Plain(plainwords.ShellWord(r.manifest)))
	}
	return ended(code)
}

// readReal plans against the real organization, and writes nothing there.
func (r *rehearsal) readReal(ctx context.Context, paired *pairing.Pairing) (*migrate.Plan, error) {
	target, err := r.open(ctx, r.to)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	plan, err := r.plan(ctx, r.haul(target), paired)
	if err != nil {
		return nil, err
	}
	r.calls = plan.APICalls
	for _, m := range plan.Moves {
		r.calls += m.Result.APICalls
	}
	return plan, nil
}

// possible are the moves that a plan would carry out.
func possible(plan *migrate.Plan) []migrate.Move {
	var moves []migrate.Move
	for _, m := range plan.Moves {
		if m.Result.Outcome == migrate.WouldMove {
			moves = append(moves, m.Move)
		}
	}
	return moves
}

// together puts the results of what was rehearsed into those of the plan, of which
// they are the possible ones, in its order.
func together(plan *migrate.Plan, rehearsed []migrate.Result) []migrate.Result {
	all := plan.Results()
	for i := range all {
		if all[i].Outcome == migrate.WouldMove && len(rehearsed) > 0 {
			all[i], rehearsed = rehearsed[0], rehearsed[1:]
		}
	}
	return all
}

// stage starts the embedded server with the workspaces that the haul is to find, and
// returns a client of it.
func (r *rehearsal) stage(moves []migrate.Move, real *migrate.Plan) (client *tfe.Client, end func() error, err error) {
	limit := r.limit
	if limit == 0 {
		limit = -1 // announces none
	}
	usual := "tfe"
	if r.address.Host == tfe.DefaultHost {
		usual = "hcp"
	}
	personality, err := tfesim.ParsePersonality(cmp.Or(r.personality, usual))
	if err != nil {
		return nil, nil, err
	}
	server, running, err := startServer(tfesim.Options{NoRuns: runsRefused,
		Personality: personality, Organizations: []string{r.address.Organization},
		RateLimit: limit, Latency: r.latency, TerraformVersion: "latest", Logger: r.log,
	}, "")
	if err != nil {
		return nil, nil, err
	}
	r.server = server
	if err := r.furnish(moves, real); err != nil {
		return nil, nil, errors.Join(err, running.Close())
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(running.CAPEM())
	client, err = tfe.New(tfe.Options{
		API: &url.URL{Scheme: "https", Host: running.Host(), Path: "/api/v2/"}, Host: r.address.Host,
		Token: r.server.Token(tfesim.Owner), TLS: &tls.Config{RootCAs: authorities},
		Connections: 2 * r.parallelism, UserAgent: userAgent(), Logger: r.log,
	})
	if err != nil {
		return nil, nil, errors.Join(err, running.Close())
	}
	return client, func() error {
		client.Close()
		return running.Close()
	}, nil
}

// furnish makes the workspaces: as the plan of the real organization found those
// that matter, or empty ones.
func (r *rehearsal) furnish(moves []migrate.Move, real *migrate.Plan) error {
	if real == nil {
		if r.options.Create {
			return nil
		}
		for _, m := range moves {
			if m.Unnamed {
				continue
			}
			if _, err := r.server.AddWorkspace(r.address.Organization, m.Workspace); err != nil {
				return err
			}
		}
		return nil
	}
	for _, m := range real.Moves {
		if m.Result.Outcome != migrate.WouldMove || m.Known == nil {
			continue
		}
		if err := r.copyWorkspace(m); err != nil {
			return err
		}
	}
	return nil
}

// copyWorkspace creates a workspace that has the same relation to the source as the real one.
// It copies only the serial and lineage, which decide the relation, so that no content of
// the real state is kept.
func (r *rehearsal) copyWorkspace(m migrate.Planned) error {
	org := r.address.Organization
	if _, err := r.server.AddWorkspace(org, m.Workspace); err != nil {
		return err
	}
	if m.Held != nil {
		raw, err := placeholder(m.Held)
		if err != nil {
			return err
		}
		if _, err := r.server.SeedVersion(org, m.Workspace, raw, m.Held.Serial, m.Held.Lineage); err != nil {
			return err
		}
	}
	if m.Known.Locked {
		return r.server.Lock(org, m.Workspace, tfesim.SecondUser, "locked by "+m.Known.Holder.String()+" at the real target")
	}
	return nil
}

// placeholder is an empty state with the serial and lineage of another.
func placeholder(held *migrate.Snapshot) ([]byte, error) {
	return json.Marshal(struct {
		Version          int      `json:"version"`
		TerraformVersion string   `json:"terraform_version"`
		Serial           int64    `json:"serial"`
		Lineage          string   `json:"lineage,omitempty"`
		Outputs          struct{} `json:"outputs"`
		Resources        []string `json:"resources"`
	}{4, "1.0.0", held.Serial, held.Lineage, struct{}{}, []string{}})
}

// onStage are a move's settings at the embedded server: nobody releases a lock there, the
// source is only read, and projects and agent pools are not copied.
func onStage(s migrate.Settings) migrate.Settings {
	return migrate.Settings{Create: s.Create, IncludeEmpty: s.IncludeEmpty, History: s.History}
}

// staged returns the haul of moves at a target on the stage.
func (r *rehearsal) staged(target backend.Target, moves []migrate.Move, backups string) *migrate.Haul {
	haul := r.haul(target)
	haul.TrustListing = true // no one else uses it
	haul.Engine.Haul, haul.BackupDir = migrate.NewHaulID(), backups
	haul.DryRun, haul.Settings = false, onStage(haul.Settings)
	for i := range moves {
		if moves[i].Own != nil {
			own := onStage(*moves[i].Own)
			moves[i].Own = &own
		}
	}
	return haul
}

// play plans and runs the haul on the stage, and puts into the view what became of
// the moves.
func (r *rehearsal) play(ctx context.Context, client *tfe.Client, moves []migrate.Move, view *report.Haul) (*migrate.Plan, error) {
	backups, err := os.MkdirTemp("", "tfhaul-rehearsal-")
	if err != nil {
		return nil, err
	}
	// The backups are of placeholders.
	defer func() { _ = os.RemoveAll(backups) }()
	haul := r.staged(client.Target(r.address.Organization), moves, backups)
	plan, err := r.plan(ctx, haul, &pairing.Pairing{Moves: moves})
	if err != nil {
		return nil, err
	}
	progress := r.startProgress(ctx, "rehearsing", len(plan.Moves))
	defer progress.end()
	haul.Engine.Observe = progress.observe
	haul.Ended = func(result migrate.Result) {
		progress.ended(result)
		// What was proven to be there need not be held any longer: memory is to stay flat. A
		// workspace that was not made has nothing to hold.
		_ = r.server.DeleteWorkspace(r.address.Organization, result.Target[strings.LastIndexByte(result.Target, '/')+1:])
	}
	played, _ := haul.Run(ctx, plan) // the results contain the causes
	for i := range played {
		asRehearsed(&played[i])
	}
	view.Results = played
	return plan, nil
}

// asRehearsed says of a result that nothing was moved yet.
func asRehearsed(result *migrate.Result) {
	if result.Outcome == migrate.Moved {
		result.Outcome = migrate.WouldMove
		result.Message = "Rehearsed: it would be moved."
		if result.APICalls > 0 {
			result.Message = fmt.Sprintf("Rehearsed: it would be moved, with %d API calls.", result.APICalls)
		}
	}
	result.StateVersionID, result.Backup = "", ""
}

// requests counts what the embedded server was asked, and the real one for the plan.
func (r *rehearsal) requests() int {
	n := r.calls
	for _, q := range r.server.Requests() {
		if strings.HasPrefix(q.Path, "/api/v2/") {
			n++
		}
	}
	return n
}
