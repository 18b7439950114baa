package migrate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-version"
	"golang.org/x/sync/errgroup"

	"tfhaul/backend"
	"tfhaul/crash"
	"tfhaul/plainwords"
)

// A Plan is what a haul would do, decided before anything is written.
type Plan struct {
	// Moves are all moves in the order in which they were given.
	Moves []Planned
	// Findings are what the user should know before confirming.
	Findings []Finding
	// APICalls is what the listings cost; each move's own calls are in its result.
	APICalls int

	began time.Time
}

// A Planned is a move and its planned result.
type Planned struct {
	Move
	// Result is that of a dry run: outcome planned, or why there is nothing to do.
	Result Result
	// Held is what the workspace holds, as far as it was read; nil for nothing.
	Held *Snapshot
}

// Results are those of all moves.
func (p *Plan) Results() []Result {
	all := make([]Result, len(p.Moves))
	for i := range p.Moves {
		all[i] = p.Moves[i].Result
	}
	return all
}

// Count is how many moves have an outcome.
func (p *Plan) Count(o Outcome) int {
	n := 0
	for i := range p.Moves {
		if p.Moves[i].Result.Outcome == o {
			n++
		}
	}
	return n
}

// end puts the result of the move in the place of the plan's, and lets go of what was
// read for it.
func (p *Planned) end(r Result) {
	p.Result, p.Held = r, nil
	p.Listed, p.Known, p.seen, p.nameNote = false, nil, nil, ""
}

// A Severity says how much a Finding weighs.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // may stop the moves that it concerns: see their results
	SeverityWarning Severity = "warning" // look at it before confirming
)

// A Finding is something about a plan that no single move shows.
type Finding struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	// Message says what it is and what to do.
	Message string `json:"message"`
	// Sources and Targets are the moves that it concerns.
	Sources []string `json:"sources,omitempty"`
	Targets []string `json:"targets,omitempty"`
}

// The codes of findings.
const (
	FindingCollision         = "name-collision"
	FindingSharedLineage     = "shared-lineage"
	FindingTerraformVersion  = "terraform-version"
	FindingRunInProgress     = "run-in-progress"
	FindingOrganizationToken = "organization-token"
	FindingPermissions       = "missing-permissions"
)

// Plan decides what every move would do. It lists the organization's workspaces
// once instead of asking for each, reads the snapshots and what the workspaces
// hold, and writes nothing. The error is one that concerns all moves, such as a
// token that is not accepted.
func (h *Haul) Plan(ctx context.Context, moves []Move) (*Plan, error) {
	began := time.Now()
	listing, meter := backend.WithMeter(ctx)
	h.noAccess = nil
	workspaces, err := h.list(listing, moves)
	if err != nil {
		return nil, err
	}
	plan := &Plan{Moves: make([]Planned, len(moves)), began: began}
	if plan.Findings, err = h.checkCredentials(listing); err != nil {
		return nil, err
	}
	plan.APICalls = meter.Calls()
	colliding := h.collisions(plan, moves)
	reader := *h.Engine
	reader.DryRun = true
	var (
		group errgroup.Group
		mu    sync.Mutex
	)
	planning, end := context.WithCancelCause(ctx)
	defer end(nil)
	outage := outage{target: h.Target.Down}
	group.SetLimit(h.parallelism())
	for i, m := range moves {
		// What an earlier plan has read may be of another server.
		m.Listed, m.Known, m.seen = workspaces != nil, workspaces.of(m.Workspace, h.Target.Traits().Workspaces), nil
		m.confirm = m.Known == nil && !h.TrustListing
		if m.Known != nil {
			m.useServerName(m.Known.Name)
		}
		group.Go(func() error {
			defer crash.Catch(ctx)
			mu.Lock()
			skip := outage.sourceDown(m.Object)
			mu.Unlock()
			if skip == nil && planning.Err() != nil && ctx.Err() == nil {
				skip = context.Cause(planning)
			}
			if skip != nil {
				plan.Moves[i] = reader.skipped(m, skip)
			} else {
				plan.Moves[i] = reader.plan(planning, m, colliding[h.fold(m.Workspace)])
			}
			mu.Lock()
			defer mu.Unlock()
			if why := outage.observe(plan.Moves[i].Result); why != nil {
				end(why)
			}
			if h.Decided != nil {
				h.Decided(plan.Moves[i].Result)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if h.noAccess == nil {
		plan.permissions()
	}
	plan.lineages()
	plan.versions()
	plan.runs()
	plan.hyok()
	return plan, nil
}

// skipped plans a move that is not attempted.
func (e *Engine) skipped(m Move, why error) Planned {
	x := e.execution(m)
	x.result.Outcome, x.result.Code, x.result.Message = Skipped, CodeNotAttempted, plainwords.Sentence(why.Error())
	return Planned{Move: m, Result: x.result}
}

// plan makes a dry run of one move and keeps what it has read for the real one.
func (e *Engine) plan(ctx context.Context, m Move, collision string) Planned {
	ctx, meter := backend.WithMeter(ctx)
	x := e.execution(m)
	var err error
	if e.noAccess != nil {
		err = e.noAccess
	} else {
		err = x.run(ctx)
	}
	if collision != "" && err == nil {
		x.result.Outcome = ""
		err = &stop{code: CodeCollision, message: collision}
	}
	x.conclude(ctx, err)
	x.result.APICalls = meter.Calls()
	// The workspace was found, or is missing. Run need not ask again.
	if m = x.Move; x.workspace != nil {
		m.Known = x.workspace
	}
	m.confirm = false
	x.result.Target = e.targetName(m)
	m.seen = &seen{read: x.read, workspace: x.workspace, held: x.held, history: x.history.light(), settings: x.result.Settings}
	switch {
	case x.result.Outcome != WouldMove:
		m.seen.read.snapshot, m.seen.history = nil, nil // they will not be sent
	case x.read.snapshot != nil:
		x.read.snapshot.Contents.Providers = nil // which are nobody's concern here
	}
	planned := Planned{Move: m, Result: x.result}
	if x.held != nil {
		planned.Held = newSnapshot(x.held.snapshot)
	}
	return planned
}

// checkCredentials detects credentials with which no move can succeed.
func (h *Haul) checkCredentials(ctx context.Context) ([]Finding, error) {
	checker, ok := h.Target.(backend.Checker)
	if !ok {
		return nil, nil
	}
	err := checker.CheckCredentials(ctx)
	if backend.CodeOf(err) != backend.OrganizationToken {
		return nil, err
	}
	h.noAccess = &stop{code: CodeForbiddenOrMissing, message: err.Error()}
	return []Finding{{Code: FindingOrganizationToken, Severity: SeverityError, Message: err.Error()}}, nil
}

// collisions finds the workspaces into which several snapshots are to go, and
// says so for each.
func (e *Engine) collisions(p *Plan, moves []Move) map[string]string {
	sources, spellings := map[string][]string{}, map[string][]string{}
	for _, m := range moves {
		if m.Unnamed {
			continue
		}
		key := e.fold(m.Workspace)
		sources[key] = append(sources[key], backend.Printable(m.Object.Address()))
		if !slices.Contains(spellings[key], m.Workspace) {
			spellings[key] = append(spellings[key], m.Workspace)
		}
	}
	colliding := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if from := sources[name]; len(from) > 1 {
			same := e.sayf("the same workspace, ") + spellings[name][0]
			if len(spellings[name]) > 1 {
				same = fmt.Sprintf("the same workspace (names differ only in case: %s)", strings.Join(spellings[name], ", "))
			}
			flag := "--workspace-name"
			if !e.Target.Traits().Workspaces {
				flag = "--key-name"
			}
			message := fmt.Sprintf("%d states map to %s: %s. Rename all but one (%s, --map), or exclude them (--exclude).", len(from), same, several(from), flag)
			colliding[name] = message
			p.Findings = append(p.Findings, Finding{Code: FindingCollision, Severity: SeverityError, Message: message, Sources: from, Targets: spellings[name]})
		}
	}
	return colliding
}

// several lists the first few names.
func several(names []string) string {
	const shown = 5
	if len(names) <= shown+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// lineages finds copies: snapshots of one lineage on their way to several workspaces.
func (p *Plan) lineages() {
	known := make([]*Result, 0, len(p.Moves))
	for i := range p.Moves {
		if r := &p.Moves[i].Result; r.Snapshot != nil && r.Snapshot.Lineage != "" {
			known = append(known, r)
		}
	}
	slices.SortStableFunc(known, func(a, b *Result) int { return strings.Compare(a.Snapshot.Lineage, b.Snapshot.Lineage) })
	for len(known) > 0 {
		lineage, n := known[0].Snapshot.Lineage, 1
		for n < len(known) && known[n].Snapshot.Lineage == lineage {
			n++
		}
		copies := known[:n]
		if known = known[n:]; n < 2 {
			continue
		}
		f := Finding{Code: FindingSharedLineage, Severity: SeverityWarning}
		newest := copies[0]
		for _, c := range copies {
			f.Sources, f.Targets = append(f.Sources, c.Source), append(f.Targets, c.Target)
			if c.Snapshot.Serial > newest.Snapshot.Serial {
				newest = c
			}
		}
		f.Message = fmt.Sprintf("%d states are copies of one state (lineage %s): %s. Several workspaces would manage the same resources. The highest serial is %d, in %s.",
			n, lineage, several(f.Sources), newest.Snapshot.Serial, newest.Source)
		p.Findings = append(p.Findings, f)
	}
}

// The releases of Terraform from which on it reads format 4, and states that a newer
// release wrote.
var (
	readsFormat4 = version.Must(version.NewVersion("0.12.0"))
	readsNewer   = version.Must(version.NewVersion("0.14.0"))
)

// versions finds workspaces whose Terraform cannot read the state: since 0.14 it reads what
// newer releases wrote, as long as it knows the format.
func (p *Plan) versions() {
	for i := range p.Moves {
		m := &p.Moves[i]
		if m.Known == nil || m.Result.Outcome != WouldMove || m.Result.Snapshot == nil {
			continue
		}
		runs, err := version.NewVersion(m.Known.Terraform)
		if err != nil {
			continue // "latest" and constraints are the server's to judge
		}
		why := cannotRead(runs, m.Result.Snapshot)
		if why == "" {
			continue
		}
		p.Findings = append(p.Findings, Finding{Code: FindingTerraformVersion, Severity: SeverityWarning,
			Sources: []string{m.Result.Source}, Targets: []string{m.Result.Target},
			Message: fmt.Sprintf("Runs in workspace %s would reject the state: the workspace uses Terraform %s, and %s. Raise the workspace's Terraform version first.",
				m.Workspace, runs, why)})
	}
}

// cannotRead says why a release of Terraform cannot read a state; "" where it can.
func cannotRead(runs *version.Version, state *Snapshot) string {
	core := runs.Core()
	if state.Format >= 4 && core.LessThan(readsFormat4) {
		return fmt.Sprintf("releases before 0.12 cannot read format %d", state.Format)
	}
	wrote, err := version.NewVersion(state.TerraformVersion)
	if err != nil || !core.LessThan(readsNewer) || !runs.LessThan(wrote) {
		return ""
	}
	return fmt.Sprintf("releases before 0.14 reject states that a newer release wrote (here %s)", wrote)
}

// permissions finds workspaces that the token can read but not write.
func (p *Plan) permissions() {
	f := Finding{Code: FindingPermissions, Severity: SeverityError}
	for i := range p.Moves {
		m := &p.Moves[i]
		if m.Known == nil || m.Result.Code != CodeForbiddenOrMissing || m.Known.CanLock && m.Known.CanWrite {
			continue
		}
		f.Sources, f.Targets = append(f.Sources, m.Result.Source), append(f.Targets, m.Result.Target)
	}
	if n := len(f.Targets); n > 0 {
		f.Message = fmt.Sprintf("The token cannot lock and write %d of the workspaces (%s), so moves into them would fail. Use a token with permission to lock workspaces and write states.", n, several(f.Targets))
		p.Findings = append(p.Findings, f)
	}
}

// runs finds workspaces with an unfinished run.
func (p *Plan) runs() {
	for i := range p.Moves {
		m := &p.Moves[i]
		if m.Known == nil || m.Result.Outcome != WouldMove || m.Known.Run == nil || m.Known.Run.Over {
			continue
		}
		advice := "Wait for it to finish, or cancel it, before the move"
		if m.Known.Run.Waits {
			advice = "It is waiting for a person: confirm or discard it before the move"
		}
		p.Findings = append(p.Findings, Finding{Code: FindingRunInProgress, Severity: SeverityWarning,
			Sources: []string{m.Result.Source}, Targets: []string{m.Result.Target},
			Message: fmt.Sprintf("Run %s in workspace %s is %q. %s.", m.Known.Run.ID, m.Workspace, m.Known.Run.Status, advice)})
	}
}
