package command

import (
	"github.com/urfave/cli/v2"

	"tfhaul/backend"
	"tfhaul/migrate"
	"tfhaul/pairing"
)

// historyFlag reads --history; 0 if it is not given.
func (p *process) historyFlag(c *cli.Context) (int, error) {
	given := c.String("history")
	if given == "" {
		return 0, nil
	}
	n, err := pairing.ParseHistory(given)
	if err != nil {
		return 0, usagef("%s cannot be %q: %v", p.originOf("history"), given, err)
	}
	return n, nil
}

// checkHistory refuses --history if the source keeps no older versions or the target cannot
// store them.
func checkHistory(kinds backend.Kinds, s migrate.Settings, source, target string) error {
	if !s.WithHistory() {
		return nil
	}
	if err := kinds.CheckHistory(source, target); err != nil {
		return usagef("--history cannot be used here: %v", err)
	}
	return nil
}

// checkHistories is checkHistory for all moves of a haul.
func (h *hauling) checkHistories(moves []migrate.Move) error {
	for i := range moves {
		m, settings := &moves[i], h.options.Settings
		if m.Own != nil {
			settings = *m.Own
		}
		if err := checkHistory(h.kinds, settings, m.Object.Address(), h.to.container); err != nil {
			return err
		}
	}
	return nil
}
