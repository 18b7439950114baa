//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A terminal is a tmux session with a shell in it. tmux understands what programs write to
// move the cursor, and returns what the screen shows.
type terminal struct {
	ctx    context.Context
	studio *studio
}

const (
	prompt    = "$ "
	perSecond = 20 // frames
	keyTime   = 2  // frames for each typed character pair
	pause     = 30 // frames to read what was printed
	patience  = 3 * time.Minute
)

func (s *studio) openTerminal(ctx context.Context) (*terminal, error) {
	t := &terminal{ctx, s}
	shell := "set -a; . ./sim.env; set +a; cd repos; HISTFILE= PS1='" + prompt + "' exec bash --norc --noprofile"
	if _, err := t.tmux("-f", "/dev/null", "new-session", "-d", "-s", "film", "-x", strconv.Itoa(columns), "-y", strconv.Itoa(rows), shell); err != nil {
		return nil, err
	}
	if _, err := t.tmux("set-option", "-g", "status", "off"); err != nil {
		return nil, err
	}
	_, err := t.tmux("resize-window", "-t", "film", "-x", strconv.Itoa(columns), "-y", strconv.Itoa(rows))
	return t, err
}

func (t *terminal) close() { _, _ = t.tmux("kill-server") }

// tmux runs tmux with a server of its own.
func (t *terminal) tmux(arguments ...string) ([]byte, error) {
	return t.studio.command(t.ctx, "tmux", append([]string{"-L", "film", "-u"}, arguments...)...).run()
}

// screen returns what the terminal shows, with colors.
func (t *terminal) screen() (string, error) {
	out, err := t.tmux("capture-pane", "-e", "-p", "-t", "film")
	return string(out), err
}

// perform types a line, and records the screen until the shell asks for the next one.
func (t *terminal) perform(line string, r *recording) error {
	if err := t.waitForPrompt(r); err != nil {
		return err
	}
	for len(line) > 0 {
		n := min(2, len(line))
		if _, err := t.tmux("send-keys", "-t", "film", "-l", "--", line[:n]); err != nil {
			return err
		}
		line = line[n:]
		if err := t.record(r, keyTime); err != nil {
			return err
		}
	}
	if _, err := t.tmux("send-keys", "-t", "film", "Enter"); err != nil {
		return err
	}
	if err := t.record(r, 4); err != nil {
		return err
	}
	if err := t.waitForPrompt(r); err != nil {
		return err
	}
	r.hold(pause)
	return nil
}

// record records some frames.
func (t *terminal) record(r *recording, frames int) error {
	screen, err := t.screen()
	if err == nil {
		r.add(screen)
		r.hold(frames - 1)
	}
	return err
}

// waitForPrompt records the screen until its last line is the prompt alone.
func (t *terminal) waitForPrompt(r *recording) error {
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		screen, err := t.screen()
		if err != nil {
			return err
		}
		r.add(screen)
		lines := bytes.Split(bytes.TrimRight([]byte(screen), "\n"), []byte("\n"))
		if strings.TrimSpace(string(lines[len(lines)-1])) == strings.TrimSpace(prompt) {
			return nil
		}
		select {
		case <-t.ctx.Done():
			return t.ctx.Err()
		case <-ticker.C:
		}
	}
	return fmt.Errorf("the command did not end within %s", patience)
}
