package settings

import "strings"

// Nearest returns the candidate that someone who wrote word most likely meant;
// "" when none is near.
func Nearest(word string, candidates []string) string {
	plain := squash(word)
	if plain == "" {
		return ""
	}
	limit := max(1, len(plain)/3)
	if len(plain) < 3 {
		limit = 0 // anything is near to two letters
	}
	best, bestDistance := "", limit+1
	for _, c := range candidates {
		p := squash(c)
		if p == plain {
			return c
		}
		d := distance(plain, p)
		if len(plain) >= 3 && strings.HasPrefix(p, plain) {
			d = min(d, 1)
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// squash removes what people mix up: case, hyphens, underscores, dots.
func squash(s string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(strings.ToLower(s))
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between a and b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 100 || len(y) > 100 {
		return 100
	}
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
