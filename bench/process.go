package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A usage is what a process and its children used.
type usage struct {
	Wall time.Duration
	CPU  time.Duration // user and system
	Peak int64         // the largest resident set of one process, in bytes; 0 if the system does not report it
	Exit int
}

// A task is a program to run and measure.
type task struct {
	dir  string
	env  []string // in addition to the environment's own
	args []string
	// exits are exit codes other than 0 that are not failures.
	exits []int
	// mute discards the program's output in the system: reading it would take time on the
	// other core.
	mute bool
}

// measure runs a task and returns what it used and printed. A small separate process starts
// the task, because on Linux a process begins with the peak memory of its parent.
func (s *site) measure(ctx context.Context, t task) (usage, []byte, error) {
	var u usage
	self, err := os.Executable()
	if err != nil {
		return u, nil, err
	}
	report, err := os.CreateTemp(s.dir, "usage-*")
	if err != nil {
		return u, nil, err
	}
	defer os.Remove(report.Name())
	defer report.Close()
	cmd := exec.CommandContext(ctx, self, append([]string{"spawn", report.Name()}, t.args...)...)
	cmd.Dir, cmd.Env = cmp.Or(t.dir, s.dir), environment(t.env)
	var stdout, stderr bytes.Buffer
	cmd.Stderr = &stderr
	if !t.mute {
		cmd.Stdout = &stdout
	}
	if err := cmd.Run(); err != nil {
		return u, nil, fmt.Errorf("%s: %w\n%s", filepath.Base(t.args[0]), err, lastLines(stderr.String()))
	}
	if err := json.NewDecoder(report).Decode(&u); err != nil {
		return u, nil, err
	}
	if u.Exit != 0 && !slices.Contains(t.exits, u.Exit) {
		return u, nil, fmt.Errorf("%s ended with exit code %d\n%s%s", filepath.Base(t.args[0]), u.Exit, lastLines(stdout.String()), lastLines(stderr.String()))
	}
	return u, stdout.Bytes(), nil
}

// spawn is the role of the small process: it runs the program in its arguments and writes
// the usage to the file in the first.
func spawn(arguments []string) error {
	cmd := exec.Command(arguments[1], arguments[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return err
	}
	p := cmd.ProcessState
	encoded, err := json.Marshal(usage{Wall: wall, CPU: p.UserTime() + p.SystemTime(), Peak: peakOf(p), Exit: p.ExitCode()})
	if err != nil {
		return err
	}
	return os.WriteFile(arguments[0], encoded, 0o600)
}

// environment returns this process's environment with the given variables, but without
// those that would influence the measured programs.
func environment(given []string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "TF_") && !strings.HasPrefix(name, "TFE_") && !strings.HasPrefix(name, "TFHAUL_") && name != "SSL_CERT_FILE" {
			env = append(env, v)
		}
	}
	return append(append(env, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1"), given...)
}

// lastLines returns enough output to see why a program failed.
func lastLines(output string) string {
	const enough = 2000
	return output[max(0, len(output)-enough):]
}

// installed reports whether a program is installed.
func installed(programs ...string) bool {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return false
		}
	}
	return true
}

// median returns the median of each field.
func median[T any, K cmp.Ordered](of []T, key func(T) K) T {
	sorted := slices.SortedFunc(slices.Values(of), func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return sorted[len(sorted)/2]
}
