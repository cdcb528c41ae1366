package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"juliahub-lsp/jobapi/emulator"
)

// failsHere marks the line of examples/fails.jl that fails.
const failsHere = "# the job fails on this line"

// simulate plays the demo's jobs on a machine without a Julia. Nothing is run:
// the failing script's stack trace is one that Julia 1.5 printed for it, and
// the result is a list of what the server was sent.
func simulate(ctx context.Context, s *emulator.Stage) error {
	const steps = 4
	for step := range steps {
		s.Progress("demo", "Simulated work", float64(step)/steps)
		s.Print(fmt.Sprintf("simulated step %d of %d: nothing was run", step+1, steps))
		if err := s.Wait(ctx, 700*time.Millisecond); err != nil {
			return err
		}
	}
	s.Progress("demo", "Simulated work", 1)
	before, _, fails := strings.Cut(s.Code, failsHere)
	if fails {
		s.Print("The stack trace below was recorded, not run:")
		s.Log(emulator.Record{Level: 2000, Message: fmt.Sprintf(recordedTrace, strings.Count(before, "\n")+1), File: "code.jl", Line: 1})
		return errors.New("the simulated script fails")
	}
	received, err := json.MarshalIndent(map[string]any{
		"simulated": true, "job": s.Job, "code_bytes": len(s.Code), "project_bytes": len(s.Project),
		"manifest_bytes": len(s.Manifest), "appbundle": s.Bundle != "",
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("write the simulated result: %w", err)
	}
	if err := s.Result("received.json", append(received, '\n')); err != nil {
		return err
	}
	return s.Outputs(`{"simulated": true}`)
}

const recordedTrace = `ERROR: LoadError: no readings to take the mean of
Stacktrace:
 [1] error(::String) at ./error.jl:33
 [2] mean_reading(::Array{Float64,1}) at code.jl:%d
 [3] top-level scope at code.jl:14
in expression starting at code.jl:13
`
