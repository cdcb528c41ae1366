package emulator

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"
)

// Stage is what a simulated job's program has in hand: what was submitted, and
// the means to log, to report progress and to leave results.
type Stage struct {
	Job      string            // the job's id
	Code     string            // the code that was submitted, a driver for an appbundle
	Args     map[string]string // the job's environment
	Project  string            // the environment's files of a script, "" when not sent
	Manifest string
	Bundle   string // path of the appbundle that was uploaded, "" for a script
	Port     int    // where to listen at 127.0.0.1, 0 when no port is exposed

	e *Emulator
	j *job
}

// Print logs a line as a program's printed one.
func (s *Stage) Print(line string) { s.j.logLine(s.e.now(), "Info", line) }

// Record is a log record with its place in the code.
type Record struct {
	Level    any // "Debug", "Info", "Warn", "Error", or a number such as ProgressLogging's -1
	Message  string
	File     string
	Line     int
	Module   string // "" stands for Main
	ID       string
	Keywords map[string]any
}

// Log logs a record.
func (s *Stage) Log(r Record) {
	if r.Module == "" {
		r.Module = "Main"
	}
	now := s.e.now()
	keywords := s.j.processKeywords(now, 1)
	for name, value := range r.Keywords {
		keywords[name] = value
	}
	s.e.logged(s.j, message{
		Message: r.Message, Timestamp: now.UnixMilli(), Keywords: keywords,
		Metadata: map[string]any{"level": r.Level, "group": "code", "line": r.Line, "filepath": r.File, "_module": r.Module, "id": r.ID},
	})
}

// Progress logs a record as ProgressLogging does: done from 0 to 1.
func (s *Stage) Progress(id, name string, done float64) {
	s.Log(Record{Level: -1, Message: name, File: "code.jl", Line: 1, ID: id, Keywords: map[string]any{"progress": done}})
}

// Result leaves a result file.
func (s *Stage) Result(name string, data []byte) error {
	return s.e.addBytes(s.j, name, "result", data)
}

// Outputs sets the job's outputs, conventionally JSON.
func (s *Stage) Outputs(text string) error {
	return s.j.change(func(r *record) { r.Outputs = text })
}

// Wait lets time pass; its error is why the job has to end now.
func (s *Stage) Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// simulatedLine is the first line of a simulated job's log.
const simulatedLine = "This job is SIMULATED: the emulator has no Julia, so nothing of the submitted code is run."

// simulate plays a job without a Julia.
func (e *Emulator) simulate(ctx context.Context, j *job) error {
	s := &Stage{
		Job: j.rec.ID, Args: j.rec.Args, e: e, j: j,
		Code: e.text(j, "code.jl", "input"), Project: e.text(j, "Project.toml", "project"), Manifest: e.text(j, "Manifest.toml", "project"),
	}
	if j.rec.Bundle != nil {
		s.Bundle = filepath.Join(j.dir, j.blob("appbundle.tar", "input"))
		if err := e.tryUnpack(j); err != nil {
			return e.notSetUp(j, err)
		}
	}
	if err := e.choosePort(j); err != nil {
		return err
	}
	s.Port = j.listenPort()
	play := e.cfg.Simulate
	if play == nil {
		play = e.pretend
	}
	if err := play(ctx, s); err != nil {
		return err
	}
	return j.save()
}

// tryUnpack finds out whether a real job could have unpacked its appbundle.
func (e *Emulator) tryUnpack(j *job) error {
	w, err := j.workspace()
	if err != nil {
		return err
	}
	err = e.unpackBundle(j, w)
	if gone := removeAll(w.root); err == nil {
		err = gone
	}
	return err
}

func (e *Emulator) text(j *job, name, kind string) string {
	blob := j.blob(name, kind)
	if blob == "" {
		return ""
	}
	return readSmall(filepath.Join(j.dir, blob))
}

// pretend is the program of a simulated job that nobody gave another one.
func (e *Emulator) pretend(ctx context.Context, s *Stage) error {
	const steps = 4
	for step := range steps {
		s.Progress("emulator_simulation", "simulated work", float64(step)/steps)
		s.Print(fmt.Sprintf("simulated step %d of %d: nothing was run", step+1, steps))
		if err := s.Wait(ctx, e.cfg.Pace); err != nil {
			return err
		}
	}
	s.Progress("emulator_simulation", "simulated work", 1)
	received := []any{}
	for _, f := range s.j.snapshot().Files {
		received = append(received, map[string]any{"name": f.Name, "type": f.Type, "size": f.Size, "sha256": f.SHA256})
	}
	text, err := json.MarshalIndent(map[string]any{"simulated": true, "job": s.Job, "args": s.Args, "received": received}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the simulated result: %w", err)
	}
	if err := s.Result("simulated.json", append(text, '\n')); err != nil {
		return err
	}
	return s.Outputs(`{"simulated":true}`)
}
