package bundle

import (
	"path"
	"strings"
)

// largeFile is the size in bytes above which a file is warned of.
const largeFile = 50 << 20

// isSecret reports whether a file is called as files with secrets are.
func isSecret(file string) bool {
	name := path.Base(file)
	switch name {
	case ".env", "auth.toml", "id_rsa", "id_dsa", "credentials", "credentials.json", ".netrc":
		return true
	}
	if strings.HasPrefix(name, "id_ecdsa") || strings.HasPrefix(name, "id_ed25519") {
		return !strings.HasSuffix(name, ".pub")
	}
	return strings.HasSuffix(name, ".pem") || strings.HasSuffix(name, ".key")
}

// warnOfFiles warns of files that a person may not want to send.
func (b *builder) warnOfFiles() {
	for _, f := range b.plan.Files {
		if isSecret(f.Path) && !b.plan.isFromDepot(f.Path) {
			b.warn("secret", f.Path, "%s looks like a secret; to leave it out, add the line %s to %s", f.Path, ignoreLine(f.Path), ignoreName)
		}
		if f.Bytes > largeFile {
			b.warn("large-file", f.Path, "%s has %s; to leave it out, add the line %s to %s", f.Path, human(f.Bytes), ignoreLine(f.Path), ignoreName)
		}
	}
}
