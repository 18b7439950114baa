//go:build unix

package tfe

import (
	"os/exec"
	"syscall"
)

// endWithChildren kills a command's children together with it when its context ends: a
// helper is often a script, and killing only the script leaves the program that hangs.
// Helpers have no terminal to read from, so a process group of their own takes nothing from
// them.
func endWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
