package command

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"tfhaul/report"
)

// A Version says what was built.
type Version struct {
	Version string `json:"version"`
	// Commit is the revision it was built from; "" outside of a checkout.
	Commit string `json:"commit"`
	// Modified says that the checkout had changes that were not committed.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// buildVersion reads what the Go toolchain stamped into the program.
func buildVersion() Version {
	v := Version{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// userAgent names this program to servers.
func userAgent() string { return "tfhaul/" + buildVersion().Version }

func (p *process) versionCommand() *cli.Command {
	return &cli.Command{
		Name:      "version",
		Usage:     "show the version of tfhaul",
		UsageText: "tfhaul version [--json]",
		Description: "Shows the version, the commit that it was built from, and the Go version that built it.\n\n" +
			"Example:\n  tfhaul version --json",
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if p.json {
				return report.JSON(p.stdout, buildVersion())
			}
			_, err := fmt.Fprintln(p.stdout, buildVersion())
			return err
		},
	}
}

// String is the version for a person.
func (v Version) String() string {
	commit := ""
	if v.Commit != "" {
		commit = " (commit " + v.Commit
		if v.Modified {
			commit += ", modified"
		}
		commit += ")"
	}
	return fmt.Sprintf("tfhaul %s%s, %s, %s", v.Version, commit, v.Go, v.Platform)
}
