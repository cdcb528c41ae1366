//go:build unix

package emulator

import (
	"os/exec"
	"syscall"
)

// killGroup ends the whole process group. One that is gone already is fine.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
