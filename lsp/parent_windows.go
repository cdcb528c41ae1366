package lsp

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

func selfPID() int { return os.Getpid() }

// stillActive is the exit code of a process that has not exited.
const stillActive = 259

// lookAtProcess finds a process in a snapshot of all, and asks when it began.
// One that we may not open is alive all the same.
func lookAtProcess(pid int) (process, bool) {
	parent, ok := parentOf(uint32(pid))
	if !ok {
		return process{}, false
	}
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return process{parent: parent}, errors.Is(err, windows.ERROR_ACCESS_DENIED)
	}
	defer func() { _ = windows.CloseHandle(handle) }()
	var code uint32
	if windows.GetExitCodeProcess(handle, &code) == nil && code != stillActive {
		return process{}, false
	}
	var began, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(handle, &began, &exited, &kernel, &user); err != nil {
		return process{parent: parent}, true
	}
	return process{parent: parent, start: uint64(began.HighDateTime)<<32 | uint64(began.LowDateTime)}, true
}

// parentOf returns the pid of a process's parent.
func parentOf(pid uint32) (int, bool) {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return 0, false
	}
	defer func() { _ = windows.CloseHandle(snapshot) }()
	var entry windows.ProcessEntry32
	entry.Size = uint32(unsafe.Sizeof(entry))
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		if entry.ProcessID == pid {
			return int(entry.ParentProcessID), true
		}
	}
	return 0, false
}
