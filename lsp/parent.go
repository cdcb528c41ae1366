package lsp

import (
	"context"
	"time"
)

// process is what identifies a running process: a pid alone may be used again.
type process struct {
	parent int
	// start is when it began, in a unit of the system's own; 0 = not known.
	start uint64
}

// parentWatch watches the editor's process. Whoever gives us a pid may live in
// another PID namespace (a container, WSL) or may be behind a wrapper, so that
// only a pid that is our parent or ancestor is believed.
type parentWatch struct {
	self  int
	every time.Duration
	// look returns a process; false when there is none, or only its zombie.
	look func(pid int) (process, bool)
}

// parentEvery is how often the parent is looked at: an editor that died is gone
// for good, and nobody waits for us.
const parentEvery = 2 * time.Second

// systemParentWatch watches this machine's processes.
func systemParentWatch() parentWatch {
	return parentWatch{self: selfPID(), every: parentEvery, look: lookAtProcess}
}

// until waits until the process has ended, which it answers with true. It
// answers false at once if pid is none that we can be sure of.
func (p parentWatch) until(ctx context.Context, pid int) bool {
	began, ok := p.look(pid)
	if !ok || !p.isAncestor(pid) {
		return false
	}
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if now, ok := p.look(pid); !ok || now.start != began.start {
			return true
		}
	}
}

// isAncestor says whether pid is our parent, or one further up.
func (p parentWatch) isAncestor(pid int) bool {
	const deep = 64 // processes above us: a bound, should pids go round in circles
	at := p.self
	for range deep {
		here, ok := p.look(at)
		if !ok || here.parent <= 0 {
			return false
		}
		if here.parent == pid {
			return true
		}
		at = here.parent
	}
	return false
}
