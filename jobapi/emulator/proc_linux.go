package emulator

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a command's process, and all that it starts, into a process
// group. The process does not survive the thread that starts it: an emulator that
// is killed leaves no job behind. The caller stays on that thread.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
