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
	dir     string // where the haul began; "" if the journal does not record it
	all     bool
}

func (p *process) parseVerifyJournal(c *cli.Context) (*verifyJournal, error) {
	if c.Bool("deep") {
		return nil, usagef("--deep compares one state: tfhaul verify --deep SOURCE TARGET")
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
	to     destination
	target backend.Target
}

// Run compares and reports.
func (v *verifyJournal) Run(ctx context.Context) error {
	ledger, err := readJournal(v.journal)
	if _, ok := errors.AsType[*usageError](err); ok {
		return usagef("%v; to compare one state: tfhaul verify SOURCE TARGET", err)
	}
	if err != nil {
		return err
	}
	v.dir = ledger.Dir()
	targets := &targetPool{connector: v.connector}
	defer targets.close()
	moves, err := v.moves(ctx, targets, ledger)
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
	if code == exitDone && slices.ContainsFunc(results, func(r migrate.Result) bool { return !r.Rollback && hasRecipe(ctx, v.kinds, r.Target) }) {
		v.tellNext("make the configurations use the moved states: tfhaul report %s shows how", report.Plain(plainwords.ShellWord(v.journal)))
	}
	return ended(code)
}

// moves are those of the journal, each with its open target.
func (v *verifyJournal) moves(ctx context.Context, targets *targetPool, ledger *migrate.Ledger) ([]recordedMove, error) {
	recorded := ledger.Recorded()
	if len(recorded) == 0 {
		return nil, usagef("the journal %s contains no moves", v.journal)
	}
	for _, r := range recorded {
		v.kinds.Expect([]string{r.Source})
	}
	moves := make([]recordedMove, len(recorded))
	for i, r := range recorded {
		m := recordedMove{Recorded: r}
		var err error
		if m.to, err = v.recordedTarget(r.Target); err != nil {
			return nil, usagef("the journal %s names a target that cannot be one: %v", v.journal, err)
		}
		if m.target, err = targets.of(ctx, m.to); err != nil {
			return nil, err
		}
		moves[i] = m
	}
	// A journal has them in the order in which they happened to begin.
	slices.SortStableFunc(moves, func(a, b recordedMove) int { return strings.Compare(a.Source, b.Source) })
	return moves, nil
}

// leastListed is how many moves into one container make listing its states cheaper than
// asking for each.
const leastListed = 3

// listKnown lists the states of each container that many moves went to. States that a
// listing does not report are looked up later.
func listKnown(ctx context.Context, moves []recordedMove) {
	wanted := map[backend.Target]map[string][]*recordedMove{}
	for i := range moves {
		m := &moves[i]
		if m.Arrived == nil {
			continue
		}
		if wanted[m.target] == nil {
			wanted[m.target] = map[string][]*recordedMove{}
		}
		name := nameAt(m.to.kind.Traits, m.to.name)
		wanted[m.target][name] = append(wanted[m.target][name], m)
	}
	for target, names := range wanted {
		listing := target.List(ctx)
		if len(names) < leastListed || listing == nil {
			continue
		}
		for s, err := range listing {
			if err != nil {
				break
			}
			for _, m := range names[nameAt(target.Traits(), s.Name)] {
				m.Known = s
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
	engine := &migrate.Engine{Target: m.target}
	var object backend.State
	var err error
	if m.Result == nil || !m.Result.Rollback { // whose source is an earlier version of the target
		object, err = v.sourceOf(ctx, m.Source)
	}
	result := engine.Recheck(ctx, m.Recorded, m.to.name, object)
	result.Rollback = m.Result != nil && m.Result.Rollback
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

// notFound explains that a source no longer exists. A relative name means nothing if the
// directory in which the haul ran is gone.
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

// recordedTarget reads the target of a move in a journal. That of a move without a name is
// its container.
func (n connector) recordedTarget(recorded string) (destination, error) {
	d, err := n.stateTarget(recorded)
	if err == nil {
		return d, nil
	}
	if container, bad := n.containerTarget(recorded); bad == nil {
		return container, nil
	}
	return d, err
}
