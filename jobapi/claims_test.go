package jobapi

import (
	"encoding/base64"
	"testing"
)

func TestClaimed(t *testing.T) {
	jwt := func(payload string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	for token, want := range map[string][2]string{
		jwt(`{"preferred_username":"ada","name":"Ada L.","email":"ada@example.org"}`): {"ada", "ada@example.org"},
		jwt(`{"name":"Ada L.","email":7,"exp":1}`):                                    {"Ada L.", ""},
		jwt(`{"name":`):  {},
		jwt(`[1]`):       {},
		"opaque":         {},
		"a.b.c":          {},
		"a.!!!.c":        {},
		jwt(`{}`) + ".x": {},
		"":               {},
	} {
		if name, email := claimed(token); name != want[0] || email != want[1] {
			t.Errorf("%q: %q, %q", token, name, email)
		}
	}
}
