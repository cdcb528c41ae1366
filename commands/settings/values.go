package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// valueError says what is wrong with a value, and where inside it.
type valueError struct {
	path       []string // below the key: ["port"], ["[1]"]; nil = the value itself
	onKey      bool     // the key is wrong, not its value
	message    string
	suggestion string // takes the place of the text there
	unknown    bool
}

func (e *valueError) Error() string { return e.message }

// valueErrors are several wrong parts of one value.
type valueErrors []*valueError

func (e valueErrors) Error() string {
	var all []string
	for _, one := range e {
		all = append(all, one.message)
	}
	return strings.Join(all, "; ")
}

func (e valueErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

func fail(format string, args ...any) *valueError {
	return &valueError{message: fmt.Sprintf(format, args...)}
}

// at says that an error is about a part of a value.
func at(err error, part string) *valueError {
	var e *valueError
	if !errors.As(err, &e) {
		return &valueError{path: []string{part}, message: err.Error()}
	}
	c := *e
	c.path = append([]string{part}, e.path...)
	return &c
}

// quote writes a string as a TOML (and JSON) value.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(b)
}

// kind names a value's type as people know it.
func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "true or false"
	case json.Number:
		return "a number"
	case []any, []map[string]any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date"
}

func str(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fail("this must be a string, not %s", kind(v))
	}
	if strings.ContainsRune(s, 0) {
		return "", fail("this must not contain a zero byte")
	}
	return s, nil
}

func setString(to *string, v any) error {
	s, err := str(v)
	if err == nil {
		*to = s
	}
	return err
}

func setBool(to *bool, v any) error {
	b, ok := v.(bool)
	if !ok {
		e := fail("this must be true or false, not %s", kind(v))
		if s, isString := v.(string); isString && (s == "true" || s == "false") {
			e.suggestion = s
		}
		return e
	}
	*to = b
	return nil
}

func setInt(to *int, v any, least, most int) error {
	n, ok := whole(v)
	switch {
	case !ok:
		e := fail("this must be a whole number, not %s", kind(v))
		if s, isString := v.(string); isString {
			if _, err := strconv.Atoi(s); err == nil {
				e.suggestion = s
			}
		}
		if _, isNumber := v.(json.Number); isNumber {
			e.message = "this must be a whole number"
		}
		return e
	case n < least && most < 1<<20, n > most && most < 1<<20:
		return fail("this must be from %d to %d", least, most)
	case n < least:
		return fail("this must be at least %d", least)
	case n > most:
		return fail("%d is more than any server has", n)
	}
	*to = n
	return nil
}

// whole reads a number without a fraction.
func whole(v any) (int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return int(i), int64(int(i)) == i
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1e15 {
		return 0, false
	}
	return int(f), true
}

func setChoice(to *string, v any, values ...string) error {
	if nested, ok := v.(map[string]any); ok && nested["server"] != nil {
		v = nested["server"] // "juliahub.trace.server" is what VS Code's own client library reads
	}
	s, err := str(v)
	if err != nil {
		return err
	}
	if slices.Contains(values, s) {
		*to = s
		return nil
	}
	e := fail("%q is not one of %s", s, strings.Join(values, ", "))
	if near := Nearest(s, values); near != "" {
		e.message += fmt.Sprintf(". Did you mean %q?", near)
		e.suggestion = quote(near)
	}
	return e
}

// setStrings reads a list; check is asked for each element. One that is wrong
// makes the list count for nothing: half of it is not what was meant.
func setStrings(to *[]string, v any, check func(string) error) error {
	list, ok := v.([]any)
	if !ok {
		e := fail("this must be a list of strings, not %s", kind(v))
		if s, isString := v.(string); isString {
			e.suggestion = "[" + quote(s) + "]"
		}
		return e
	}
	var wrong valueErrors
	out := []string{}
	for i, element := range list {
		s, err := str(element)
		if err == nil {
			err = check(s)
		}
		if err != nil {
			wrong = append(wrong, at(err, fmt.Sprintf("[%d]", i)))
			continue
		}
		out = append(out, s)
	}
	if wrong == nil {
		*to = out
	}
	return wrong.orNil()
}

func checkGlob(s string) error {
	if s == "" || !doublestar.ValidatePattern(s) {
		return fail("%q is not a pattern for file names", s)
	}
	return nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?::[0-9]{1,5})?$`)

func checkHost(s string) error {
	if !hostName.MatchString(s) {
		return fail("%q is not a host name", s)
	}
	return nil
}

func setServer(to *string, v any) error {
	s, err := str(v)
	if err != nil {
		return err
	}
	s = strings.TrimSpace(s)
	if s == "" {
		*to = ""
		return nil
	}
	full := s
	if !strings.Contains(full, "://") {
		full = "https://" + full
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.Hostname() == "" || net.ParseIP(u.Hostname()) == nil && !hostName.MatchString(u.Hostname()):
		return fail("this is not a server: write a host name such as \"juliahub.com\"")
	case u.User != nil:
		return fail("a server must not carry a user name or password: sign in instead")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		e := fail("a server is a host name alone, without a path")
		e.suggestion = quote(u.Host)
		return e
	case u.Scheme == "http" && !loopback(u.Hostname()):
		e := fail("http:// is allowed for this machine only")
		e.suggestion = quote(u.Host)
		return e
	case u.Scheme != "https" && u.Scheme != "http":
		return fail("%s:// is not how a JuliaHub server is reached", u.Scheme)
	}
	*to = strings.TrimRight(s, "/")
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func setResults(to *string, v any) error {
	s, err := str(v)
	if err == nil {
		err = checkResults(s)
	}
	if err == nil {
		*to = strings.TrimSuffix(s, "/")
	}
	return err
}

// duration is a row of numbers with units.
var (
	duration = regexp.MustCompile(`^(?:\d+(?:\.\d+)?\s*[a-z]+\s*)+$`)
	timePart = regexp.MustCompile(`(\d+(?:\.\d+)?)\s*([a-z]+)`)
)

// maxHours keeps a time limit within a year: more is a slip, or "unlimited".
const maxHours = 366 * 24

// setLimit reads a time limit into whole hours, 0 for unlimited.
func setLimit(to *int, v any) error {
	var minutes float64
	switch v := v.(type) {
	case json.Number:
		h, err := strconv.ParseFloat(string(v), 64)
		if err != nil || math.IsNaN(h) {
			return fail("this must be a number of hours")
		}
		minutes = h * 60
	case string:
		s := strings.ToLower(strings.TrimSpace(v))
		if s == "unlimited" {
			*to = 0
			return nil
		}
		m, ok := parseMinutes(s)
		if !ok {
			e := fail("%q is not a time limit: write \"2h\", \"90m\", \"1d\", a number of hours, or \"unlimited\"", v)
			if near := Nearest(s, []string{"unlimited"}); near != "" {
				e.suggestion = quote(near)
			}
			return e
		}
		minutes = m
	default:
		return fail("this must be a time such as \"2h\", or \"unlimited\", not %s", kind(v))
	}
	// A hair's breadth over the hour is floating point's, not the user's.
	hours := math.Ceil(minutes/60 - 1e-9)
	if minutes <= 0 || hours > maxHours {
		return fail("a time limit is from one hour to a year, or \"unlimited\"")
	}
	*to = int(hours)
	return nil
}

func parseMinutes(s string) (float64, bool) {
	if h, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(h) && !math.IsInf(h, 0) {
		return h * 60, true
	}
	if !duration.MatchString(s) {
		return 0, false
	}
	minutes := 0.0
	for _, m := range timePart.FindAllStringSubmatch(s, -1) {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, false
		}
		switch m[2] {
		case "d", "day", "days":
			minutes += n * 24 * 60
		case "h", "hr", "hrs", "hour", "hours":
			minutes += n * 60
		case "m", "min", "mins", "minute", "minutes":
			minutes += n
		case "s", "sec", "secs", "second", "seconds":
			minutes += n / 60
		default:
			return 0, false
		}
	}
	return minutes, true
}

// read checks that v is a table with no other fields than the key's.
func (k tableValue) read(v any) (map[string]any, valueErrors, error) {
	t, ok := v.(map[string]any)
	if !ok {
		return nil, nil, fail("this must be a table such as %s, not %s", k.example, kind(v))
	}
	var fields []string
	for _, f := range k.fields {
		fields = append(fields, f.Name)
	}
	var wrong valueErrors
	for _, name := range sortedKeys(t) {
		if !slices.Contains(fields, name) {
			wrong = append(wrong, unknownField(name, fields, k.key))
		}
	}
	return t, wrong, nil
}

func unknownField(name string, known []string, in string) *valueError {
	e := fail("%s has no key %q; known are %s", in, name, strings.Join(known, ", "))
	e.path, e.onKey, e.unknown = []string{name}, true, true
	if near := Nearest(name, known); near != "" {
		e.message = fmt.Sprintf("%s has no key %q. Did you mean %q?", in, name, near)
		e.suggestion = near
	}
	return e
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func setNodes(p *Profile, v any) error {
	if _, ok := v.(json.Number); ok {
		var n int
		if err := setInt(&n, v, 1, 1<<20); err != nil {
			return err
		}
		p.NNodes, p.MinNodes = n, 0
		return nil
	}
	t, wrong, err := nodesTable.read(v)
	if err != nil {
		return fail("this must be a number of nodes or a table such as %s, not %s", nodesTable.example, kind(v))
	}
	limits := map[string]int{}
	for _, name := range []string{"min", "max"} {
		n := 0
		switch value, ok := t[name]; {
		case !ok:
			wrong = append(wrong, fail("nnodes needs both min and max: %s", nodesTable.example))
			return wrong
		default:
			if err := setInt(&n, value, 1, 1<<20); err != nil {
				wrong = append(wrong, at(err, name))
			}
		}
		limits[name] = n
	}
	if hard(wrong) {
		return wrong
	}
	if limits["min"] > limits["max"] {
		return append(wrong, at(fail("min is more than max"), "min"))
	}
	p.NNodes, p.MinNodes = limits["max"], limits["min"]
	if p.MinNodes == p.NNodes {
		p.MinNodes = 0 // that is a fixed number: the server wants a minimum below the maximum
	}
	return wrong.orNil()
}

// hard reports whether one of the errors keeps the value from counting: an
// unknown field does not.
func hard(wrong valueErrors) bool {
	return slices.ContainsFunc(wrong, func(e *valueError) bool { return !e.unknown })
}

// reservedEnv are variables that the job's arguments use themselves.
func reservedEnv(name string) bool {
	return name == "jobname" || strings.HasPrefix(strings.ToUpper(name), "JULIAHUB_LSP_")
}

func setEnv(p *Profile, v any) error {
	t, ok := v.(map[string]any)
	if !ok {
		return fail("this must be a table such as %s, not %s", envTable.example, kind(v))
	}
	env := map[string]string{}
	for k, v := range p.Env {
		env[k] = v
	}
	var wrong valueErrors
	for _, name := range sortedKeys(t) {
		var text string
		switch value := t[name].(type) {
		case string:
			text = value
		case json.Number:
			text = string(value)
		case bool:
			text = strconv.FormatBool(value)
		default:
			wrong = append(wrong, at(fail("an environment variable's value must be a string, not %s", kind(value)), name))
			continue
		}
		switch e := fail(""); {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			e.message, e.onKey = fmt.Sprintf("%q cannot be an environment variable's name", name), true
			wrong = append(wrong, at(e, name))
			continue
		case reservedEnv(name):
			e.message, e.onKey = name+" is used by the submission itself; for the job's name use alias", true
			wrong = append(wrong, at(e, name))
			continue
		case strings.ContainsRune(text, 0):
			wrong = append(wrong, at(fail("an environment variable's value must not contain a zero byte"), name))
			continue
		}
		env[name] = text
	}
	p.Env = env
	return wrong.orNil()
}

func setAlias(to *string, v any) error {
	s, err := str(v)
	if err == nil {
		err = checkAlias(s)
	}
	if err == nil {
		*to = s
	}
	return err
}

var (
	uuidForm    = regexp.MustCompile(`^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	juliaForm   = regexp.MustCompile(`^v?(\d+\.\d+(?:\.\d+)?)$`)
	digestForm  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	dnsForm     = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	sharedForm  = regexp.MustCompile(`^@[A-Za-z0-9_#.][A-Za-z0-9_#.+-]*$`)
	portRanges  = [][2]int{{1025, 9008}, {9010, 23399}, {23500, 32767}}
	portMessage = "a port that can be exposed is 1025–9008, 9010–23399 or 23500–32767"
)

func setUUID(to *string, v any) error {
	s, err := str(v)
	if err != nil {
		return err
	}
	if s != "" && !uuidForm.MatchString(s) {
		return fail("%q is not a UUID", s)
	}
	*to = strings.ToLower(s)
	return nil
}

func setJulia(to *string, v any) error {
	if n, ok := v.(json.Number); ok {
		e := fail("a version needs quotes: 1.10 without them is the number 1.1")
		e.suggestion = quote(string(n))
		return e
	}
	s, err := str(v)
	if err != nil {
		return err
	}
	if s == "" {
		*to = ""
		return nil
	}
	m := juliaForm.FindStringSubmatch(s)
	if m == nil {
		return fail("%q is not a Julia version such as \"1.10\"", s)
	}
	*to = m[1]
	return nil
}

func setEnvironment(to *string, v any) error {
	s, err := str(v)
	if err != nil {
		return err
	}
	switch {
	case s == "":
		return fail("this must be \"auto\", \"none\", a directory, or \"@v1.10\"")
	case s[0] == '@' && (!sharedForm.MatchString(s) || strings.Trim(s, "@.") == ""):
		return fail("%q is not the name of a shared environment such as \"@v1.10\"", s)
	}
	*to = s
	return nil
}

func setImage(p *Profile, v any) error {
	t, wrong, err := imageTable.read(v)
	if err != nil {
		return err
	}
	var image Image
	for name, to := range map[string]*string{"product": &image.Product, "name": &image.Name, "tag": &image.Tag, "sha256": &image.SHA256} {
		if value, ok := t[name]; ok {
			if err := setString(to, value); err != nil {
				wrong = append(wrong, at(err, name))
			}
		}
	}
	if image.SHA256 != "" && !digestForm.MatchString(image.SHA256) {
		wrong = append(wrong, at(fail("a digest is sha256: and 64 hex digits in lower case"), "sha256"))
	}
	if image.Product == "" && !hard(wrong) {
		wrong = append(wrong, fail("an image needs a product: %s", imageTable.example))
	}
	if !hard(wrong) {
		p.Image = &image
	}
	return wrong.orNil()
}

func setExpose(p *Profile, v any) error {
	t, wrong, err := exposeTable.read(v)
	if err != nil {
		return err
	}
	expose := Expose{Access: "me"}
	if port, ok := t["port"]; !ok {
		wrong = append(wrong, fail("expose needs a port: %s", exposeTable.example))
	} else if n, ok := whole(port); !ok || !slices.ContainsFunc(portRanges, func(r [2]int) bool { return r[0] <= n && n <= r[1] }) {
		wrong = append(wrong, at(fail("%s", portMessage), "port"))
	} else {
		expose.Port = n
	}
	if access, ok := t["access"]; ok {
		if err := setChoice(&expose.Access, access, accessModes...); err != nil {
			wrong = append(wrong, at(err, "access"))
		}
	}
	if prefix, ok := t["dns-prefix"]; ok {
		if err := setString(&expose.DNSPrefix, prefix); err != nil {
			wrong = append(wrong, at(err, "dns-prefix"))
		} else if !dnsForm.MatchString(expose.DNSPrefix) {
			wrong = append(wrong, at(fail("a host name's part has small letters, digits and hyphens"), "dns-prefix"))
		}
	}
	if !hard(wrong) {
		p.Expose = &expose
	}
	return wrong.orNil()
}
