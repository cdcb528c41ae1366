package bundle

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Driver returns the Julia code that runs Script inside the unpacked bundle; ""
// when there is no script. It works in every Julia from 1.5 on, at the top level
// of any module.
//
// Source: bundle.md's facts about the reference's driver: newer servers start it
// in the unpacked directory, servers up to 6.2 in its parent.
func (p *Plan) Driver() string {
	if p.Script == "" {
		return ""
	}
	environment := "nothing"
	if p.Environment != "." {
		environment = "[" + components(p.Environment) + "]"
	}
	return strings.NewReplacer(
		"{SCRIPT}", "["+components(p.Script)+"]",
		"{ENVIRONMENT}", environment,
	).Replace(driverText)
}

// The driver leaves no names behind: one let block. What comes into being while
// it runs (Pkg, the script's main) is reached through invokelatest and eval, as
// the block itself goes on in the world it started in. A script's `@main` is
// called by Julia itself only if the driver is the program that Julia was started
// with; otherwise the driver calls it, and takes the mark away so that Julia
// does not call it once more.
const driverText = `# This driver was made by juliahub-lsp to run a script of an appbundle.
let script = {SCRIPT}, environment = {ENVIRONMENT}
    starts = [pwd(), joinpath(pwd(), "appbundle")]
    found = findfirst(start -> isfile(joinpath(start, script...)), starts)
    if found === nothing
        error("The script ", joinpath(script...), " is not in the bundle: neither ",
              join([joinpath(start, script...) for start in starts], " nor "), " is a file.")
    end
    path = abspath(joinpath(starts[found], script...))
    if environment !== nothing
        pkg = Base.require(Base.PkgId(Base.UUID("44cfe95a-1eb2-52ea-b672-e2afdf69b78f"), "Pkg"))
        Base.invokelatest(() -> pkg.activate(abspath(joinpath(starts[found], environment...))))
        Base.invokelatest(() -> pkg.instantiate())
    end
    julia_calls_main = try
        @__MODULE__() === Main && !isinteractive() && abspath(PROGRAM_FILE) == abspath(@__FILE__)
    catch
        false
    end
    try
        Core.eval(Base, :(PROGRAM_FILE = $path))
    catch
        # Then main guards do not run, and everything else does.
    end
    result = include(path)
    here, mark = @__MODULE__, Symbol("#__main_is_entrypoint__#")
    owner = Core.eval(here, :(isdefined($here, :main) ? Base.binding_module($here, :main) : nothing))
    if !julia_calls_main && owner !== nothing && Core.eval(owner, :(isdefined($owner, $(QuoteNode(mark))) && $mark))
        Core.eval(owner, :(global $mark = false))
        status = Core.eval(here, :(main(ARGS)))
        if status isa Integer && status != 0
            error("main returned the status ", status)
        end
    end
    result
end
`

// components writes a path of the bundle as Julia string literals, one per
// component.
func components(path string) string {
	var literals []string
	for part := range strings.SplitSeq(path, "/") {
		literals = append(literals, juliaLiteral(part))
	}
	return strings.Join(literals, ", ")
}

// juliaLiteral writes a string as Julia's repr does.
func juliaLiteral(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		rest := s[i+n:]
		switch {
		case c == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case c == '"' || c == '\\' || c == '$':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == 0:
			b.WriteString(map[bool]string{true: `\x00`, false: `\0`}[startsWith(rest, "01234567")])
		case c == '\x1b':
			b.WriteString(`\e`)
		case '\a' <= c && c <= '\r':
			b.WriteByte('\\')
			b.WriteByte("abtnvfr"[c-'\a'])
		case isPrint(c):
			b.WriteRune(c)
		case c <= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c <= 0xffff:
			fmt.Fprintf(&b, `\u%0*x`, hexWidth(rest, 4), c)
		default:
			fmt.Fprintf(&b, `\U%0*x`, hexWidth(rest, 8), c)
		}
		i += n
	}
	b.WriteByte('"')
	return b.String()
}

// hexWidth is the full width where the next character could be read as one more digit.
func hexWidth(rest string, full int) int {
	if startsWith(rest, "0123456789abcdefABCDEF") {
		return full
	}
	return 2
}

func startsWith(s, set string) bool {
	c, _ := utf8.DecodeRuneInString(s)
	return s != "" && c <= unicode.MaxASCII && strings.ContainsRune(set, c)
}
