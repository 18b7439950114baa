package command

import (
	"cmp"
	"context"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/backend/tfe"
	"tfhaul/migrate"
	"tfhaul/pairing"
	"tfhaul/report"
	"tfhaul/rootmodule"
)

// A rewriting points configurations at the states that were moved.
type rewriting struct {
	connector
	haul    string // a manifest or a journal
	dirs    []string
	options rootmodule.Options
	write   bool
	branch  string
	backups string
}

func (p *process) rewriteCommand() *cli.Command {
	return &cli.Command{
		Name:      "rewrite",
		Usage:     "change configurations to use the states where they were moved",
		UsageText: "tfhaul rewrite [flags] MANIFEST.hcl|JOURNAL.jsonl DIR…",
		Description: `Finds the configurations below DIR that use states of a haul, or read them with terraform_remote_state, and shows how to change
them as a diff: the backend block becomes a cloud block, or the other way round. Everything else stays as it is. Where a
change is not safe, such as in generated files, it says which line to change by hand and why.

--write changes the files. It also renames what would make terraform init ask about a migration: the settings of the last
init, and local states that a journal records as moved. Nothing is removed, and the former files are kept in --backup-dir. --branch commits the
changes to a new branch of each Git repository instead, without touching the working tree, and pushes nothing.

It sends no requests. See docs/cutover.md.

Examples:
  tfhaul rewrite haul.jsonl ./repos
  tfhaul rewrite haul.jsonl ./repos --write
  tfhaul rewrite haul.jsonl ./repos --branch use-hcp-terraform

Exit codes: 0 nothing is left to change by hand; 1 a file could not be written; 3 something must be changed by hand; 4 usage
error; 130 interrupted.`,
		Flags: []cli.Flag{
			switchFlag("write", "change the files"),
			textFlag("branch", "", "commit the changes to the new branch `NAME` of each Git repository"),
			fileListFlag("backend-config", "complete partial backend blocks with the arguments in `FILE`, as for tfhaul discover"),
			fileFlag("backup-dir", "`DIR` for the former content of the files that --write changes (default tfhaul-backup)"),
			jsonFlag(),
		},
		Action: action(p.parseRewriting),
	}
}

func (p *process) parseRewriting(c *cli.Context) (*rewriting, error) {
	args := c.Args().Slice()
	if len(args) < 2 {
		return nil, usagef("%s is missing: %s (more: tfhaul rewrite --help)", []string{"MANIFEST or JOURNAL", "DIR"}[len(args)], c.Command.UsageText)
	}
	r := &rewriting{haul: args[0], dirs: args[1:], write: c.Bool("write"), branch: c.String("branch"), backups: cmp.Or(c.String("backup-dir"), "tfhaul-backup")}
	if r.write && r.branch != "" {
		return nil, usagef("--write changes files and --branch commits without changing them: use one")
	}
	p.offline = true
	var err error
	if r.connector, err = p.connector(c); err != nil {
		return nil, err
	}
	r.options = rootmodule.Options{BackendConfig: c.StringSlice("backend-config"), Environ: p.environ, Complete: rootmodule.Completeness(r.kinds)}
	return r, nil
}

// Run decides, shows, and writes if asked to.
func (r *rewriting) Run(ctx context.Context) error {
	moves, notes, err := r.moves(ctx)
	if err != nil {
		return err
	}
	if len(moves) == 0 {
		return usagef("%s has no state that was moved to where Terraform can use it", r.haul)
	}
	tree, err := rootmodule.Find(ctx, r.dirs, r.options)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return &usageError{err.Error()}
	}
	for i, u := range tree.Unread {
		tree.Unread[i].Reason = "could not be read: " + u.Reason
	}
	decided := rootmodule.Rewrite(r.kinds, tree, moves)
	shown := report.NewRewriting(decided, tree.Unread, notes)
	switch {
	case r.write:
		shown.Written = true
		err = decided.Write(filepath.Join(r.backups, "rewrite-"+r.started.Format("20060102-150405")))
	case r.branch != "":
		shown.Branches, err = decided.Commit(ctx, r.branch, "Use the state where tfhaul moved it")
	}
	if err != nil {
		return err
	}
	if r.json {
		err = report.JSON(r.stdout, shown)
	} else {
		err = report.ShowRewriting(r.stdout, r.stdout.style(), shown)
	}
	if err != nil {
		return err
	}
	if !r.write && r.branch == "" && len(shown.Changes)+len(shown.Aside) > 0 {
		r.tellNext("%s --write, or --branch NAME", report.Plain(r.commandLine()))
	}
	if len(shown.Left) > 0 {
		return ended(exitRefused)
	}
	return nil
}

// moves returns what a manifest or a journal says about where states are, and notes about the
// blocks.
func (r *rewriting) moves(ctx context.Context) (moves []rootmodule.Move, notes []string, err error) {
	pairs, err := r.pairs()
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, pair := range pairs {
		block, err := r.blockFor(ctx, pair[1])
		if err != nil {
			continue // Terraform cannot use it there
		}
		for _, note := range block.Notes {
			if !seen[note] {
				notes = append(notes, note)
			}
			seen[note] = true
		}
		moves = append(moves, rootmodule.Move{Source: pair[0], Target: pair[1], Block: block, Planned: isManifest(r.haul)})
	}
	if isManifest(r.haul) {
		notes = append(notes, "A manifest does not say which states have arrived, so local states are not renamed. After the haul, run tfhaul rewrite with its journal.")
	}
	return moves, notes, nil
}

// blockFor returns how a configuration uses the state at a target.
func (r *rewriting) blockFor(ctx context.Context, target string) (*backend.Block, error) {
	kind, err := r.kinds.Target(target)
	if err != nil {
		return nil, err
	}
	if !kind.Traits.Workspaces {
		return blockOf(ctx, r.kinds, target)
	}
	address, err := tfe.ParseWorkspace(tfe.WithoutScheme(target), r.getenv)
	if err != nil {
		return nil, err
	}
	b := &backend.Block{Type: backend.CloudBlock}
	if address.Host != tfe.DefaultHost {
		b.Arguments = append(b.Arguments, backend.Argument{Name: "hostname", Value: address.Host})
	}
	b.Arguments = append(b.Arguments, backend.Argument{Name: "organization", Value: address.Organization},
		backend.Argument{Name: "workspaces", Value: map[string]string{"name": address.Workspace}})
	return b, nil
}

// pairs returns the sources and the targets of a haul.
func (r *rewriting) pairs() ([][2]string, error) {
	var pairs [][2]string
	add := func(source, dir, target string) {
		if pairing.IsRelative(source) && dir != "" && !exists(source) {
			source = filepath.Join(dir, source)
		}
		pairs = append(pairs, [2]string{source, target})
	}
	if !isManifest(r.haul) {
		ledger, err := readJournal(r.haul)
		if err != nil {
			return nil, err
		}
		for _, result := range ledger.Results() {
			if !result.Rollback && (result.Outcome == migrate.Moved || result.Outcome == migrate.AlreadyThere) {
				add(result.Source, ledger.Dir(), result.Target)
			}
		}
		return pairs, nil
	}
	m, err := pairing.OpenManifest(r.haul)
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	to, err := r.containerTarget(m.Target.Container())
	if err != nil {
		return nil, usagef("%s: %v", r.haul, err)
	}
	for _, move := range m.Moves {
		to.name = cmp.Or(move.Workspace, move.Key)
		add(move.Source, m.Dir, to.String())
	}
	return pairs, nil
}
