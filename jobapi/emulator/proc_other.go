//go:build unix && !linux

package emulator

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a command's process, and all that it starts, into a process group.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
