package lsp

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

func selfPID() int { return os.Getpid() }

// lookAtProcess reads /proc/PID/stat, which anyone may read. The name in it may
// hold blanks and parentheses: the fields that count follow its last one.
func lookAtProcess(pid int) (process, bool) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, false
	}
	end := bytes.LastIndexByte(raw, ')')
	if end < 0 {
		return process{}, false
	}
	const state, parent, start = 0, 1, 19 // fields 3, 4 and 22 of proc(5)
	fields := bytes.Fields(raw[end+1:])
	if len(fields) <= start {
		return process{}, false
	}
	if c := fields[state][0]; c == 'Z' || c == 'X' {
		return process{}, false
	}
	ppid, err := strconv.Atoi(string(fields[parent]))
	if err != nil {
		return process{}, false
	}
	began, err := strconv.ParseUint(string(fields[start]), 10, 64)
	return process{parent: ppid, start: began}, err == nil
}
