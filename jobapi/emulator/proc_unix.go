//go:build unix

package emulator

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a command's process, and all that it starts, into a process group.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends the whole process group. One that is gone already is fine.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
