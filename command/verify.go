package command

import (
	"context"

	"github.com/urfave/cli/v2"

	"tfhaul/migrate"
	"tfhaul/report"
)

// A verifyOne compares a source with a workspace.
type verifyOne struct {
	connector
	source string
	to     destination
	deep   bool
}

func (p *process) verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "check that a target holds exactly what the source holds",
		UsageText: "tfhaul verify [flags] SOURCE TARGET\n  tfhaul verify [flags] JOURNAL",
		Description: `Downloads what the target holds and compares it with the source, byte for byte. It writes nothing and takes no lock. It
needs only permission to read the target's state. TARGET is ` + stateForms() + `. ` + seeBackends + `

With a journal, it checks everything that the haul moved: whether each target still holds the same bytes, and whether the
source has changed since. Moves that did not arrive are listed with their recorded outcome.

--deep also compares the resources and outputs that the server extracts from the state, if it offers them as JSON.

Examples:
  tfhaul verify terraform.tfstate acme/network
  tfhaul verify --deep terraform.tfstate acme/network
  tfhaul verify haul.jsonl
  terraform state pull | tfhaul verify - acme/network --json

Exit codes: 0 identical; 1 could not be checked, or with a journal, a move failed or was cut off; 3 different, and the
message explains the difference; 4 usage or configuration error; 130 interrupted.`,
		Flags: append([]cli.Flag{
			switchFlag("deep", "with a SOURCE: also compare the resources in the server's JSON of the state"),
			countFlag("parallelism", migrate.DefaultParallelism, "with a journal: check `N` workspaces at the same time"),
			switchFlag("all", "with a journal: show every workspace, even in long lists"),
		}, append(connectFlags(), jsonFlag())...),
		Action: func(c *cli.Context) error {
			if c.NArg() == 1 {
				return action(p.parseVerifyJournal)(c)
			}
			return action(p.parseVerify)(c)
		},
	}
}

func (p *process) parseVerify(c *cli.Context) (*verifyOne, error) {
	args, err := exactly(c, "SOURCE", "TARGET")
	if err != nil {
		return nil, err
	}
	v := &verifyOne{source: args[0], deep: c.Bool("deep")}
	v.connector, v.to, err = p.connectorToState(c, args[1])
	return v, err
}

// Run compares and reports.
func (v *verifyOne) Run(ctx context.Context) error {
	result, err := v.findAndVerify(ctx)
	if err != nil {
		var failed bool
		if result, failed = failedEarly(v.source, v.to, err); !failed {
			return err
		}
	}
	results := []migrate.Result{result}
	if v.json {
		err = report.MovesJSON(v.stdout, results)
	} else {
		err = report.Verification(v.stdout, v.stdout.style(), result)
	}
	if err != nil {
		return err
	}
	return ended(codeOfResults(ctx, results, false))
}

func (v *verifyOne) findAndVerify(ctx context.Context) (migrate.Result, error) {
	object, err := findOne(ctx, v.kinds, v.source)
	if err != nil {
		return migrate.Result{}, err
	}
	target, err := v.open(ctx, v.to)
	if err != nil {
		return migrate.Result{}, err
	}
	defer target.Close()
	engine := &migrate.Engine{Target: target}
	verify := engine.Verify
	if v.deep {
		verify = engine.VerifyDeep
	}
	return verify(ctx, migrate.Move{
		Object: object, Workspace: v.to.name,
	}), nil
}
