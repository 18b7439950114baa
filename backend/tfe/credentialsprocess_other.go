//go:build !unix

package tfe

import (
	"errors"
	"os/exec"
	"strconv"
)

// endWithChildren makes the end of a command's context end its children, too: a helper is
// often a script, whose death alone leaves the program that hangs.
func endWithChildren(cmd *exec.Cmd) {
	cmd.Cancel = func() error {
		err := exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
		if err != nil {
			return errors.Join(err, cmd.Process.Kill())
		}
		return nil
	}
}
