package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestSpool leaves a file that can be read more than once, with the right hash,
// and nothing else: not in the directory, and not after Close.
func TestSpool(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 3*blockSize/16) // more than a block
	dir := lay(t, map[string]string{"Project.toml": "", "big": string(big) + "x", "empty": ""})
	p := mustPlan(t, Options{Dir: dir})
	tmp := t.TempDir()
	var seen []int64
	spool, err := p.Spool(context.Background(), tmp, func(done, total int64) {
		if total != p.TarSize || done > total {
			t.Errorf("progress %d of %d", done, total)
		}
		seen = append(seen, done)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(seen) || len(seen) < 3 {
		t.Errorf("progress %v", seen)
	}
	for range 2 {
		r, err := spool.Open()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		n, err := io.Copy(sum, r)
		if got := hex.EncodeToString(sum.Sum(nil)); err != nil || n != spool.Size || got != spool.SHA256 {
			t.Errorf("%d bytes with %s, %v; the spool says %d, %s", n, got, err, spool.Size, spool.SHA256)
		}
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 && os.PathSeparator == '/' {
		t.Errorf("a crash would leave %v", left)
	}
	if err := errors.Join(spool.Close(), spool.Close()); err != nil {
		t.Error(err)
	}
	if _, err := spool.Open(); err == nil {
		t.Error("a closed spool opens")
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestSameTreeSameHash lays one tree twice, in another order, with other times,
// modes of others and owners' names, and on the second run half of it as links.
func TestSameTreeSameHash(t *testing.T) {
	files := map[string]string{"p/Project.toml": "", "p/.juliabundleignore": "*.log\n"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		name := "p"
		for range 1 + r.IntN(4) {
			name += "/" + string("abcß.-"[r.IntN(7)]) + string(rune('a'+r.IntN(4)))
		}
		files[name+".txt"] = name
		files[name+".log"] = "no"
	}
	var sums []string
	for round := range 2 {
		dir := lay(t, files) // the order of a map is another one each time
		root := filepath.Join(dir, "p")
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || round == 0 || d.IsDir() {
				return err
			}
			at := time.Unix(r.Int64N(1e9), 0)
			return errors.Join(os.Chmod(path, 0o600), os.Chtimes(path, at, at))
		})
		if err != nil {
			t.Fatal(err)
		}
		spool, err := mustPlan(t, Options{Dir: root}).Spool(context.Background(), t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, spool.SHA256)
		if err := spool.Close(); err != nil {
			t.Error(err)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("%v", sums)
	}
}

// changing is a sink that changes the tree when the first block arrives.
type changing struct{ change func() error }

func (c *changing) Write(data []byte) (int, error) {
	if c.change == nil {
		return len(data), nil
	}
	change := c.change
	c.change = nil
	return len(data), change()
}

// TestChangedWhileRead names a file that does not hold still.
func TestChangedWhileRead(t *testing.T) {
	for how, change := range map[string]func(file string) error{
		"shrank":   func(file string) error { return os.Truncate(file, 10) },
		"grew":     func(file string) error { return appendTo(file, "more") },
		"vanished": os.Remove,
	} {
		// The blocks in flight are fewer than the first file has, so that the change comes in time.
		dir := lay(t, map[string]string{"Project.toml": ""})
		for _, name := range []string{"a", "b"} {
			f, err := os.Create(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Truncate(4*blockCount*blockSize), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, "b")
		if how != "vanished" {
			file = filepath.Join(dir, "a") // it is being read
		}
		p := mustPlan(t, Options{Dir: dir})
		_, _, err := p.WriteTar(context.Background(), &changing{func() error { return change(file) }}, nil)
		var changed *ChangedError
		if !errors.As(err, &changed) || changed.How != how || changed.Path != file {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// TestGrownBeyondLimit does not begin with a file that became too large since the plan.
func TestGrownBeyondLimit(t *testing.T) {
	dir := lay(t, map[string]string{"Project.toml": "", "a": ""})
	p := mustPlan(t, Options{Dir: dir})
	file := filepath.Join(dir, "a")
	if err := os.Truncate(file, 9<<30); err != nil {
		t.Skipf("the file system has no sparse files: %v", err)
	}
	_, _, err := p.WriteTar(context.Background(), &changing{}, nil)
	var changed *ChangedError
	if !errors.As(err, &changed) || changed.How != "grew" || changed.Path != file {
		t.Errorf("%v", err)
	}
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// TestSpoolFails stops at once when it is cancelled or nobody takes the bytes,
// and leaves nothing behind.
func TestSpoolFails(t *testing.T) {
	dir := lay(t, map[string]string{"Project.toml": "", "a": "1"})
	p := mustPlan(t, Options{Dir: dir})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tmp := t.TempDir()
	if _, err := p.Spool(ctx, tmp, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	full := errors.New("disk full")
	if _, _, err := p.WriteTar(context.Background(), &changing{func() error { return full }}, nil); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
	if _, err := p.Spool(context.Background(), filepath.Join(tmp, "none"), nil); err == nil {
		t.Error("a spool in no directory")
	}
	if _, err := NewPlan(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled plan: %v", err)
	}
}
