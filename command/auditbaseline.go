package command

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/audit"
	"tfhaul/plainwords"
)

// readBaseline reads the flags about baselines.
func (a *takeInventory) readBaseline(c *cli.Context) error {
	if path := c.String("baseline"); path != "" {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return usagef("the baseline %q cannot be read: there is no such file. Write one first: use --write-baseline instead of --baseline", path)
		}
		if err != nil {
			return usagef("the baseline %q cannot be read: %v", path, plainwords.WithoutPath(err))
		}
		defer func() { _ = file.Close() }() // it was only read
		if a.baseline, err = audit.ReadBaseline(file, path); err != nil {
			return &usageError{err.Error()}
		}
	}
	var err error
	a.writeBaseline = c.String("write-baseline")
	if a.baseline == nil || a.baseline.File != a.writeBaseline {
		a.writeBaseline, err = reportPath(c, "write-baseline")
	}
	return err
}

// withBaseline is this command with the written baseline.
func (a *takeInventory) withBaseline() string {
	words := []string{"tfhaul"}
	for i := 1; i < len(a.args); i++ {
		switch name, _, valued := strings.Cut(strings.TrimLeft(a.args[i], "-"), "="); {
		case strings.HasPrefix(a.args[i], "-") && (name == "baseline" || name == "write-baseline"):
			if !valued {
				i++
			}
		case strings.HasPrefix(a.args[i], "-") && name == "force":
		default:
			words = append(words, plainwords.ShellWord(a.args[i]))
		}
	}
	return strings.Join(append(words, "--baseline", plainwords.ShellWord(a.writeBaseline)), " ")
}
