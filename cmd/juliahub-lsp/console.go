package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"juliahub-lsp/commands"

	"golang.org/x/term"
)

// console is the commands' editor when there is none: messages and progress on
// stderr, so that stdout holds results alone. Progress is a bar that is drawn
// over on a terminal; elsewhere only beginnings and ends are told.
type console struct {
	in    *bufio.Reader // nil: nobody can be asked
	err   io.Writer
	bar   bool // stderr is a terminal
	width int  // of that terminal
	color bool
	text  func(name, text string) // takes documents that a command shows

	browse bool // open web pages in the person's browser, too

	mu   sync.Mutex // guards what follows, and keeps lines whole
	line string     // the bar as it stands
}

func newConsole(t terminal) *console {
	c := &console{err: t.err}
	c.text = func(_, text string) { c.println(strings.TrimRight(text, "\n")) }
	if f, ok := t.err.(*os.File); ok && isTerminal(f) && t.env("TERM") != "dumb" {
		c.bar, c.width = true, terminalWidth(f)
		c.color = t.env("NO_COLOR") == ""
	}
	if f, ok := t.in.(*os.File); ok && c.bar && isTerminal(f) {
		c.in = bufio.NewReader(f)
	}
	return c
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

func terminalWidth(f *os.File) int {
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// Begin shows work. Off a terminal its title is told once and its end, if it
// did not simply succeed.
func (c *console) Begin(_ context.Context, work commands.Work) commands.Task {
	t := &consoleTask{c: c, work: work}
	t.Report(work.Message, 0)
	if !c.bar {
		c.println(plain(joinNonEmpty(": ", work.Title, work.Message)))
	}
	return t
}

// Say prints one message.
func (c *console) Say(_ context.Context, level commands.Level, text string) {
	switch level {
	case commands.Error:
		c.println(c.paint("31", "error: ") + plain(text))
	case commands.Warning:
		c.println(c.paint("33", "warning: ") + plain(text))
	default:
		c.println(plain(text))
	}
}

// Ask asks on a terminal; anywhere else the first answer counts, the harmless one.
func (c *console) Ask(_ context.Context, level commands.Level, text string, answers ...string) string {
	if len(answers) == 0 {
		return ""
	}
	if c.in == nil {
		c.Say(context.Background(), level, text+" ("+answers[0]+": nobody to ask)")
		return answers[0]
	}
	c.println(plain(text))
	for i, answer := range answers {
		c.println(fmt.Sprintf("  %d  %s", i+1, plain(answer)))
	}
	c.mu.Lock()
	fmt.Fprintf(c.err, "Number [1]: ")
	c.mu.Unlock()
	reply, err := c.in.ReadString('\n')
	n, convErr := strconv.Atoi(strings.TrimSpace(reply))
	if err != nil || convErr != nil || n < 1 || n > len(answers) {
		return answers[0]
	}
	return answers[n-1]
}

// ShowFile says where the file is.
func (c *console) ShowFile(_ context.Context, path string) { c.println(plain(path)) }

// ShowText hands the document to whoever runs the command.
func (c *console) ShowText(_ context.Context, name, text string) { c.text(name, text) }

// OpenURL prints the page's address: a terminal may stand on another machine.
func (c *console) OpenURL(ctx context.Context, url string) {
	c.println("Open " + url)
	if c.browse {
		go browse(ctx, url) // a browser that stays in the foreground must not hold us up
	}
}

// JobChanged does nothing: whoever follows a job asks the session.
func (c *console) JobChanged(commands.Job) {}

// ProblemsChanged does nothing: a terminal shows no files. What failed is in
// the job's reason and its log.
func (c *console) ProblemsChanged(string, []commands.Problem) {}

// println prints a whole line, above the bar.
func (c *console) println(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	fmt.Fprintln(c.err, line)
	c.draw(c.line)
}

// print hands w a piece of a log, above the bar.
func (c *console) print(w io.Writer, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	fmt.Fprint(w, text)
	c.draw(c.line)
}

// erase and draw are called with mu held.
func (c *console) erase() {
	if c.bar && c.line != "" {
		fmt.Fprint(c.err, "\r\x1b[K")
	}
}

func (c *console) draw(line string) {
	c.line = line
	if c.bar && line != "" {
		fmt.Fprint(c.err, line)
	}
}

func (c *console) paint(color, text string) string {
	if !c.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// consoleTask is one progress bar.
type consoleTask struct {
	c    *console
	work commands.Work

	mu      sync.Mutex // guards what follows
	percent float64
	ended   bool
}

// Report redraws the bar.
func (t *consoleTask) Report(message string, percent float64) {
	t.mu.Lock()
	t.percent = max(t.percent, percent)
	ended, at := t.ended, t.percent
	t.mu.Unlock()
	if ended || !t.c.bar {
		return
	}
	line := plain(joinNonEmpty("  ", t.work.Title, message))
	if t.work.Percent {
		line = fmt.Sprintf("%s %3.0f %%  %s", drawBar(at), at, line)
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.c.erase()
	t.c.draw(cut(line, t.c.width-1))
}

// End removes the bar.
func (t *consoleTask) End(message string) {
	t.mu.Lock()
	again := t.ended
	t.ended = true
	t.mu.Unlock()
	if again {
		return
	}
	t.c.mu.Lock()
	t.c.erase()
	t.c.line = ""
	t.c.mu.Unlock()
	if message != "" {
		t.c.println(plain(joinNonEmpty(": ", t.work.Title, message)))
	}
}

// drawBar draws a percentage.
func drawBar(percent float64) string {
	const cells = 20
	done := int(min(max(percent, 0), 100) / 100 * cells)
	return "[" + strings.Repeat("=", done) + strings.Repeat(" ", cells-done) + "]"
}

// plain takes control characters out of text that may come from a job.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)
}

// cut shortens a line to a terminal's width.
func cut(line string, width int) string {
	runes := []rune(strings.ReplaceAll(line, "\n", " "))
	if len(runes) <= width || width < 1 {
		return string(runes)
	}
	return string(runes[:width-1]) + "…"
}

func joinNonEmpty(sep string, parts ...string) string {
	var kept []string
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, sep)
}
