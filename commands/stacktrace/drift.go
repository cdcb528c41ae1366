package stacktrace

import (
	"hash/fnv"
	"slices"
	"strings"
)

// Lines are the hashes of a text's lines, without white space at their ends.
// They are what has to be kept of a file to find its lines again after edits.
type Lines []uint64

// HashLines hashes the lines of a text.
func HashLines(text string) Lines {
	var out Lines
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		h := fnv.New64a()
		h.Write([]byte(strings.TrimRight(line, " \t\r\n")))
		out = append(out, h.Sum64())
	}
	return out
}

// Drift says where the lines of a text went: index 0 stands for line 1, the
// value is the line's number in the other text, 0 for a line that was changed
// or removed.
type Drift []int

// Line returns the number (1-based) that a line has now. The end of the text, a
// line behind the last one, stays there.
func (d Drift) Line(line int) (int, bool) {
	if n := len(d); n > 0 && line == n+1 && d[n-1] > 0 {
		return d[n-1] + 1, true
	}
	if line < 1 || line > len(d) || d[line-1] == 0 {
		return 0, false
	}
	return d[line-1], true
}

// Follow finds the lines of before in after. It takes n log n time for n lines:
// common ends are cut off, lines that occur once in both are paired in their
// order, and what is left between them is treated alike; short rests without
// such lines are compared directly.
func Follow(before, after Lines) Drift {
	d := make(Drift, len(before))
	f := follower{before, after, d}
	f.match(0, len(before), 0, len(after), 0)
	return d
}

type follower struct {
	a, b Lines
	out  Drift
}

// directly is the largest number of pairs of lines that are compared directly.
const directly = 250_000

// deepest bounds the recursion; every level pairs at least one line.
const deepest = 64

// match pairs a[i:j] with b[k:l].
func (f follower) match(i, j, k, l, depth int) {
	for i < j && k < l && f.a[i] == f.b[k] {
		f.out[i] = k + 1
		i, k = i+1, k+1
	}
	for i < j && k < l && f.a[j-1] == f.b[l-1] {
		f.out[j-1] = l
		j, l = j-1, l-1
	}
	if i == j || k == l || depth > deepest {
		return
	}
	anchors := f.anchors(i, j, k, l)
	if len(anchors) == 0 {
		if (j-i)*(l-k) <= directly {
			f.compare(i, j, k, l)
		}
		return
	}
	for _, at := range anchors {
		f.match(i, at[0], k, at[1], depth+1)
		f.out[at[0]] = at[1] + 1
		i, k = at[0]+1, at[1]+1
	}
	f.match(i, j, k, l, depth+1)
}

// anchors are the longest row of lines that occur once on both sides, in the
// same order on both.
func (f follower) anchors(i, j, k, l int) [][2]int {
	count := map[uint64][2]int{}
	place := map[uint64]int{}
	for at := i; at < j; at++ {
		c := count[f.a[at]]
		c[0]++
		count[f.a[at]] = c
	}
	for at := k; at < l; at++ {
		c := count[f.b[at]]
		c[1]++
		count[f.b[at]] = c
		place[f.b[at]] = at
	}
	var pairs [][2]int
	for at := i; at < j; at++ {
		if count[f.a[at]] == [2]int{1, 1} {
			pairs = append(pairs, [2]int{at, place[f.a[at]]})
		}
	}
	return increasing(pairs)
}

// increasing returns the longest part of pairs whose second numbers increase.
func increasing(pairs [][2]int) [][2]int {
	var ends []int // of the best row of each length: index of its last pair
	previous := make([]int, len(pairs))
	for i, p := range pairs {
		at, _ := slices.BinarySearchFunc(ends, p[1], func(end, target int) int { return pairs[end][1] - target })
		previous[i] = -1
		if at > 0 {
			previous[i] = ends[at-1]
		}
		if at == len(ends) {
			ends = append(ends, i)
		} else {
			ends[at] = i
		}
	}
	out := make([][2]int, len(ends))
	if len(ends) > 0 {
		for i, at := len(ends)-1, ends[len(ends)-1]; i >= 0; i, at = i-1, previous[at] {
			out[i] = pairs[at]
		}
	}
	return out
}

// compare pairs the longest common row of two short rests.
func (f follower) compare(i, j, k, l int) {
	rows, cols := j-i, l-k
	longest := make([]int, (rows+1)*(cols+1))
	at := func(r, c int) *int { return &longest[r*(cols+1)+c] }
	for r := rows - 1; r >= 0; r-- {
		for c := cols - 1; c >= 0; c-- {
			if f.a[i+r] == f.b[k+c] {
				*at(r, c) = *at(r+1, c+1) + 1
			} else {
				*at(r, c) = max(*at(r+1, c), *at(r, c+1))
			}
		}
	}
	for r, c := 0, 0; r < rows && c < cols; {
		switch {
		case f.a[i+r] == f.b[k+c]:
			f.out[i+r] = k + c + 1
			r, c = r+1, c+1
		case *at(r+1, c) >= *at(r, c+1):
			r++
		default:
			c++
		}
	}
}
