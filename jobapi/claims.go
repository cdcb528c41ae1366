package jobapi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// claimed reads whom a token was issued to out of it, where it is a JSON Web
// Token, as JuliaHub's are: a sign-in by device brings no name beside it. The
// signature is not checked: this is what a person is shown, and nothing else.
func claimed(token string) (name, email string) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return "", ""
	}
	var claims map[string]any // a claim of another type than we expect spoils no other
	if json.Unmarshal(payload, &claims) != nil {
		return "", ""
	}
	text := func(key string) string {
		value, _ := claims[key].(string)
		return value
	}
	return cmp.Or(text("preferred_username"), text("name")), text("email")
}
