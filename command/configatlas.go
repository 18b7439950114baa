package command

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"tfhaul/backend/atlas"
	"tfhaul/prove"
	"tfhaul/report"
)

// The APIs that config push speaks.
const (
	apiTFE   = "tfe-v2"
	apiAtlas = "atlas-v1"
)

// atlasFlags are the flags of config push for Atlas's first API.
func atlasFlags() []cli.Flag {
	return []cli.Flag{
		newChoiceFlag("api", apiTFE, "API `NAME` for the push: tfe-v2, or atlas-v1 for servers from before 2018 (ATLAS_ADDRESS, ATLAS_TOKEN)", apiTFE, apiAtlas),
		listFlag("var", "with atlas-v1: Terraform variable `NAME=VALUE`; not for secrets, because process lists show it"),
		listFlag("metadata", "with atlas-v1: metadata `NAME=VALUE`, such as a commit"),
	}
}

// pushAtlas pushes by Atlas's first API.
func (p *process) pushAtlas(c *cli.Context, n connector, dir, given string) error {
	for _, flag := range []string{"speculative", "no-queue"} {
		if p.typed[flag] {
			return usagef("--%s is not known to the API %s", flag, apiAtlas)
		}
	}
	o := atlasPush{connector: n, dir: dir}
	var ok bool
	if o.user, o.name, ok = strings.Cut(given, "/"); !ok || o.user == "" || o.name == "" || strings.Contains(o.name, "/") {
		return usagef("the target of --api %s is USER/NAME, and not %q; the server is ATLAS_ADDRESS", apiAtlas, given)
	}
	var err error
	if o.variables, err = assignments(c, "var"); err != nil {
		return err
	}
	if o.metadata, err = assignments(c, "metadata"); err != nil {
		return err
	}
	return o.Run(c.Context)
}

// assignments reads a flag of NAME=VALUE. A value is not repeated in an error: it may
// be a secret all the same.
func assignments(c *cli.Context, flag string) (map[string]string, error) {
	out := map[string]string{}
	for i, given := range c.StringSlice(flag) {
		name, value, ok := strings.Cut(given, "=")
		if !ok || name == "" {
			return nil, usagef("--%s number %d does not have the form NAME=VALUE", flag, i+1)
		}
		if _, twice := out[name]; twice {
			return nil, usagef("--%s names %q twice", flag, name)
		}
		out[name] = value
	}
	return out, nil
}

// An atlasPush pushes a configuration to a server of Atlas's first API.
type atlasPush struct {
	connector
	dir, user, name     string
	variables, metadata map[string]string
}

// Run packs, pushes and reports.
func (o *atlasPush) Run(ctx context.Context) error {
	client, err := atlas.New(atlas.Options{Address: o.getenv("ATLAS_ADDRESS"), Token: o.getenv("ATLAS_TOKEN"), TLS: o.connection.TLS, Timeout: o.connection.Timeout})
	if err != nil {
		return &usageError{err.Error()}
	}
	defer client.Close()
	packed, err := prove.Pack(ctx, o.dir)
	if err != nil {
		return err
	}
	// The server does not say what its working directory is.
	if err := packed.CheckConfiguration(o.dir, ""); err != nil {
		return &usageError{err.Error()}
	}
	progress := &uploadProgress{to: o.stderr, total: packed.Size, silent: o.json || o.quiet}
	pushed, err := client.Push(ctx, o.user, o.name, atlas.Configuration{
		Metadata: o.metadata, Variables: o.variables, Open: packed.Open, Size: packed.Size, Progress: progress.sent,
	})
	progress.end()
	if err != nil {
		return err
	}
	shown := report.AtlasVersion{Target: client.Host() + "/" + o.user + "/" + o.name, Version: pushed.Version, Size: packed.Size,
		Received: pushed.Received, Files: packed.Files, LeftOut: packed.LeftOut}
	if err := show(o.process, shown, report.JSON, report.ShowAtlasVersion); err != nil {
		return err
	}
	if pushed.Received >= 0 && pushed.Received != packed.Size {
		return fmt.Errorf("the server has %d of the %d bytes that were sent: push again", pushed.Received, packed.Size)
	}
	return nil
}

// An uploadProgress reports how much of an upload was sent: in place on a terminal,
// elsewhere at every quarter.
type uploadProgress struct {
	to     *terminal
	total  int64
	silent bool

	mu   sync.Mutex
	last int64     // percent
	at   time.Time // of the last report
}

// tellUploadEvery bounds how often a terminal is redrawn.
const tellUploadEvery = 100 * time.Millisecond

func (u *uploadProgress) sent(n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.silent || u.total == 0 {
		return
	}
	percent := n * 100 / u.total
	switch {
	case u.to.interactive && (percent == 100 || time.Since(u.at) > tellUploadEvery) && percent != u.last:
		u.at = time.Now()
		fmt.Fprintf(u.to, "\ruploading %3d%% of %s", percent, report.Size(u.total))
	case !u.to.interactive && percent/25 > u.last/25:
		fmt.Fprintf(u.to, "uploading: %d%% of %s\n", percent, report.Size(u.total))
	default:
		return
	}
	u.last = percent
}

func (u *uploadProgress) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.to.interactive && !u.silent && u.last > 0 {
		fmt.Fprintln(u.to)
	}
}
