//go:build unix

package tfe

import (
	"os/exec"
	"syscall"
)

// endWithChildren makes the end of a command's context end its children, too: a helper is
// often a script, whose death alone leaves the program that hangs. Helpers are asked without
// a terminal to read from, so that a process group of their own takes nothing from them.
func endWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
