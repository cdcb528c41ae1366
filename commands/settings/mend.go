package settings

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"

	"juliahub-lsp/internal/tomlpos"
)

// Whoever types breaks the file at every other key. A hover on a line that is
// fine has to go on working then.
const (
	mostMended    = 64       // lines; each takes a reading of the whole text
	longestMended = 64 << 10 // bytes of a text; a JuliaHub.toml has hundreds
)

// Mend returns a text that is TOML as it is, and one that is not without the
// lines that are broken. It serves what is shown while someone types: what is
// submitted is never read from it.
func Mend(text []byte) []byte {
	mended := text
	for range mostMended {
		h := Hub{layout: tomlpos.Scan(string(mended))}
		err := h.decode(new(map[string]any))
		if err == nil {
			return mended
		}
		var at toml.ParseError
		if !errors.As(err, &at) || len(mended) > longestMended {
			return text
		}
		mended = withoutLine(h.layout, at.Position)
	}
	return text
}

// withoutLine takes the key that is not what it should be at a place out of a
// text, with its line. Of a value that goes over several lines, perhaps because
// its end is missing, that is the first: what follows may be fine. A header is
// replaced, so that the keys below it do not become those of the table above.
func withoutLine(l *tomlpos.Layout, at toml.Position) []byte {
	text, offset := l.Text, syntaxOffset(l, at)
	line, _ := l.Position(min(offset, len(strings.TrimRight(text, " \t\r\n"))))
	for _, e := range l.Entries {
		if !e.Header && e.Key.From <= offset && offset <= e.Value.To {
			line, _ = l.Position(e.Key.From)
			break
		}
	}
	from, to := l.Offset(line, 0), l.Offset(line+1, 0)
	put := "\n"
	if strings.HasPrefix(strings.TrimLeft(text[from:to], " \t"), "[") {
		put = fmt.Sprintf("[\"broken %d\"]\n", from)
	}
	return []byte(text[:from] + put + text[to:])
}
