package stacktrace

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestFollow(t *testing.T) {
	before := "a\nb\nend\n\nc\nd\nend\n"
	for _, c := range []struct {
		name, after string
		want        []int
	}{
		{"the same", before, []int{1, 2, 3, 4, 5, 6, 7}},
		{"other line ends", strings.ReplaceAll(before, "\n", "  \r\n"), []int{1, 2, 3, 4, 5, 6, 7}},
		{"a mark before it", "\ufeff" + before, []int{1, 2, 3, 4, 5, 6, 7}},
		{"lines before", "x\ny\n" + before, []int{3, 4, 5, 6, 7, 8, 9}},
		{"a line changed", "a\nb\nend\n\nC\nd\nend\n", []int{1, 2, 3, 4, 0, 6, 7}},
		{"a block removed", "a\nb\nend\n", []int{1, 2, 3, 0, 0, 0, 0}},
		{"a block moved", "c\nd\nend\n\na\nb\nend\n", []int{0, 0, 0, 0, 1, 2, 7}},
		{"an end more", "a\nb\nend\nend\n\nc\nd\nend\n", []int{1, 2, 3, 5, 6, 7, 8}},
		{"nothing left", "", []int{0, 0, 0, 0, 0, 0, 0}},
	} {
		got := Follow(HashLines(before), HashLines(c.after))
		ok := len(got) == len(c.want)
		for i := range c.want {
			ok = ok && got[i] == c.want[i]
		}
		if !ok {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		check(t, HashLines(before), HashLines(c.after), got)
	}
	d := Drift{2, 0}
	if n, ok := d.Line(1); !ok || n != 2 {
		t.Error("line 1 is lost")
	}
	for _, line := range []int{-1, 0, 2, 3} {
		if n, ok := d.Line(line); ok {
			t.Errorf("line %d is %d", line, n)
		}
	}
}

// check holds what must be true of every drift: equal lines, in order.
func check(t *testing.T, before, after Lines, d Drift) {
	t.Helper()
	last := 0
	for i, n := range d {
		if n == 0 {
			continue
		}
		if n <= last || n > len(after) || after[n-1] != before[i] {
			t.Fatalf("line %d cannot be %d: %v", i+1, n, d)
		}
		last = n
	}
}

// TestFollowEdits edits a long text at random places.
func TestFollowEdits(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var before []string
	for i := range 10_000 {
		before = append(before, []string{fmt.Sprint("line ", i), "end", "", "    x = 1"}[i%4])
	}
	after := append([]string(nil), before...)
	kept := len(before)
	for range 200 {
		i := random.IntN(len(after))
		switch random.IntN(3) {
		case 0:
			after = append(after[:i], after[i+1:]...)
			kept--
		case 1:
			after[i] += " changed"
			kept--
		default:
			after = append(after[:i], append([]string{"new"}, after[i:]...)...)
		}
	}
	a, b := HashLines(strings.Join(before, "\n")), HashLines(strings.Join(after, "\n"))
	d := Follow(a, b)
	check(t, a, b, d)
	found := 0
	for _, n := range d {
		if n > 0 {
			found++
		}
	}
	if found < kept {
		t.Errorf("%d of %d lines were found again", found, kept)
	}
}

// TestFollowRepetition is the worst for anchors: nothing occurs once.
func TestFollowRepetition(t *testing.T) {
	a, b := HashLines(strings.Repeat("x\ny\n", 5000)), HashLines("z\n"+strings.Repeat("y\nx\n", 5000)+"z\n")
	check(t, a, b, Follow(a, b))
}
