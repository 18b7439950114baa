//go:build !unix

package tfe

import (
	"errors"
	"os/exec"
	"strconv"
)

// endWithChildren kills a command's children together with it when its context ends: a
// helper is often a script, and killing only the script leaves the program that hangs.
func endWithChildren(cmd *exec.Cmd) {
	cmd.Cancel = func() error {
		err := exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
		if err != nil {
			return errors.Join(err, cmd.Process.Kill())
		}
		return nil
	}
}
