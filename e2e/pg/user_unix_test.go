//go:build unix

package pg_test

import (
	"os/exec"
	"syscall"
)

// demote makes a program run as another user if the tests run as root, and end with them.
func demote(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if uid, gid, ok := serverUser(); ok {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
}
