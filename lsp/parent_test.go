package lsp

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"
)

// processes is a table of processes: pid → process.
type processes map[int]process

// system is one whose processes a test changes.
type system struct {
	mu    sync.Mutex // guards table
	table processes
}

func (s *system) look(pid int) (process, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.table[pid]
	return found, ok
}

func (s *system) change(f func(processes)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.table)
}

func TestParentWatch(t *testing.T) {
	table := func() processes {
		return processes{
			100: {parent: 50, start: 7}, // us
			50:  {parent: 20, start: 5}, // a wrapper
			20:  {parent: 1, start: 3},  // the editor
			1:   {parent: 0, start: 1},
			60:  {parent: 20, start: 6}, // somebody else
		}
	}
	for _, c := range []struct {
		name   string
		pid    int
		change func(processes)
		want   bool // we end
	}{
		{"the parent dies", 50, func(p processes) { delete(p, 50) }, true},
		{"an ancestor dies", 20, func(p processes) { delete(p, 20) }, true},
		{"its pid is used again", 20, func(p processes) { p[20] = process{parent: 1, start: 99} }, true},
		{"the wrapper between dies", 20, func(p processes) { delete(p, 50) }, false},
		{"a process that is not above us dies", 60, func(p processes) { delete(p, 60) }, false},
		{"it is dead already", 4711, nil, false},
		{"it is ourselves", 100, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				machine := &system{table: table()}
				watch := parentWatch{self: 100, every: parentEvery, look: machine.look}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				over := make(chan bool, 1)
				go func() { over <- watch.until(ctx, c.pid) }()
				pass(time.Millisecond)
				if c.change != nil {
					machine.change(c.change)
				}
				if got := <-over; got != c.want {
					t.Errorf("ended: %t", got)
				}
			})
		})
	}
}

// The system's own table: our parent is alive, a child of ours is not above us,
// and one that has ended is gone.
func TestLookAtProcess(t *testing.T) {
	switch runtime.GOOS {
	case "linux", "darwin", "windows":
	default:
		t.Skip("no process is looked at on this system")
	}
	if os.Getenv("LSP_TEST_CHILD") != "" {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		return
	}
	watch := systemParentWatch()
	if _, ok := watch.look(os.Getppid()); !ok || !watch.isAncestor(os.Getppid()) {
		t.Error("our parent is not seen")
	}
	child := exec.Command(os.Args[0], "-test.run=^TestLookAtProcess$")
	child.Env = append(os.Environ(), "LSP_TEST_CHILD=1")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	seen, ok := watch.look(child.Process.Pid)
	if !ok || seen.parent != os.Getpid() || seen.start == 0 || watch.isAncestor(child.Process.Pid) {
		t.Errorf("a child is seen as %+v, %t", seen, ok)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if again, ok := watch.look(child.Process.Pid); ok && again.start == seen.start {
		t.Error("a process that has ended is seen")
	}
}
