package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// The benchmarks measure against the usual tools on the same tree in the same
// run, alternating, and report the ratio of the medians:
//
//	go test -run '^$' -bench . -benchtime 5x ./bundle
//
// A line reads, say, "0.40 bundle-time/tar-pipeline-time, 0.75 wanted-at-most":
// bundling took 0.40 of the pipeline's time. The times are the medians of a run.

const benchIgnore = "*.log\n*.tmp\nscratch/\n!keep.log\ndata/[0-9]*.bin\n*/node_modules/\n"

// smallTree makes a tree of count small files, 50 to a directory, of 100 to
// about 4000 bytes.
func smallTree(b *testing.B, root string, count int) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, uint64(count)))
	data := make([]byte, 8<<10)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	dir := ""
	for i := range count {
		if i%50 == 0 {
			dir = filepath.Join(root, fmt.Sprintf("part%02d", i/2500), fmt.Sprintf("module-%03d", i/50), "src")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("some_file_%02d.jl", i%50)), data[:100+r.IntN(4000)], 0o644); err != nil {
			b.Fatal(err)
		}
	}
	files := map[string]string{"Project.toml": "", "Manifest.toml": "", ignoreName: benchIgnore}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// gibTree adds eight large files, so that all has 1 GiB.
func gibTree(b *testing.B) string {
	b.Helper()
	root := filepath.Join(b.TempDir(), "gib")
	smallTree(b, root, 10_000)
	r := rand.New(rand.NewPCG(3, 4))
	data := make([]byte, 1<<20)
	for i := range 8 {
		f, err := os.Create(filepath.Join(root, fmt.Sprintf("large%d.dat", i)))
		if err != nil {
			b.Fatal(err)
		}
		for range 125 {
			for j := 0; j < len(data); j += 8 {
				v := r.Uint64()
				for k := range 8 {
					data[j+k] = byte(v >> (8 * k))
				}
			}
			if _, err := f.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return root
}

// compare times ours and theirs in turn and reports the ratio of the medians,
// and what it is wanted to be at most.
func compare(b *testing.B, our, their string, wanted float64, ours, theirs func() error) {
	b.Helper()
	var ourTimes, theirTimes []time.Duration
	timed := func(f func() error) time.Duration {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	timed(theirs) // both with a warm cache
	timed(ours)
	for b.Loop() {
		ourTimes = append(ourTimes, timed(ours))
		theirTimes = append(theirTimes, timed(theirs))
	}
	slices.Sort(ourTimes)
	slices.Sort(theirTimes)
	x, y := ourTimes[len(ourTimes)/2], theirTimes[len(theirTimes)/2]
	b.ReportMetric(float64(x)/float64(y), our+"-time/"+their+"-time")
	b.ReportMetric(wanted, "wanted-at-most")
	b.ReportMetric(float64(x)/1e6, our+"-ms")
	b.ReportMetric(float64(y)/1e6, their+"-ms")
}

func tool(b *testing.B, name string) {
	b.Helper()
	if _, err := exec.LookPath(name); err != nil {
		b.Skipf("nothing to compare with: %v", err)
	}
}

// BenchmarkPack makes plan, tar, hash and spool file of 1 GiB; the spool file is
// complete when the time stops, and is read again afterwards.
func BenchmarkPack(b *testing.B) {
	tool(b, "openssl")
	root, tmp := gibTree(b), b.TempDir()
	var last *Spool
	ours := func() error {
		if last != nil {
			if err := last.Close(); err != nil {
				return err
			}
		}
		p, err := NewPlan(context.Background(), Options{Dir: root})
		if err == nil {
			last, err = p.Spool(context.Background(), tmp, nil)
		}
		return err
	}
	out := filepath.Join(tmp, "out.tar")
	theirs := func() error {
		if err := os.Remove(out); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return exec.Command("sh", "-c", `tar cf - "$1" | tee "$2" | openssl dgst -sha256`, "sh", root, out).Run()
	}
	compare(b, "bundle", "tar-pipeline", 0.75, ours, theirs)
	r, err := last.Open()
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.New()
	if n, err := io.Copy(sum, r); err != nil || n != last.Size || hex.EncodeToString(sum.Sum(nil)) != last.SHA256 {
		b.Fatalf("the spool file has %d bytes with the hash %s (%v), not %d with %s", n, hex.EncodeToString(sum.Sum(nil)), err, last.Size, last.SHA256)
	}
	if err := last.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPlan plans a tree of 50,000 files.
func BenchmarkPlan(b *testing.B) {
	tool(b, "find")
	root := filepath.Join(b.TempDir(), "many")
	smallTree(b, root, 50_000)
	out, err := os.Create(filepath.Join(b.TempDir(), "list"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close() // nobody reads it
	files := 0
	ours := func() error {
		p, err := NewPlan(context.Background(), Options{Dir: root})
		if err == nil {
			files = len(p.Files)
		}
		return err
	}
	theirs := func() error {
		cmd := exec.Command("find", root, "-printf", "%s %p\n")
		cmd.Stdout = out
		return cmd.Run()
	}
	compare(b, "plan", "find", 1.5, ours, theirs)
	if want := 50_003; files != want {
		b.Fatalf("%d files, want %d", files, want)
	}
}

// BenchmarkRematch edits the ignore file of a tree of 50,000 files whose plan is
// known, and compares with the first plan.
func BenchmarkRematch(b *testing.B) {
	root := filepath.Join(b.TempDir(), "many")
	smallTree(b, root, 50_000)
	x := NewIndex(Options{Dir: root})
	if _, err := x.Plan(context.Background()); err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(root, ignoreName)
	rules := []string{benchIgnore, benchIgnore + "*_1?.jl\n", benchIgnore + "part03/\n", benchIgnore + "*\n!part*\n"}
	round, files := 0, map[int]int{}
	ours := func() error {
		round = (round + 1) % len(rules)
		if err := os.WriteFile(file, []byte(rules[round]), 0o644); err != nil {
			return err
		}
		x.Changed(file)
		p, err := x.Plan(context.Background())
		if err == nil {
			files[round] = len(p.Files)
		}
		return err
	}
	theirs := func() error {
		_, err := NewPlan(context.Background(), Options{Dir: root})
		return err
	}
	compare(b, "re-match", "first-plan", 0.1, ours, theirs)
	if files[0] != 50_003 || files[1] >= files[0] {
		b.Fatalf("files by rules: %v", files)
	}
}

// BenchmarkMemory plans and packs 100,000 files in a process of its own and
// reports the most memory that it held, in MB: wanted is less than 64.
func BenchmarkMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("the most memory that a process held is read from /proc")
	}
	root := filepath.Join(b.TempDir(), "many")
	smallTree(b, root, 100_000)
	worst := 0.0
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestMemoryOf$", "-test.v")
		cmd.Env = append(os.Environ(), "BUNDLE_MEMORY_OF="+root)
		out, err := cmd.CombinedOutput()
		_, rest, found := strings.Cut(string(out), "VmHWM:")
		var kilobytes float64
		if _, scanErr := fmt.Sscan(rest, &kilobytes); err != nil || scanErr != nil || !found {
			b.Fatalf("%v, %v\n%s", err, scanErr, out)
		}
		worst = max(worst, kilobytes*1024/1e6)
	}
	b.ReportMetric(worst, "peak-MB")
	if worst >= 64 {
		b.Errorf("%.1f MB", worst)
	}
}

// TestMemoryOf is the process that BenchmarkMemory starts.
func TestMemoryOf(t *testing.T) {
	root := os.Getenv("BUNDLE_MEMORY_OF")
	if root == "" {
		t.Skip("only BenchmarkMemory asks for it")
	}
	spool, err := mustPlan(t, Options{Dir: root}).Spool(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := spool.Close(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(readFile(t, "/proc/self/status")), "\n") {
		if strings.HasPrefix(line, "VmHWM:") {
			fmt.Println(line)
		}
	}
}
