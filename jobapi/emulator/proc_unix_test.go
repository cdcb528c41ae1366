//go:build unix

package emulator

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestJuliaJobIsKilledWhole kills a job whose program has started another one.
func TestJuliaJobIsKilledWhole(t *testing.T) {
	b := open(t, Config{Julia: realJulia(t)})
	id := b.job(script(`
		p = run(` + "`sleep 600`" + `, wait=false)
		println("child ", getpid(p))
		wait(p)
	`))
	child := 0
	b.await(id, func(r record, _ int) bool {
		for line := range strings.SplitSeq(b.text(id), "\n") {
			if text, ok := strings.CutPrefix(line, "child "); ok {
				child, _ = strconv.Atoi(text)
				return true
			}
		}
		return false
	})
	b.do("GET", "/juliaruncloud/kill_job?jobname="+id, nil)
	b.ended(id, stopped)
	if err := syscall.Kill(child, 0); err == nil && !zombie(child) {
		t.Errorf("process %d, which the job had started, still runs", child)
	}
}

// zombie reports whether a process is dead and waits for its parent alone.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}
