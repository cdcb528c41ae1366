package stacktrace

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// escapes are terminal control sequences: colours (CSI) and links (OSC).
var escapes = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|\x1b[@-Z\\\\-_]")

// plain removes terminal escapes and the line's end.
func plain(s string) string {
	s = strings.TrimRight(s, "\r\n")
	if strings.IndexByte(s, 0x1b) >= 0 {
		s = escapes.ReplaceAllString(s, "")
	}
	return s
}

// fromWorker splits the prefix that Distributed puts before what another
// process printed: "      From worker 2:\ttext".
func fromWorker(s string) (worker, text string) {
	rest, ok := strings.CutPrefix(strings.TrimLeft(s, " "), "From worker ")
	if !ok {
		return "", s
	}
	id, text, ok := strings.Cut(rest, ":\t")
	if _, err := strconv.Atoi(id); !ok || err != nil {
		return "", s
	}
	return id, text
}

// unbox removes the frame that Julia's logger draws around a record's lines
// ("│ "), the brackets around repeated frames (from 1.13), and what they stand
// in: the frame around the output of a precompilation, the brackets of an outer
// cycle. It says how many they were, and which character the innermost, and
// takes at most that many.
func unbox(s string, most int) (depth int, box rune, text string) {
	for ; depth < most; depth++ {
		trimmed := strings.TrimLeft(s, " ")
		r, size := utf8.DecodeRuneInString(trimmed)
		if !strings.ContainsRune("│┌└├╰", r) || r == utf8.RuneError {
			break
		}
		box, s = r, trimmed[size:]
	}
	return depth, box, s
}

// maxBoxes is how many frames and brackets may stand around a line.
const maxBoxes = 8

// indentOf counts the spaces before the text.
func indentOf(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }

// numbered reads "[12] rest".
func numbered(s string) (n int, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, "[")
	if !ok {
		return 0, "", false
	}
	digits, rest, ok := strings.Cut(s, "] ")
	if !ok || len(digits) > 7 {
		return 0, "", false
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 {
		return 0, "", false
	}
	return n, rest, true
}

// oneLine reads a frame in the format up to Julia 1.5: "f(::Int) at FILE:L".
// Paths may hold " at " as well, so the first one that a path may follow counts.
func oneLine(s string) (Frame, bool) {
	const at = " at "
	f, ok := location(s)
	if !ok {
		return Frame{}, false
	}
	for from, last := 0, strings.LastIndex(f.File, at); from <= last; {
		i := from + strings.Index(f.File[from:], at)
		if path := f.File[i+len(at):]; path != "" && (i == last || pathStart(path)) {
			f.Func, f.File = clip(f.File[:i]), strings.Clone(path)
			return f, true
		}
		from = i + 1
	}
	return Frame{}, false
}

// atLine reads a frame's second line since Julia 1.6: "@ Module FILE:L", where
// the module is missing for top-level code.
func atLine(s string) (Frame, bool) {
	s, ok := strings.CutPrefix(s, "@ ")
	if !ok {
		return Frame{}, false
	}
	if m := moduleName.FindStringIndex(s); m != nil {
		rest := s[m[1]:]
		// A path may begin with a word and a space as well. Modules begin with a
		// capital letter by custom; where they do not, only a whole path tells.
		if c := s[0]; c >= 'A' && c <= 'Z' || c >= 0x80 || strings.Contains(s[:m[1]], `"`) || pathStart(rest) {
			if f, ok := location(rest); ok {
				return f, true
			}
		}
	}
	return location(s)
}

// moduleName is a module with the space behind it: names with dots between them,
// of which any may be one that is quoted, such as Main.var"##1#2".
var moduleName = regexp.MustCompile(`^(?:[A-Za-z0-9_!.]|[^\x00-\x7f]|var"(?:[^"\\]|\\.)*")+ `)

// pathStart reports whether s begins as absolute paths and Base's own do.
func pathStart(s string) bool {
	return s != "" && (strings.IndexByte(`/.~\`, s[0]) >= 0 || len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/'))
}

// location reads "FILE:L" with what may follow it.
func location(s string) (Frame, bool) {
	f := Frame{Repeats: 1}
	if i := strings.Index(s, "--- the "); i > 0 {
		s = s[:i]
	}
	s, f.Repeats = repeats(strings.TrimRight(s, " "))
	s, f.Inlined = strings.CutSuffix(s, " [inlined]")
	var ok bool
	f.File, f.Line, ok = fileLine(s)
	// A frame that says where in its line it is says so in a unit of its own:
	// the line alone counts.
	if file, line, more := fileLine(f.File); more && strings.HasSuffix(file, ".jl") {
		f.File, f.Line = file, line
	}
	return f, ok
}

// repeats cuts " (repeats N times)" off.
func repeats(s string) (string, int) {
	head, ok := strings.CutSuffix(s, " times)")
	if !ok {
		return s, 1
	}
	head, digits, ok := cutLast(head, " (repeats ")
	if n, err := strconv.Atoi(digits); ok && err == nil && n > 0 {
		return head, n
	}
	return s, 1
}

// fileLine splits "FILE:L"; a drive's colon is part of FILE.
func fileLine(s string) (string, int, bool) {
	file, digits, ok := cutLast(s, ":")
	if !ok || file == "" || len(digits) > 9 {
		return "", 0, false
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return "", 0, false
	}
	return strings.Clone(file), n, true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// maxText is how much of a signature or a message's line is kept: types in
// signatures can be hundreds of kilobytes long.
const maxText = 1000

// clip copies s, so that a whole log line does not stay in memory for it.
func clip(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return strings.Clone(s)
}

var (
	signalLine = regexp.MustCompile(`^(?:\[\d+\] )?signal \(?\d+|^Exception: EXCEPTION_|^fatal: error thrown`)
	// testLine is how Test reports a test that failed or threw, with its place.
	testLine = regexp.MustCompile(`(?:^|: )(?:Test Failed|Error During Test) at (\S.*:\d+)$`)
	// failedDeps is how Pkg, and using since Julia 1.11, sum up a precompilation.
	failedDeps  = regexp.MustCompile(`^The following \d+ (?:direct )?dependenc(?:y|ies) failed to precompile:`)
	aroundPlace = regexp.MustCompile(`^syntax: .* around (\S.*:\d+)$`)
	causedBy    = regexp.MustCompile(`^caused by(?: \[exception \d+\]$|:(?: |$))`)
	repeated    = regexp.MustCompile(`^--- the (?:above|last) |^\.\.\. \(the last \d+ lines are repeated|^─+ repeated \d+ time|^\.\.\.and \d+ more exception`)
	// whose names the thread of a frame, in builds that do when they are killed.
	whose = regexp.MustCompile(`^(?:signal \(\d+\) )?thread \(-?\d+\) `)
	// sourceName is what code came from: a file, or what evaluated a text calls it.
	sourceName = regexp.MustCompile(`\.jl|\]$|^(?:none|string|stdin)$`)
	// bareFrame is a frame without a number: a plain name, never a sentence.
	bareFrame = regexp.MustCompile(`^(?:macro expansion|top-level scope|\(::.*\)|[^\s:"']+) at `)
)

// announced cuts off what announces an exception, which may say nothing at all.
func announced(text, by string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, by)
	if !ok || rest != "" && rest[0] != ' ' {
		return text, false
	}
	return strings.TrimLeft(rest, " "), true
}

// fold removes what Julia puts before the exception's own text.
func fold(s string) string {
	for {
		rest, ok := announced(s, "LoadError:")
		if !ok {
			rest, ok = announced(s, "InitError:")
		}
		if !ok {
			return s
		}
		s = rest
	}
}
