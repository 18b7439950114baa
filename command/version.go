package command

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/report"
)

// A Version says what was built.
type Version struct {
	Version string `json:"version"`
	// Commit is the revision it was built from; "" outside of a checkout.
	Commit string `json:"commit"`
	// Date is when that commit was made, in RFC 3339. It does not depend on when or
	// where the program was built, so that a build can be reproduced.
	Date string `json:"date"`
	// Modified says that the checkout had changes that were not committed.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// A release sets these with -ldflags -X; see .goreleaser.yaml. They are empty in a
// program that was built with go build or go install.
var releaseVersion, releaseCommit, releaseDate, releaseModified string

// buildVersion returns what a release stamped into the program, or else what the Go
// toolchain did.
func buildVersion() Version {
	if releaseVersion != "" {
		return Version{
			Version: releaseVersion, Commit: releaseCommit, Date: releaseDate, Modified: releaseModified == "true",
			Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return toolchainVersion(info)
}

// toolchainVersion returns what the Go toolchain recorded about the checkout.
func toolchainVersion(info *debug.BuildInfo) Version {
	v := Version{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Date = s.Value
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
		Description: "Shows the version, the commit that it was built from and that commit's date, the Go version that built it, and the\n" +
			"platform that it was built for.\n\n" +
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
	var from []string
	if v.Commit != "" {
		from = append(from, "commit "+v.Commit)
	}
	if v.Date != "" {
		from = append(from, v.Date)
	}
	if v.Modified {
		from = append(from, "modified")
	}
	checkout := ""
	if len(from) > 0 {
		checkout = " (" + strings.Join(from, ", ") + ")"
	}
	return fmt.Sprintf("tfhaul %s%s, %s, %s", v.Version, checkout, v.Go, v.Platform)
}
