package settings

import (
	"regexp"
	"strings"
)

var (
	// secretName is a variable's name that promises a secret.
	secretName = regexp.MustCompile(`(?i)(?:^|[_-])(?:token|secret|pass|pwd|pat|auth|credentials?)(?:$|[_-])|passw(?:or)?d|passphrase|(?:api|access|private|secret|signing|encryption)[_-]?key|[a-z](?-i:Token|Secret|Credentials?)$`)
	// secretValue is what well-known tokens and keys look like.
	secretValue = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w-]{20,}|\bxox[abprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\bAIza[\w-]{35}|\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{30,}|\bAccountKey=[\w+/=]{20,}|\b[Bb]earer [\w.~+/-]{20,}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|://[^/\s:@]+:[^/\s@]+@`)
	// notSecret are values that only name the place of a secret.
	notSecret = regexp.MustCompile(`^(?:\s*|\$.*|/.*|true|false|yes|no|\d{1,6})$`)
)

// LooksSecret reports whether a setting's value looks like a secret: by its own
// form, or by the name of the variable that it is for.
func LooksSecret(name, value string) bool {
	if secretValue.MatchString(value) {
		return true
	}
	return secretName.MatchString(strings.TrimSpace(name)) && !notSecret.MatchString(value)
}
