package lint

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// version is major, minor, patch.
type version [3]int

func (v version) less(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

var specPart = regexp.MustCompile(`^(\^|~|=|>=|≥|<=|≤|>|<)?\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?$`)

// parseVersion reads "1", "1.10" or "1.10.2" and says how many parts it has.
func parseVersion(parts []string) (v version, n int, ok bool) {
	for i, p := range parts {
		if p == "" {
			break
		}
		x, err := strconv.Atoi(p)
		if err != nil || x > math.MaxInt32 {
			return v, 0, false
		}
		v[i], n = x, i+1
	}
	return v, n, n > 0
}

// bump returns the first version after all that share v's first n parts.
func bump(v version, n int) version {
	out := version{}
	copy(out[:], v[:n])
	out[n-1]++
	return out
}

// allows reports whether a [compat] entry, in the form of Julia's package
// manager, allows some patch release of a Julia ("1.10", "1.10.2"). known is
// false when one of the two cannot be read.
func allows(spec, julia string) (ok, known bool) {
	v, n, ok := parseVersion(strings.SplitN(strings.TrimPrefix(julia, "v"), ".", 3))
	if !ok {
		return false, false
	}
	low, high := v, bump(v, n)
	for part := range strings.SplitSeq(spec, ",") {
		from, to, ok := interval(strings.TrimSpace(part))
		if !ok {
			return false, false
		}
		if low.less(to) && from.less(high) {
			return true, true
		}
	}
	return false, true
}

// interval reads one part of a [compat] entry as from ≤ version < to.
func interval(s string) (from, to version, ok bool) {
	top := version{math.MaxInt, 0, 0}
	if a, b, isRange := strings.Cut(s, " - "); isRange {
		x, _, okX := parseVersion(strings.SplitN(strings.TrimSpace(a), ".", 3))
		y, n, okY := parseVersion(strings.SplitN(strings.TrimSpace(b), ".", 3))
		if !okX || !okY {
			return from, to, false
		}
		return x, bump(y, n), true
	}
	m := specPart.FindStringSubmatch(s)
	if m == nil {
		return from, to, false
	}
	v, n, ok := parseVersion(m[2:])
	if !ok {
		return from, to, false
	}
	switch m[1] {
	case "", "^":
		return v, bump(v, caret(v, n)), true
	case "~":
		return v, bump(v, min(n, 2)), true
	case "=":
		return v, bump(v, 3), true
	case ">=", "≥":
		return v, top, true
	case ">":
		return bump(v, 3), top, true
	case "<=", "≤":
		return version{}, bump(v, n), true
	}
	return version{}, v, true // <
}

// caret says how many parts a caret keeps: up to the first that is not zero.
func caret(v version, n int) int {
	for i := range n {
		if v[i] != 0 {
			return i + 1
		}
	}
	return n
}
