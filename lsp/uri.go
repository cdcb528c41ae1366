package lsp

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// This file is the only one that turns URIs into paths and back. Nothing in it
// can panic, whatever a client sends.

// errNotLocal says that a URI names no file of this machine.
var errNotLocal = errors.New("not a file on this machine")

const onWindows = runtime.GOOS == "windows"

// isUntitled says whether a URI names a buffer that has no file.
func isUntitled(uri string) bool { return schemeOf(uri) == "untitled" }

// schemeOf returns the scheme in lower case, "" if the URI has none.
func schemeOf(uri string) string {
	scheme, _, ok := strings.Cut(uri, ":")
	if !ok {
		return ""
	}
	for i, c := range []byte(scheme) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return ""
		}
	}
	return strings.ToLower(scheme)
}

// pathOf returns the absolute local path that a file URI names.
func pathOf(uri string) (string, error) { return pathFrom(uri, onWindows) }

// pathFrom is pathOf for one kind of system. A "#" or "?" that a client left
// unescaped belongs to the name: a file has neither fragment nor query.
func pathFrom(uri string, windows bool) (string, error) {
	if scheme := schemeOf(uri); scheme != "file" {
		return "", fmt.Errorf("%q is %w: open the folder there with a language server of its own, or copy it here", clip(uri, 120), errNotLocal)
	}
	rest := uri[len("file:"):]
	host := ""
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		slash := strings.IndexByte(after, '/')
		if slash < 0 {
			slash = len(after)
		}
		host, rest = after[:slash], after[slash:]
	}
	name, err := unescape(rest)
	if err != nil {
		return "", fmt.Errorf("%q: %w", clip(uri, 120), err)
	}
	if host, err = unescape(host); err != nil {
		return "", fmt.Errorf("%q: %w", clip(uri, 120), err)
	}
	if strings.EqualFold(host, "localhost") {
		host = ""
	}
	if windows {
		return windowsPath(uri, host, name)
	}
	if host != "" {
		return "", fmt.Errorf("%q is %w but on %q", clip(uri, 120), errNotLocal, clip(host, 60))
	}
	if !strings.HasPrefix(name, "/") {
		return "", fmt.Errorf("%q does not name a file by its absolute path", clip(uri, 120))
	}
	return path.Clean(name), nil
}

// windowsPath makes C:\dir\file of /C:/dir/file, and \\host\share\file of a
// path on a host. The drive's letter is upper case, so that one file has one name.
func windowsPath(uri, host, name string) (string, error) {
	name = strings.ReplaceAll(name, `\`, "/")
	if host != "" {
		if strings.ContainsAny(host, `/\:?*`) || host == "." || host == ".." {
			return "", fmt.Errorf("%q does not name a share", clip(uri, 120))
		}
		return `\\` + host + strings.ReplaceAll(path.Clean("/"+name), "/", `\`), nil
	}
	name = strings.TrimPrefix(name, "/")
	if len(name) < 2 || name[1] != ':' || name[0]|0x20 < 'a' || name[0]|0x20 > 'z' {
		return "", fmt.Errorf("%q does not name a file by its drive and path", clip(uri, 120))
	}
	return strings.ToUpper(name[:1]) + ":" + strings.ReplaceAll(path.Clean("/"+name[2:]), "/", `\`), nil
}

// unescape undoes percent-encoding.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", errors.New("a name with a NUL byte")
	}
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
			return "", errors.New("a percent sign that begins no escape")
		}
		c := byte(unhex(s[i+1])<<4 | unhex(s[i+2]))
		if c == 0 {
			return "", errors.New("a name with a NUL byte")
		}
		out = append(out, c)
		i += 2
	}
	return string(out), nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// uriOf returns the file URI of an absolute local path.
func uriOf(path string) string { return uriFrom(path, onWindows) }

// uriFrom is uriOf for one kind of system.
func uriFrom(name string, windows bool) string {
	host := ""
	if windows {
		name = strings.ReplaceAll(name, `\`, "/")
		if share, ok := strings.CutPrefix(name, "//"); ok {
			host, name, _ = strings.Cut(share, "/")
			name = "/" + name
		} else {
			name = "/" + name
		}
	}
	return "file://" + escape(host, "") + escape(name, "/:")
}

// escape percent-encodes all but the unreserved characters and those in keep.
func escape(s, keep string) string {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(s)+8)
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if letter || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(keep, c) >= 0 {
			out = append(out, c)
		} else {
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out)
}

// keyOf names a document: clients may spell one file's URI in several ways.
func keyOf(uri string) string {
	if p, err := pathOf(uri); err == nil {
		return keyOfPath(p)
	}
	return uri
}

// keyOfPath names the document of a path.
func keyOfPath(p string) string {
	p = filepath.Clean(p)
	if onWindows {
		p = strings.ToLower(p)
	}
	return "file:" + p
}
