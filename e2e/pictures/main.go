//go:build unix

// Command pictures makes the pictures in docs/pictures from a real run of tfhaul against
// tfhaul sim:
//
//	go run ./e2e/pictures [DIR]
//
// With DIR, it writes them there. It needs tmux, which plays the terminal, and chromium,
// which shows the page of the audit.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tfhaul/fixtures"
)

const (
	address = "127.0.0.1:8443" // the server's; the pictures show it
	columns = 112
	rows    = 26
	states  = 60
	seed    = 7
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir := filepath.Join("docs", "pictures")
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(ctx, dir); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// A studio is a temporary home directory with the program in it.
type studio struct {
	home string
	env  []string
}

// run makes the pictures in dir.
func run(ctx context.Context, dir string) (err error) {
	out, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "tfhaul-pictures-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	s := &studio{home: home, env: []string{"HOME=" + home, "PATH=" + home + string(os.PathListSeparator) + os.Getenv("PATH"), "LANG=C.UTF-8", "TMUX_TMPDIR=" + home}}
	if err := s.command(ctx, "go", "build", "-o", filepath.Join(home, "tfhaul"), "tfhaul").inRepository(); err != nil {
		return err
	}
	if _, err := fixtures.Landscape(filepath.Join(home, "repos"), states, seed); err != nil {
		return err
	}
	if err := s.photographAudit(ctx, filepath.Join(out, "audit.png")); err != nil {
		return err
	}
	return s.film(ctx, filepath.Join(out, "haul.svg"))
}

// A command is a program to run in the studio.
type command struct{ *exec.Cmd }

func (s *studio) command(ctx context.Context, name string, arguments ...string) command {
	if name == "tfhaul" {
		name = filepath.Join(s.home, name)
	}
	c := exec.CommandContext(ctx, name, arguments...)
	c.Dir, c.Env = s.home, s.env
	return command{c}
}

// run runs the command, and returns what it prints.
func (c command) run() ([]byte, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// inRepository runs the command in this process's directory and environment.
func (c command) inRepository() error {
	c.Dir, c.Env = "", nil
	_, err := c.run()
	return err
}

// photographAudit takes a picture of the top of an audit's page. The audit finds problems that
// the landscape of the film does not have.
func (s *studio) photographAudit(ctx context.Context, path string) error {
	if _, err := fixtures.Landscape(filepath.Join(s.home, "infra"), 400, seed, fixtures.WithProblems(), fixtures.WithLocks(6)); err != nil {
		return err
	}
	if err := s.spreadWrites(filepath.Join(s.home, "infra")); err != nil {
		return err
	}
	if _, err := s.command(ctx, "tfhaul", "audit", "infra", "--html", "audit.html").run(); err != nil {
		return err
	}
	_, err := s.command(ctx, "chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", "--window-size=1360,900",
		"--screenshot="+path, "file://"+filepath.Join(s.home, "audit.html")).run()
	return err
}

// spreadWrites makes the files look as if they had been written over two years, more of them
// lately.
func (s *studio) spreadWrites(dir string) error {
	now, n := time.Now(), 0
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		n++
		share := float64(n*37%101) / 100
		when := now.Add(-time.Duration(share * share * 600 * 24 * float64(time.Hour)))
		return os.Chtimes(path, when, when)
	})
}

// scene is what is typed.
var scene = []string{
	"tfhaul plan . --target acme --create --terraform-version latest --out haul.hcl",
	"tfhaul migrate haul.hcl --journal haul.jsonl --yes",
	"tfhaul verify haul.jsonl",
}

// film records the scene in a terminal.
func (s *studio) film(ctx context.Context, path string) error {
	sim := s.command(ctx, "tfhaul", "sim", "--listen", address, "--org", "acme", "--rate", "30", "--latency", "40ms", "--env-file", "sim.env")
	sim.Cancel = func() error { return sim.Process.Signal(syscall.SIGTERM) }
	stdout, err := sim.StdoutPipe()
	if err != nil {
		return err
	}
	if err := sim.Start(); err != nil {
		return err
	}
	defer func() {
		_ = sim.Cancel()
		_ = sim.Wait() // it ends by the signal
	}()
	// It prints its address when it is ready.
	if _, err := stdout.Read(make([]byte, 256)); err != nil {
		return fmt.Errorf("tfhaul sim: %w", err)
	}
	t, err := s.openTerminal(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	recording := &recording{}
	for _, line := range scene {
		if err := t.perform(line, recording); err != nil {
			return err
		}
	}
	return os.WriteFile(path, recording.svg(), 0o644)
}
