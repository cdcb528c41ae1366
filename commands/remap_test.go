package commands

import "testing"

func TestUTF16Col(t *testing.T) {
	if got := utf16Col("a😀b", 2); got != 3 {
		t.Errorf("column %d, want 3", got)
	}
}
