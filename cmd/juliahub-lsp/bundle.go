package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"juliahub-lsp/commands"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"
)

// bundleFlags are the command line of bundle.
type bundleFlags struct {
	out    string
	script string
	free   bool // without the manifest
	json   bool
}

func newBundle(t terminal) *cobra.Command {
	var f bundleFlags
	cmd := &cobra.Command{
		Use:               "bundle DIR",
		ValidArgsFunction: completeDirectory,
		Short:             "Show what an appbundle of a directory holds, what stays out and why",
		Args:              usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return planBundle(cmd.Context(), t, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.out, "output", "o", "", "write the tarball to `F.tar`")
	flags.StringVar(&f.script, "script", "", "check that `FILE.jl` is in the bundle")
	flags.BoolVar(&f.free, "without-manifest", false, withoutManifest)
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// tarball is what a plan can do, whatever it is made of.
type tarball interface {
	WriteTar(ctx context.Context, w io.Writer, progress func(done, total int64)) (size int64, sha256 string, err error)
}

func planBundle(ctx context.Context, t terminal, dir string, f bundleFlags) error {
	in, err := bundleInput(dir, f)
	if err != nil {
		return err
	}
	if err := checkOutput(f.out, in.Dir); err != nil {
		return err
	}
	session, closeSession, err := openSession(t, newConsole(t))
	if err != nil {
		return err
	}
	defer closeSession()
	session.ReadRecords() // for the image's Julia
	plan, err := session.PreviewBundle(ctx, in)
	if err != nil {
		return err
	}
	sum := ""
	if f.out != "" {
		if err := plan.Check(); err != nil {
			return err
		}
		if sum, err = writeTar(ctx, plan, f.out); err != nil {
			return err
		}
	}
	if err := showPlan(t.out, plan, sum, f.json); err != nil {
		return err
	}
	if sum != "" && !f.json {
		fmt.Fprintf(t.out, "\nwrote %s\nsha256 %s\n", f.out, sum)
	}
	return nil
}

// showPlan prints a plan, as JSON or for people, with the tarball's hash if there is one.
func showPlan(w io.Writer, plan *commands.Plan, sha256 string, asJSON bool) error {
	if !asJSON {
		_, err := io.WriteString(w, commands.PlanText(plan))
		return err
	}
	doc, err := planJSON(plan, sha256)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n", doc)
	return nil
}

func bundleInput(dir string, f bundleFlags) (commands.Input, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return commands.Input{}, fmt.Errorf("find %s: %w", dir, err)
	}
	if info, err := os.Stat(root); err != nil {
		return commands.Input{}, fmt.Errorf("bundle %s: %w", dir, err)
	} else if !info.IsDir() {
		return commands.Input{}, fmt.Errorf("bundle %s: it is no directory", dir)
	}
	in := commands.Input{
		Args: &commands.SubmitArgs{WithoutManifest: f.free}, Dir: root,
		Settings: noSettings,
	}
	if f.script != "" {
		path, err := filepath.Abs(f.script)
		if err != nil {
			return commands.Input{}, fmt.Errorf("find %s: %w", f.script, err)
		}
		if filepath.Ext(path) != ".jl" {
			return commands.Input{}, &usageError{fmt.Errorf("%s is no .jl file", f.script)}
		}
		in.Args = &commands.SubmitArgs{URI: fileURI(path), WithoutManifest: f.free}
		in.File = &commands.Document{URI: fileURI(path), Path: path}
	}
	in.AllowOutside = anywhere(root)
	return in, nil
}

// anywhere allows all targets outside a directory: for plans, which send nothing.
func anywhere(dir string) []string {
	return []string{filepath.VolumeName(dir) + string(filepath.Separator)}
}

func absolute(paths []string) ([]string, error) {
	var all []string
	for _, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", path, err)
		}
		all = append(all, abs)
	}
	return all, nil
}

// checkOutput refuses to write a tarball into the directory that it is made of:
// nothing is ever written there, and the next one would hold it.
func checkOutput(out, dir string) error {
	if out == "" {
		return nil
	}
	into, err := filepath.Abs(filepath.Dir(out))
	if err != nil {
		return fmt.Errorf("find %s: %w", out, err)
	}
	if into, err = filepath.EvalSymlinks(into); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return fmt.Errorf("bundle %s: %w", dir, err)
	}
	if rel, err := filepath.Rel(dir, into); err == nil && filepath.IsLocal(rel) {
		return &usageError{fmt.Errorf("%s would lie in the directory that is bundled: write it somewhere else", out)}
	}
	return nil
}

// namedWriter says of what is not written which file it was to become.
type namedWriter struct {
	w    io.Writer
	path string
}

func (n namedWriter) Write(data []byte) (int, error) {
	written, err := n.w.Write(data)
	if err != nil {
		if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
			err = cause.Err
		}
		err = fmt.Errorf("write %s: %w", n.path, err)
	}
	return written, err
}

// writeTar writes the tarball beside its place and moves it there when it is whole.
func writeTar(ctx context.Context, plan tarball, path string) (sha256 string, err error) {
	removeUnfinished(path)
	f, unlock, err := createUnfinished(path)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	defer unlock()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, sha256, err = plan.WriteTar(ctx, namedWriter{f, path}, nil)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return sha256, nil
}

// unfinished is what stands before the random part in the name of a tarball
// that is being written.
func unfinished(path string) string { return "." + filepath.Base(path) + ".juliahub-" }

// createUnfinished makes the file that is to become the tarball, held by a lock
// for as long as this process lives. On Windows an open file is held by itself.
func createUnfinished(path string) (f *os.File, unlock func(), err error) {
	for range 1000 { // each lost try means that another process cleaned up at that moment
		f, err := os.CreateTemp(filepath.Dir(path), unfinished(path)+"*")
		if err != nil || runtime.GOOS == "windows" {
			return f, func() {}, err
		}
		lock := lockOf(f.Name())
		ours, err := lock.TryLock()
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a file system without locks
			return f, func() {}, nil //nolint:nilerr // then nobody removes what others hold either
		}
		if ours && same(f) {
			return f, func() { _ = lock.Unlock() }, nil
		}
		// Another process took it for unfinished before it was locked.
		if err := errors.Join(lock.Close(), f.Close()); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errors.New("other processes are cleaning up there")
}

// lockOf is the lock on a file, which it does not make.
func lockOf(path string) *flock.Flock { return flock.New(path, flock.SetFlag(os.O_RDONLY)) }

// same reports whether a file still is what its name stands for.
func same(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(mine, there)
}

// removeUnfinished removes what processes that were killed have left of the
// same tarball. What cannot be removed is no reason not to write a new one.
func removeUnfinished(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // writing will say so
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), unfinished(path)) || !entry.Type().IsRegular() {
			continue
		}
		left := filepath.Join(filepath.Dir(path), entry.Name())
		if runtime.GOOS == "windows" {
			_ = os.Remove(left)
			continue
		}
		lock := lockOf(left)
		if free, err := lock.TryLock(); err == nil && free {
			_ = os.Remove(left)
		}
		_ = lock.Close()
	}
}

// planJSON is the plan as JSON, with the tarball's hash if there is one.
func planJSON(plan any, sha256 string) ([]byte, error) {
	var doc bytes.Buffer
	if err := printJSON(&doc, plan); err != nil {
		return nil, err
	}
	text := bytes.TrimRight(doc.Bytes(), "\n")
	if sha256 != "" {
		text = fmt.Appendf(text[:len(text)-1], ",%q:%q}", "sha256", sha256)
	}
	return text, nil
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
