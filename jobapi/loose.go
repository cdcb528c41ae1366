package jobapi

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// loose is a field of an answer whose type we do not insist on: servers of
// several generations send null, nothing, a number or a string for the same.
type loose struct{ raw json.RawMessage }

// UnmarshalJSON keeps the field as it is.
func (l *loose) UnmarshalJSON(data []byte) error {
	l.raw = append(l.raw[:0], data...)
	return nil
}

func (l loose) null() bool { return len(l.raw) == 0 || string(l.raw) == "null" }

// text returns a string as it is, a number, boolean, list or object as its JSON,
// and "" for null.
func (l loose) text() string {
	if l.null() {
		return ""
	}
	var text string
	if json.Unmarshal(l.raw, &text) == nil {
		return text
	}
	return string(l.raw)
}

// number returns a number, also one in quotes.
func (l loose) number() (float64, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(l.text()), 64)
	return n, err == nil && !l.null() && !math.IsNaN(n) && !math.IsInf(n, 0)
}

// whole returns a number that has no fraction and fits.
func (l loose) whole() (int64, bool) {
	if n, err := strconv.ParseInt(strings.TrimSpace(l.text()), 10, 64); err == nil {
		return n, true
	}
	n, ok := l.number()
	return int64(n), ok && n == math.Trunc(n) && math.Abs(n) < 1<<53
}

// truth returns a boolean, also one in quotes or as a number.
func (l loose) truth() bool {
	switch strings.ToLower(l.text()) {
	case "true", "1":
		return true
	}
	return false
}

// time returns a time: unix milliseconds, or an ISO 8601 string, which is UTC
// when it names no zone. Zero when it is neither.
func (l loose) time() time.Time {
	if l.null() {
		return time.Time{}
	}
	if n, ok := l.number(); ok {
		if math.Abs(n) > 1e15 {
			return time.Time{}
		}
		return time.UnixMicro(int64(math.Round(n * 1000))).UTC()
	}
	return parseTime(l.text())
}

func parseTime(text string) time.Time {
	text = strings.Replace(strings.TrimSpace(text), " ", "T", 1)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	return time.Time{}
}

// digest returns the 32 bytes of a SHA-256 written as hex or base64; nil when it
// is neither.
func digest(text string) []byte {
	text = strings.TrimSpace(text)
	if sum, err := hex.DecodeString(text); err == nil && len(sum) == 32 {
		return sum
	}
	text = strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if sum, err := encoding.DecodeString(text); err == nil && len(sum) == 32 {
			return sum
		}
	}
	return nil
}
