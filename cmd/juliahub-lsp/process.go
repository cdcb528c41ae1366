package main

import (
	"fmt"
	"io"
	"os/exec"
)

// process is a language server in a process of its own, as an editor has it:
// the connection to it.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

// startProcess starts a server's process on pipes.
func startProcess(cmd *exec.Cmd) (*process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	return &process{cmd, in, out}, nil
}

func (p *process) Read(b []byte) (int, error)  { return p.out.Read(b) }
func (p *process) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close closes the editor's end: the server reads the end of its input.
func (p *process) Close() error { return p.in.Close() }

// kill ends the process without a word. It is for servers that do not end as
// they should, and errors say so already.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// wait waits for the process, and says when its exit status is not 0. All of
// its output must have been read before.
func (p *process) wait() error {
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the server ended badly: %w", err)
	}
	return nil
}
