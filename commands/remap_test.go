package commands

import (
	"slices"
	"strings"
	"testing"
)

func TestMapLines(t *testing.T) {
	for name, test := range map[string]struct {
		old, new string
		want     []int
	}{
		"unchanged":             {"a b c", "a b c", []int{0, 1, 2}},
		"lines before":          {"a b c", "x y a b c", []int{2, 3, 4}},
		"line changed":          {"a b c", "a B c", []int{0, -1, 2}},
		"line removed":          {"a b c", "a c", []int{0, -1, 1}},
		"changed at three ends": {"a b c d e f g", "A b c D e f G", []int{-1, 1, 2, -1, 4, 5, -1}},
		"moved":                 {"1 a b c d 2", "9 c d a b 8", []int{-1, 3, 4, -1, -1, -1}},
		"repeated neighbours":   {"x a end end b end y", "q a end end b end z", []int{-1, 1, 2, 3, 4, 5, -1}},
		"all new":               {"a b", "c d", []int{-1, -1}},
		"empty":                 {"", "a", []int{-1}},
	} {
		got := mapLines(hashLines(strings.Split(test.old, " ")), hashLines(strings.Split(test.new, " ")))
		if name == "moved" { // either pair may be taken for the one that stayed
			if got[1] != 3 && got[3] != 1 {
				t.Errorf("moved: %v", got)
			}
			continue
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestUTF16Col(t *testing.T) {
	if got := utf16Col("a😀b", 2); got != 3 {
		t.Errorf("column %d, want 3", got)
	}
}
