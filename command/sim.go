package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"tfhaul/report"
	"tfhaul/tfesim"
)

// A simulation serves the embedded TFE until it is interrupted.
type simulation struct {
	*process
	options tfesim.Options
	listen  string
	envFile string
}

func (p *process) simCommand() *cli.Command {
	return &cli.Command{
		Name:      "sim",
		Usage:     "serve an embedded Terraform Enterprise over HTTPS on loopback",
		UsageText: "tfhaul sim [flags]",
		Description: `Serves an embedded HCP Terraform / Terraform Enterprise on this machine, with the real server's rules, status codes and
error messages, for trying things out and testing scripts. tfhaul, go-tfe, curl and the real terraform work with it. It
keeps everything in memory unless you pass --data. Ctrl-C or SIGTERM stops it and removes the files that it wrote for
clients.

Runs are refused unless you pass --allow-runs. A run executes the configuration's code on this machine as the user who
started the server, with the terraform on PATH, so anyone with one of the server's tokens can run any command.

API requests are limited to 64 MiB, enough for 48 MiB of inline state. Larger requests fail with 413, as they would behind
a proxy; use the signed upload URL for larger states.

Examples:
  tfhaul sim --env-file sim.env                 then, in another shell:
  . ./sim.env && tfhaul move --create terraform.tfstate "$TFE_ORG/network"
  tfhaul sim --listen 127.0.0.1:8443 --org acme --org other --data ./tfe`,
		Flags: []cli.Flag{
			textFlag("listen", "", "loopback address `HOST:PORT` to listen on (default: a free port)"),
			listFlag("org", "create the organization `NAME` (default: demo)"),
			textFlag("data", "", "store everything in `DIR`, and continue with the data there"),
			durationFlag("latency", 0, "delay every response by `DURATION`"),
			countFlag("rate", 0, "limit each user to `N` requests a second; 0 announces 30 and enforces nothing"),
			switchFlag("inline-only", "disable signed uploads, as on old servers"),
			switchFlag("promote-at-unlock", "make a state version current only when its workspace is unlocked"),
			personalityFlag("tfe", "behave like `NAME`: tfe, hcp, old-tfe, or lax (a compatible server that checks less)"),
			switchFlag("allow-runs", "execute runs, which run the configuration's code on this machine with the terraform on PATH"),
			fileFlag("env-file", "write environment variables for clients to `FILE` when the server is ready"),
			jsonFlag(),
		},
		Action: action(p.parseSim),
	}
}

func (p *process) parseSim(c *cli.Context) (*simulation, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	personality, err := tfesim.ParsePersonality(c.String("personality"))
	if err != nil {
		return nil, err
	}
	s := &simulation{process: p, listen: c.String("listen"), envFile: c.String("env-file")}
	s.options = tfesim.Options{
		Personality: personality, Organizations: c.StringSlice("org"), Data: c.String("data"),
		Latency: c.Duration("latency"), RateLimit: c.Int("rate"),
		InlineOnly: c.Bool("inline-only"), PromoteAtUnlock: c.Bool("promote-at-unlock"),
		MaxBody: maxSimBody, Logger: p.log,
	}
	if !c.Bool("allow-runs") {
		s.options.NoRuns = runsRefused
	}
	if s.listen != "" {
		return s, checkListen(s.listen)
	}
	return s, nil
}

// maxSimBody is how large a request to the API may be. The blob addresses take more.
const maxSimBody = 64 << 20

// runsRefused is the error of every run without --allow-runs.
const runsRefused = "this server does not execute runs, because a run executes the configuration's code on the machine of the server. " +
	"Restart it with tfhaul sim --allow-runs, or set the execution mode of the workspace to local"

// checkListen refuses addresses that others could reach: the server's tokens are
// as good as public.
func checkListen(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return usagef("--listen cannot be %q: it is an address with a port, such as 127.0.0.1:8443", address)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return usagef("--listen cannot be %q: only this machine may reach the server, so use 127.0.0.1, [::1] or localhost, with a port", address)
	}
	return nil
}

// Run serves until ctx ends, which is how it is meant to end.
func (s *simulation) Run(ctx context.Context) (err error) {
	_, running, err := startServer(s.options, s.listen)
	if err != nil {
		return &usageError{s.reason(err)}
	}
	defer func() { err = errors.Join(err, running.Close()) }()
	if s.envFile != "" {
		err := running.WriteEnvFile(s.envFile)
		if foreign, ok := errors.AsType[*tfesim.ForeignFileError](err); ok {
			return usagef("--env-file cannot be %q: %q was not written by tfhaul sim and is left as it is. Name another file, or move this one away", s.envFile, foreign.Path)
		}
		if err != nil {
			return fmt.Errorf("the file for --env-file cannot be written: %w", err)
		}
	}
	if err := s.announce(running); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// startServer starts an embedded server, which the caller closes.
func startServer(o tfesim.Options, listen string) (*tfesim.Server, *tfesim.Running, error) {
	server, err := tfesim.New(o)
	if err != nil {
		return nil, nil, err
	}
	running, err := server.Start(listen)
	if err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}
	return server, running, nil
}

// reason says why the server cannot be, and which flag is to blame.
func (s *simulation) reason(err error) string {
	if at, ok := errors.AsType[*fs.PathError](err); ok && s.options.Data != "" {
		return fmt.Sprintf("--data cannot be %q: %v", s.options.Data, at.Err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "listen" {
		why := op.Err
		if call, ok := errors.AsType[*os.SyscallError](why); ok {
			why = call.Err
		}
		return fmt.Sprintf("--listen cannot be %q: %s", s.listen, strings.TrimPrefix(why.Error(), "address "))
	}
	return strings.TrimPrefix(err.Error(), "tfesim: ")
}

// A simAddress is the document of tfhaul sim --json.
type simAddress struct {
	Address string `json:"address"`
	// EnvFile is the file with the variables that make programs use the server.
	EnvFile string `json:"env_file,omitempty"`
}

func (s *simulation) announce(running *tfesim.Running) error {
	if s.json {
		return report.JSON(s.stdout, simAddress{running.URL(), s.envFile})
	}
	if _, err := fmt.Fprintln(s.stdout, running.URL()); err != nil {
		return err
	}
	if s.stderr.interactive {
		s.note("Serving until Ctrl-C.")
		if s.envFile != "" {
			s.note("In another shell: . %s", shellQuoted(s.envFile))
		}
	}
	return nil
}
