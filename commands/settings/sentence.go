package settings

import (
	"slices"
	"strings"
	"sync"
)

// Capital makes the beginning of a message that of a sentence. A name keeps its
// spelling: a key of the settings, and whatever is no word of small letters.
func Capital(message string) string {
	word, _, _ := strings.Cut(message, " ")
	word = strings.TrimRight(word, ",:;")
	if word == "" || slices.Contains(keyNames(), word) || strings.IndexFunc(word, func(r rune) bool { return r < 'a' || r > 'z' }) >= 0 {
		return message
	}
	return strings.ToUpper(message[:1]) + message[1:]
}

// keyNames are all keys of JuliaHub.toml and of the tables in it.
var keyNames = sync.OnceValue(func() (names []string) {
	for _, key := range Keys {
		names = append(names, key.Name)
		for _, field := range key.Fields {
			names = append(names, field.Name)
		}
	}
	return names
})
