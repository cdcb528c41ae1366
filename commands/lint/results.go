package lint

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The environment variables by which a job hands results over: older images set
// or read the first of each pair, newer ones the second.
const (
	results1 = "RESULTS"
	results2 = "JULIAHUB_RESULTS_SUMMARY_FILE"
	file1    = "RESULTS_FILE"
	file2    = "JULIAHUB_RESULTS_UPLOAD_DIR"
	port1    = "PORT"
	port2    = "JULIAHUB_APP_PORT"
)

// maxResults is how many characters of ENV["RESULTS"] an older image keeps.
const maxResults = 1000

// envUse is ENV["NAME"], or a call such as get(ENV, "NAME", …).
type envUse struct {
	name     string
	at       int  // index of the token ENV
	end      int  // index of the last token: "]" or ")"
	indexed  bool // ENV["NAME"]
	assigned bool // ENV["NAME"] = …
}

// envUses finds what a script does with one environment variable.
func (l *scriptLint) envUses(name string) (out []envUse) {
	for i, t := range l.tokens {
		if !t.is("ENV") {
			continue
		}
		value := l.at(i + 2)
		if !value.plain() || value.text != name {
			continue
		}
		switch {
		case l.at(i+1).is("[") && l.at(i+3).is("]"):
			assigned := l.at(i+4).is("=") && !l.at(i+5).is("=")
			out = append(out, envUse{name, i, i + 3, true, assigned})
		case l.at(i+1).is(",") && l.at(i-1).is("("):
			out = append(out, envUse{name, i, l.closing(i - 1), false, false})
		}
	}
	return out
}

// mentions reports whether a script names an environment variable at all.
func (l *scriptLint) mentions(name string) bool {
	for _, t := range l.tokens {
		if t.kind == literal && t.text == name {
			return true
		}
	}
	return false
}

// closing returns the index of the bracket that closes the one at open.
func (l *scriptLint) closing(open int) int {
	depth := 0
	for i := open; i < len(l.tokens); i++ {
		switch t := l.tokens[i]; {
		case t.is("(") || t.is("[") || t.is("{"):
			depth++
		case t.is(")") || t.is("]") || t.is("}"):
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(l.tokens) - 1
}

// statement returns the first and last token of the statement around a token:
// it ends at the first line end or semicolon outside brackets.
func (l *scriptLint) statement(i int) (first, last int) {
	first = i
	for first > 0 && l.at(first-1).kind != newline && !l.at(first-1).is(";") {
		first--
	}
	depth := 0
	for last = first; last < len(l.tokens); last++ {
		switch t := l.tokens[last]; {
		case t.is("(") || t.is("[") || t.is("{"):
			depth++
		case t.is(")") || t.is("]") || t.is("}"):
			depth--
		case depth <= 0 && t.kind == newline && !continues(l.at(last-1)), depth <= 0 && t.is(";"):
			return first, last - 1
		}
	}
	return first, len(l.tokens) - 1
}

// continues reports whether a line that ends so goes on in the next one.
func continues(t token) bool {
	return t.kind == symbol && strings.Contains("=+-*/,&|<>?:$^%", t.text)
}

// results finds results that only one generation of job images understands.
func (l *scriptLint) results() {
	for _, u := range l.envUses(results1) {
		if !u.assigned {
			continue
		}
		if !l.mentions(results2) {
			l.oneImage(u, "Newer job images take results from a file", l.insertAfter(u,
				`haskey(ENV, "`+results2+`") && write(ENV["`+results2+`"], ENV["`+results1+`"])`))
		}
		if value := l.at(u.end + 2); value.plain() && utf8.RuneCountInString(value.text) > maxResults {
			l.add(value, value, Hint, CodeResultsLong, fmt.Sprintf("This has more than %d characters: the rest is cut off. Write it into a results file.", maxResults))
		}
	}
	for _, u := range l.envUses(file1) {
		if u.assigned && !l.mentions(file2) {
			l.oneImage(u, "Newer job images take result files from a directory", l.insertAfter(u,
				`haskey(ENV, "`+file2+`") && cp(ENV["`+file1+`"], joinpath(ENV["`+file2+`"], basename(ENV["`+file1+`"])); force = true)`))
		}
	}
	for _, u := range l.envUses(results2) {
		if !l.mentions(results1) {
			l.oneImage(u, "Older job images take results from ENV[\"RESULTS\"]", l.summaryFix(u))
		}
	}
	for _, u := range l.envUses(file2) {
		if !l.mentions(file1) {
			var edits []Edit
			if u.indexed {
				edits = []Edit{l.replace(u, `get(() -> (ENV["`+file1+`"] = mkpath(abspath("results"))), ENV, "`+file2+`")`)}
			}
			l.oneImage(u, "Older job images take the file or directory in ENV[\"RESULTS_FILE\"]", edits)
		}
	}
}

// oneImage reports a use that one generation of images does not understand.
func (l *scriptLint) oneImage(u envUse, why string, edits []Edit) {
	var fixes []Fix
	if len(edits) > 0 {
		fixes = []Fix{{Title: "Write results for all job images", Edits: edits}}
	}
	l.add(l.at(u.at), l.at(u.end), Hint, CodeResultsOneImage, fmt.Sprintf("%s: write them both ways, as it is not known which image the job gets.", why), fixes...)
}

func (l *scriptLint) replace(u envUse, code string) Edit {
	return l.text.edit(l.in.File, l.at(u.at).from, l.at(u.end).to, code)
}

// insertAfter adds a line of code behind the statement of a use, indented alike.
func (l *scriptLint) insertAfter(u envUse, code string) []Edit {
	first, last := l.statement(u.at)
	if first != u.at {
		return nil // something is done with the assignment: better by hand
	}
	start := strings.LastIndexByte(l.text.body[:l.at(first).from], '\n') + 1
	indent := l.text.body[start:l.at(first).from]
	separator := "\n"
	if strings.TrimSpace(indent) != "" { // other code stands before it in its line
		indent, separator = "", "; "
	}
	if strings.HasPrefix(l.text.body[l.at(last).to:], "\r\n") && separator == "\n" {
		separator = "\r\n"
	}
	end := l.at(last).to
	return []Edit{l.text.edit(l.in.File, end, end, separator+indent+code)}
}

// summaryFix offers both ways for write(ENV["…SUMMARY_FILE"], …) alone.
func (l *scriptLint) summaryFix(u envUse) []Edit {
	first, last := l.statement(u.at)
	call := l.at(first).is("write") && first+2 == u.at && u.indexed && l.closing(first+1) == last
	if !call {
		return nil
	}
	after := l.insertAfter(envUse{at: first}, `haskey(ENV, "`+results2+`") || (ENV["`+results1+`"] = read("results.json", String))`)
	return append([]Edit{l.replace(u, `get(ENV, "`+results2+`", "results.json")`)}, after...)
}

// port finds exposed ports that one generation of images does not set.
func (l *scriptLint) port() {
	for _, pair := range [][2]string{{port1, port2}, {port2, port1}} {
		if l.mentions(pair[1]) {
			continue
		}
		for _, u := range l.envUses(pair[0]) {
			if u.assigned {
				continue
			}
			var fixes []Fix
			if u.indexed {
				fixes = []Fix{{Title: "Take the port of any job image", Edits: []Edit{l.replace(u, `get(() -> ENV["`+port1+`"], ENV, "`+port2+`")`)}}}
			}
			l.add(l.at(u.at), l.at(u.end), Hint, CodePortOneImage, fmt.Sprintf("Only some job images set %s, others set %s: look at both.", pair[0], pair[1]), fixes...)
		}
	}
}
