package emulator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Why a run ended that did not end by itself.
var (
	errKilled    = errors.New("the job was stopped")
	errTimeLimit = errors.New("the job reached its time limit")
)

// errSaid is an error that the job's log has told of already.
var errSaid = errors.New("the job could not run")

// newJob writes a checked submission down as a job that has not started.
func (e *Emulator) newJob(f *form, base string) (*job, error) {
	j, err := e.jobs.create()
	if err != nil {
		return nil, err
	}
	now := e.now()
	j.rec.Submitted, j.rec.Args, j.rec.Hours, j.rec.Bundle = now, f.args, f.hours, f.bundle
	j.rec.Fields = map[string]string{}
	for name, value := range f.fields {
		if name != "usercode" && name != "projecttoml" && name != "manifesttoml" && name != "args" {
			j.rec.Fields[name] = value
		}
	}
	j.rec.Expose = f.expose
	err = errors.Join(
		e.addBytes(j, "code.jl", "input", []byte(f.fields["usercode"])),
		e.addBytes(j, "code.jl", "source", []byte(f.fields["usercode"])),
	)
	if text, ok := f.fields["projecttoml"]; ok {
		err = errors.Join(err, e.addBytes(j, "Project.toml", "project", []byte(text)))
	}
	if text, ok := f.fields["manifesttoml"]; ok {
		err = errors.Join(err, e.addBytes(j, "Manifest.toml", "project", []byte(text)))
	}
	if f.bundle != nil {
		err = errors.Join(err, e.addUpload(j, *f.bundle))
	}
	if err = errors.Join(err, e.publish(j, base)); err != nil {
		return nil, err
	}
	return j, e.jobs.add(j)
}

// start lets a job run in a goroutine of its own.
func (e *Emulator) start(j *job) {
	e.runsHow(j)
	ctx, cancel := context.WithCancelCause(e.ctx)
	j.mu.Lock()
	j.end = cancel
	j.mu.Unlock()
	if !e.running(func() { defer cancel(nil); e.run(ctx, j) }) {
		cancel(errClosing)
		j.logLine(e.now(), "Error", errClosing.Error())
		if err := j.finish(failed, e.now()); err != nil {
			e.log.Error("the emulator could not write a job down", "job", j.rec.ID, "error", err)
		}
	}
}

// runsHow is the first line of every job's log: whether it is real.
func (e *Emulator) runsHow(j *job) {
	if e.julia == nil {
		j.logLine(e.now(), "Warn", simulatedLine)
		return
	}
	j.logLine(e.now(), "Info", "This job runs for real, with Julia "+e.julia.version.String()+" on the emulator's machine.")
}

// run takes a job from Submitted to its end.
func (e *Emulator) run(ctx context.Context, j *job) {
	e.pause(ctx)
	var err error
	if context.Cause(ctx) == nil {
		err = e.work(ctx, j)
	}
	status := completed
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errKilled):
		e.pause(e.ctx) // killing does not change the status at once
		status = stopped
		if e.cfg.Generation == 2 {
			status = completed
		}
		j.logLine(e.now(), "Info", "The job was stopped on request.")
	case errors.Is(cause, errTimeLimit):
		status = stopped
		j.logLine(e.now(), "Error", "The job reached its time limit and was stopped.")
	case errors.Is(cause, errClosing):
		status = failed
		j.logLine(e.now(), "Error", errClosing.Error())
	case err != nil:
		status = failed
		if !errors.Is(err, errSaid) {
			j.logLine(e.now(), "Info", err.Error())
		}
	}
	j.setPort(0)
	if err := j.finish(status, e.now()); err != nil {
		e.log.Error("the emulator could not write a job down", "job", j.rec.ID, "error", err)
	}
	if j.unpublish != nil {
		j.unpublish()
	}
}

// pause lets the pace's time pass, or less when the context ends.
func (e *Emulator) pause(ctx context.Context) {
	timer := time.NewTimer(e.cfg.Pace)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// work lets the job's program run, under its time limit, and brings its
// results in, whatever became of it.
func (e *Emulator) work(ctx context.Context, j *job) error {
	if err := j.change(func(r *record) { r.Status, r.Started = running, e.now() }); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limited := make(chan struct{})
	go func() {
		defer close(limited)
		e.limit(ctx, j)
	}()
	defer func() { cancel(nil); <-limited }()
	if e.julia == nil {
		return e.simulate(ctx, j)
	}
	return e.runJulia(ctx, j)
}

// limit ends the job when its time is over. Extensions count from the start.
func (e *Emulator) limit(ctx context.Context, j *job) {
	start := time.Now()
	for {
		j.mu.Lock()
		hours, extended, end := j.rec.Hours, j.extended, j.end
		j.mu.Unlock()
		if hours == 0 {
			return
		}
		timer := time.NewTimer(time.Until(start.Add(time.Duration(hours) * e.cfg.Hour)))
		select {
		case <-timer.C:
			end(errTimeLimit)
			return
		case <-ctx.Done():
			timer.Stop()
			return
		case <-extended:
			timer.Stop()
		}
	}
}

// workspace are the directories of a running job.
type workspace struct {
	root    string
	run     string // where the program starts
	env     string // the environment that is active
	code    string // the program's file
	home    string
	tmp     string
	depot   string
	bundled string // the bundle's depot, "" for a script
	out     string // where the startup file leaves what the program set
	upload  string // JULIAHUB_RESULTS_UPLOAD_DIR
	summary string // JULIAHUB_RESULTS_SUMMARY_FILE
}

func (j *job) workspace() (*workspace, error) {
	root := filepath.Join(j.dir, "work")
	at := func(name string) string { return filepath.Join(root, name) }
	w := &workspace{
		root: root, run: at("job"), env: at("job"), code: filepath.Join(at("job"), "code.jl"), home: at("home"), tmp: at("tmp"),
		depot: at("depot"), out: at("out"), upload: at("results"), summary: at("summary.json"),
	}
	for _, dir := range []string{w.run, w.home, w.tmp, w.depot, w.out, w.upload} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the job's directories: %w", err)
		}
	}
	return w, makeDepot(w.depot)
}

// runJulia runs the job with the real Julia.
func (e *Emulator) runJulia(ctx context.Context, j *job) error {
	w, err := j.workspace()
	if err != nil {
		return err
	}
	defer func() {
		if err := removeAll(w.root); err != nil {
			e.log.Warn("a job's directory could not be removed", "job", j.rec.ID, "error", err)
		}
	}()
	if err := errors.Join(e.prepare(j, w), e.choosePort(j)); err != nil {
		return e.notSetUp(j, err)
	}
	err = e.instantiate(ctx, j, w)
	if err == nil {
		err = e.julia.run(ctx, e, j, w, w.code)
	}
	return errors.Join(err, e.collect(j, w))
}

// notSetUp tells the job's log why its program will not run.
func (e *Emulator) notSetUp(j *job, err error) error {
	j.logLine(e.now(), "Error", "The job could not be set up: "+err.Error())
	return errSaid
}

// prepare lays the job's files out.
func (e *Emulator) prepare(j *job, w *workspace) error {
	code, err := os.ReadFile(filepath.Join(j.dir, j.blob("code.jl", "input")))
	if err != nil {
		return fmt.Errorf("read the job's code: %w", err)
	}
	if j.rec.Bundle == nil {
		for _, name := range []string{"Project.toml", "Manifest.toml"} {
			if err := copyInto(j, name, filepath.Join(w.env, name)); err != nil {
				return err
			}
		}
	} else if err := e.unpackBundle(j, w); err != nil {
		return err
	}
	if err := os.WriteFile(w.code, code, 0o600); err != nil {
		return fmt.Errorf("write the job's code: %w", err)
	}
	if err := os.WriteFile(filepath.Join(w.root, "startup.jl"), startupFile, 0o600); err != nil {
		return fmt.Errorf("write the job's startup file: %w", err)
	}
	if e.julia.version.before(1, 6, 2) {
		said, err := writeDownAll(w.env, e.julia)
		for _, sentence := range said {
			j.logLine(e.now(), "Warn", sentence)
		}
		return err
	}
	return nil
}

func copyInto(j *job, name, path string) error {
	blob := j.blob(name, "project")
	if blob == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(j.dir, blob))
	if err != nil {
		return fmt.Errorf("read the job's %s: %w", name, err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write the job's %s: %w", name, err)
	}
	return nil
}

// unpackBundle unpacks the appbundle and says where the driver starts: in the
// unpacked directory, or with the old layout in its parent.
func (e *Emulator) unpackBundle(j *job, w *workspace) error {
	top, err := unpack(filepath.Join(j.dir, j.blob("appbundle.tar", "input")), w.run)
	if err != nil {
		return err
	}
	w.env = filepath.Join(w.run, top)
	if e.cfg.OldLayout {
		if top != "appbundle" {
			if err := os.Rename(w.env, filepath.Join(w.run, "appbundle")); err != nil {
				return fmt.Errorf("unpack the appbundle: %w", err)
			}
		}
		w.env = filepath.Join(w.run, "appbundle")
	} else {
		w.code = filepath.Join(w.root, "code.jl")
		w.run = w.env
	}
	w.bundled = filepath.Join(w.env, ".bundle", "depot")
	for _, name := range slices.Concat(projectNames, manifestNames) {
		data, err := os.ReadFile(filepath.Join(w.env, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("read the appbundle's %s: %w", name, err)
		}
		if err := e.addBytes(j, name, "project", data); err != nil {
			return err
		}
	}
	return j.save()
}

// instantiate installs what the environment asks for.
func (e *Emulator) instantiate(ctx context.Context, j *job, w *workspace) error {
	if !hasDependencies(w.env) {
		return nil
	}
	script := filepath.Join(w.root, "instantiate.jl")
	if err := os.WriteFile(script, []byte("import Pkg\nPkg.instantiate()\n"), 0o600); err != nil {
		return fmt.Errorf("write the job's set-up script: %w", err)
	}
	if err := e.julia.run(ctx, e, j, w, script); err != nil {
		if context.Cause(ctx) != nil {
			return err
		}
		j.logLine(e.now(), "Error", "The job's environment could not be instantiated.")
		return err
	}
	return nil
}

// run runs one Julia script of the job in a process group of its own, and
// writes what it prints and logs into the job's log.
func (b *juliaBinary) run(ctx context.Context, e *Emulator, j *job, w *workspace, script string) error {
	runtime.LockOSThread() // as ownGroup wants it
	defer runtime.UnlockOSThread()
	secret := randomText(24)
	//nolint:noctx // the context ends the whole process group below, not the leader alone
	cmd := exec.Command(b.path, "--startup-file=no", "--history-file=no", "--color=no", "--project="+w.env, "-L", filepath.Join(w.root, "startup.jl"), script)
	cmd.Dir, cmd.Env = w.run, e.environment(j, w, secret)
	ownGroup(cmd)
	pr, pw, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start Julia: %w", err)
	}
	cmd.Stdout, cmd.Stderr = pw, pw
	err = cmd.Start()
	_ = pw.Close()
	if err != nil {
		return errors.Join(fmt.Errorf("start Julia: %w", err), pr.Close())
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		e.readOutput(pr, j, cmd.Process.Pid, secret)
	}()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	select {
	case err = <-exited:
	case <-ctx.Done():
		killGroup(cmd)
		err = <-exited
	}
	killGroup(cmd) // what the program left behind goes with it
	_ = pr.SetReadDeadline(time.Now().Add(5 * time.Second))
	<-read
	_ = pr.Close()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("The job's Julia ended badly: %s.", exit.ProcessState) //nolint:staticcheck // a line of the log, for people
	}
	return err
}

// environment is what a job's program finds in its environment: what the user
// asked for, and what the system insists on.
func (e *Emulator) environment(j *job, w *workspace, secret string) []string {
	env := map[string]string{
		"LANG": "C.UTF-8", "USER": "juliahub", "PATH": os.Getenv("PATH"),
		"JULIA_NUM_THREADS": itoa(j.threads()),
	}
	if runtime.GOOS == "windows" {
		for _, name := range []string{"SystemRoot", "ComSpec", "PATHEXT"} {
			env[name] = os.Getenv(name)
		}
	}
	for name, value := range j.rec.Args {
		if name != "jobname" {
			env[name] = value
		}
	}
	for name, value := range map[string]string{
		"HOME": w.home, "USERPROFILE": w.home, "TMPDIR": w.tmp, "TEMP": w.tmp, "TMP": w.tmp,
		"JULIA_DEPOT_PATH": e.julia.depotPath(w.depot, w.bundled), "JULIA_PKG_SERVER": "", "JULIA_PKG_OFFLINE": "true",
		"JULIA_PKG_PRECOMPILE_AUTO": "0", "JULIAHUB_EMULATOR_KEY": secret, "JULIAHUB_EMULATOR_OUT": w.out,
		"JULIA_LOAD_PATH": strings.Join([]string{"@", "@stdlib"}, string(os.PathListSeparator)),
	} {
		env[name] = value
	}
	if e.cfg.Generation != 1 {
		env["JULIAHUB_RESULTS_SUMMARY_FILE"], env["JULIAHUB_RESULTS_UPLOAD_DIR"] = w.summary, w.upload
	}
	if port := j.listenPort(); port != 0 {
		if e.cfg.Generation != 1 {
			env["JULIAHUB_APP_PORT"] = itoa(port)
		}
		if e.cfg.Generation != 2 {
			env["PORT"] = itoa(port)
		}
	}
	list := make([]string, 0, len(env))
	for _, name := range sortedKeys(env) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// threads is how many threads the program gets: the node's, or one where each
// core has a process of its own, and never more than this machine has.
func (j *job) threads() int {
	cores, err := strconv.Atoi(j.rec.Fields["cpu"])
	if err != nil || j.rec.Fields["isthreaded"] != "true" {
		return 1
	}
	return min(cores, runtime.NumCPU())
}

// logRecord is what the startup file writes for a log record.
type logRecord struct {
	Message  string         `json:"message"`
	Worker   int            `json:"worker"`
	Thread   int            `json:"thread"`
	Keywords map[string]any `json:"keywords"`
	Metadata map[string]any `json:"metadata"`
}

// maxLine is how many bytes of a printed line make one message at most.
const maxLine = 1 << 20

var workerLine = regexp.MustCompile(`^ *From worker (\d+):\t`)

// readOutput turns what a program prints into log messages: its lines, and
// among them the log records, which the startup file marks with the secret.
func (e *Emulator) readOutput(r io.Reader, j *job, pid int, secret string) {
	marker := []byte("\x1e" + secret)
	in := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := readLine(in)
		if before, rec, ok := bytes.Cut(line, marker); ok {
			if len(before) > 0 {
				e.printed(j, pid, string(before))
			}
			e.recorded(j, pid, rec)
		} else if len(line) > 0 || err == nil {
			e.printed(j, pid, string(line))
		}
		if err != nil {
			return
		}
	}
}

// readLine reads a line without its end, or the first maxLine bytes of it.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		case len(line) >= maxLine:
			return line, nil
		}
	}
}

// printed logs a printed line. Those that a worker printed carry its number.
func (e *Emulator) printed(j *job, pid int, line string) {
	now := e.now()
	keywords := j.processKeywords(now, pid)
	if m := workerLine.FindStringSubmatch(line); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			keywords["jrun_worker_id"], line = n, line[len(m[0]):]
		}
	}
	e.logged(j, message{Message: line, Timestamp: now.UnixMilli(), Keywords: keywords, Metadata: wrapperPlace("Info")})
}

// recorded logs a log record.
func (e *Emulator) recorded(j *job, pid int, data []byte) {
	var rec logRecord
	if err := json.Unmarshal(data, &rec); err != nil {
		e.printed(j, pid, string(data))
		return
	}
	now := e.now()
	keywords := j.processKeywords(now, pid)
	for name, value := range rec.Keywords {
		if !strings.HasPrefix(name, "jrun_") {
			keywords[name] = value
		}
	}
	keywords["jrun_worker_id"], keywords["jrun_thread_id"] = rec.Worker, rec.Thread
	e.logged(j, message{Message: rec.Message, Timestamp: now.UnixMilli(), Keywords: keywords, Metadata: rec.Metadata})
}

func (e *Emulator) logged(j *job, m message) {
	if err := j.log.add(m); err != nil {
		e.log.Error("the emulator could not write a job's log", "job", j.rec.ID, "error", err)
	}
}
