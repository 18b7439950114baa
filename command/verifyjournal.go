package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/plainwords"
	"tfhaul/report"
)

// A verifyJournal compares everything again that a haul has moved.
type verifyJournal struct {
	connector
	journal string
	dir     string // where the haul began; "" where the journal does not tell
	all     bool
}

func (p *process) parseVerifyJournal(c *cli.Context) (*verifyJournal, error) {
	if c.Bool("deep") {
		return nil, usagef("--deep compares one state: tfhaul verify --deep SOURCE [HOST/]ORG/WORKSPACE")
	}
	v := &verifyJournal{journal: c.Args().First(), all: c.Bool("all")}
	var err error
	if v.connector, err = p.connector(c); err != nil {
		return nil, err
	}
	if v.parallelism < 1 {
		return nil, usagef("--parallelism cannot be %d: at least one workspace is looked at at a time", v.parallelism)
	}
	return v, nil
}

// A recordedMove is a move of the journal, and where it went.
type recordedMove struct {
	migrate.Recorded
	address tfe.Address
	client  *tfe.Client
}

// Run compares and reports.
func (v *verifyJournal) Run(ctx context.Context) error {
	ledger, err := readJournal(v.journal)
	if _, ok := errors.AsType[*usageError](err); ok {
		return usagef("%v; to compare one state: tfhaul verify SOURCE [HOST/]ORG/WORKSPACE", err)
	}
	if err != nil {
		return err
	}
	v.dir = ledger.Dir()
	clients := &clientPool{connector: v.connector}
	defer clients.close()
	moves, err := v.moves(ctx, clients, ledger)
	if err != nil {
		return err
	}
	listKnown(ctx, moves)
	results := v.recheckAll(ctx, moves)
	if ctx.Err() != nil && slices.ContainsFunc(results, func(r migrate.Result) bool { return r.Outcome == "" }) {
		return ctx.Err()
	}
	view := report.Haul{Results: results, Seconds: time.Since(v.started).Seconds(), All: v.all}
	for _, r := range results {
		view.APICalls += r.APICalls
	}
	told := haulReport(v.journal, ledger)
	told.Results, told.Unfinished = results, nil // which are among the results
	if v.json {
		err = report.HaulReportJSON(v.stdout, told)
	} else if err = report.Verified(v.stdout, v.stdout.style(), view); err == nil {
		err = told.Rest(v.stdout, v.stdout.style())
	}
	if err != nil {
		return err
	}
	code := codeOfResults(ctx, results, false)
	if told.NotAttempted > 0 && (code == exitDone || code == exitRefused) {
		code = exitFailed // not all of the haul is there
	}
	return ended(code)
}

// moves are those of the journal, each with a client of its host.
func (v *verifyJournal) moves(ctx context.Context, clients *clientPool, ledger *migrate.Ledger) ([]recordedMove, error) {
	recorded := ledger.Recorded()
	if len(recorded) == 0 {
		return nil, usagef("the journal %s contains no moves", v.journal)
	}
	moves := make([]recordedMove, len(recorded))
	for i, r := range recorded {
		m := recordedMove{Recorded: r}
		var err error
		if m.address, err = v.recordedAddress(r.Target); err != nil {
			return nil, usagef("the journal %s names a workspace that cannot be one: %v", v.journal, err)
		}
		if m.client, err = clients.of(ctx, m.address); err != nil {
			return nil, err
		}
		moves[i] = m
	}
	// A journal has them in the order in which they happened to begin.
	slices.SortStableFunc(moves, func(a, b recordedMove) int { return strings.Compare(a.Source, b.Source) })
	return moves, nil
}

// leastListed is how many moves into one organization make listing its workspaces
// cheaper than asking for each.
const leastListed = 3

// listKnown lists the workspaces of each organization that many moves went to. What a
// listing does not tell, or fails to, is asked for later.
func listKnown(ctx context.Context, moves []recordedMove) {
	type place struct {
		client       *tfe.Client
		organization string
	}
	wanted := map[place]map[string][]*recordedMove{}
	for i := range moves {
		m := &moves[i]
		if m.Arrived == nil {
			continue
		}
		at := place{m.client, m.address.Organization}
		if wanted[at] == nil {
			wanted[at] = map[string][]*recordedMove{}
		}
		name := strings.ToLower(m.address.Workspace)
		wanted[at][name] = append(wanted[at][name], m)
	}
	for at, names := range wanted {
		if len(names) < leastListed {
			continue
		}
		for ws, err := range at.client.Target(at.organization).List(ctx) {
			if err != nil {
				break
			}
			for _, m := range names[strings.ToLower(ws.Name)] {
				m.Known = ws
			}
		}
	}
}

// recheckAll looks at many workspaces at a time.
func (v *verifyJournal) recheckAll(ctx context.Context, moves []recordedMove) []migrate.Result {
	progress := v.startProgress(ctx, comparing, len(moves))
	defer progress.end()
	results := make([]migrate.Result, len(moves))
	var group errgroup.Group
	group.SetLimit(v.parallelism)
	for i, m := range moves {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			defer crash.Catch(ctx)
			results[i] = v.recheck(ctx, m)
			progress.ended(results[i])
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	return results
}

// recheck compares one workspace, and its source where that still is there.
func (v *verifyJournal) recheck(ctx context.Context, m recordedMove) migrate.Result {
	engine := &migrate.Engine{Target: m.client.Target(m.address.Organization)}
	object, err := v.sourceOf(ctx, m.Source)
	result := engine.Recheck(ctx, m.Recorded, m.address.Workspace, object)
	switch {
	case err == nil || m.Arrived == nil:
	case errors.Is(err, fs.ErrNotExist):
		result.Notes = append(result.Notes, v.notFound(m.Source))
	default:
		result.Notes = append(result.Notes, plainwords.Sentence(fmt.Sprintf("cannot check whether the source changed after the move: %v", err)))
	}
	return result
}

// fromHere returns a source as it is named from the working directory.
func (v *verifyJournal) fromHere(source string) string {
	if _, err := os.Stat(v.dir); err != nil || !pairing.IsRelative(source) {
		return source
	}
	return filepath.Join(v.dir, source)
}

// notFound says that a source is not where it was. Without the directory in which the haul
// ran, a relative name does not tell.
func (v *verifyJournal) notFound(source string) string {
	if _, err := os.Stat(v.dir); err == nil || !pairing.IsRelative(source) {
		return "The source no longer exists."
	}
	return "The source was not found from this directory. To check it, run the command in the directory where the haul began" + inBrackets(v.dir) + "."
}

func inBrackets(dir string) string {
	if dir == "" {
		return ""
	}
	return " (" + dir + ")"
}

// sourceOf finds the source of a recorded move; nil where it is one that cannot be
// asked twice.
func (v *verifyJournal) sourceOf(ctx context.Context, name string) (backend.State, error) {
	if name == "-" {
		return nil, nil
	}
	found, err := v.kinds.Find(ctx, v.fromHere(name), backend.Filter{})
	switch {
	case err != nil:
		return nil, err
	case len(found.States) != 1:
		return nil, fmt.Errorf("%q names %d states now", name, len(found.States))
	}
	return found.States[0], nil
}

// recordedAddress reads the host/organization/workspace of a journal. It does not
// tell the scheme, without which a host is asked where its API is: the variables do,
// if they name this host.
func (p *process) recordedAddress(recorded string) (tfe.Address, error) {
	// A move that had no workspace's name ends with the slash.
	parse := tfe.ParseWorkspace
	if unnamed, ok := strings.CutSuffix(recorded, "/"); ok {
		recorded, parse = unnamed, tfe.ParseOrganization
	}
	address, err := parse(recorded, p.getenv)
	if err != nil {
		return address, err
	}
	if usual, err := tfe.ParseOrganization(address.Organization, p.getenv); err == nil && usual.Host == address.Host {
		address.Scheme = usual.Scheme
	}
	return address, nil
}
