package settings

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/internal/tomlpos"
)

// example is the file of the docs.
const exampleFile = `server = "juliahub.com"
default-profile = "small"
results = "out/juliahub"

[profile.small]
ncpu = 2
memory = 8                          # GB
timelimit = "2h"
env = { BASE = "x", N = 4 }

[profile.gpu]
inherits = "small"
ngpu = 1
image = { product = "standard-batch", name = "Julia" }
sysimage = true
nnodes = 4
elastic = false
process-per-node = true
env = { DATASET = "big", RATE = 1.10, FLAG = true }
alias = "train {file} {branch}"
project = "7ed96f69-a765-4de6-ac00-04a38684ce1c"
expose = { port = 8080, access = "me" }
environment = "auto"
julia = "1.10"
download = ["*.png", "**/*.csv"]
`

func hub(text, profile string) (Settings, []Problem) {
	return Resolve(Layers{HubPath: "/p/JuliaHub.toml", HubText: []byte(text), Profile: profile})
}

func TestExample(t *testing.T) {
	s, problems := hub(exampleFile, "")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if s.ProfileName != "small" || s.Server != "juliahub.com" || !s.ServerFromFile || s.ResultsDirectory != "out/juliahub" || s.ResultsBase != filepath.FromSlash("/p") {
		t.Errorf("%+v", s)
	}
	if !reflect.DeepEqual(s.Profiles, []string{"small", "gpu"}) || s.Profile.LimitHours != 2 || s.Profile.NGPU != 0 || s.Profile.Env["N"] != "4" {
		t.Errorf("%+v", s)
	}
	s, problems = hub(exampleFile, "gpu")
	want := Profile{
		NCPU: 2, Memory: 8, NGPU: 1, LimitHours: 2, NNodes: 4, ProcessPerNode: true,
		Env:   map[string]string{"BASE": "x", "N": "4", "DATASET": "big", "RATE": "1.10", "FLAG": "true"},
		Alias: "train {file} {branch}", Project: "7ed96f69-a765-4de6-ac00-04a38684ce1c",
		Image: &Image{Product: "standard-batch", Name: "Julia"}, Sysimage: true, Expose: &Expose{Port: 8080, Access: "me"},
		Environment: "auto", Julia: "1.10", Download: []string{"*.png", "**/*.csv"},
	}
	if len(problems) > 0 || !reflect.DeepEqual(s.Profile, want) {
		t.Errorf("%v\n got %+v\nwant %+v", problems, s.Profile, want)
	}
}

func TestHubProfile(t *testing.T) {
	h := ParseHub([]byte(exampleFile))
	if p, ok := h.Profile("gpu"); !ok || p.NCPU != 2 || p.NGPU != 1 || p.LimitHours != 2 {
		t.Errorf("%+v, %v", p, ok)
	}
	if _, ok := h.Profile("none"); ok {
		t.Error("a profile out of nothing")
	}
}

func TestDefaults(t *testing.T) {
	s, problems := Resolve(Layers{})
	want := Settings{
		ResultsDirectory: "juliahub-results", CodeLensEnabled: true, DiagnosticsJobStatus: "all", DiagnosticsHints: true,
		ProgressJobs: true, CancelKillsJob: "ask", Provenance: true, Trace: "off",
		Profile: Profile{NCPU: 1, Memory: 1, LimitHours: 1, NNodes: 1, Environment: "auto", Env: map[string]string{}},
	}
	if len(problems) > 0 || !reflect.DeepEqual(s, want) {
		t.Errorf("%v\n got %+v\nwant %+v", problems, s, want)
	}
}

func TestLayers(t *testing.T) {
	l := Layers{
		Editor:  json.RawMessage(`{"server":"a.test","profile":"none-such","results":{"directory":"editor","autoDownload":true},"codeLens.enabled":false,"cancelKillsJob":"never","trace":{"server":"verbose"},"saveBeforeSubmit":null}`),
		HubPath: "/p/JuliaHub.toml", HubText: []byte("[profile.a]\nncpu = 4\nmemory = 16\nnnodes = {min = 2, max = 8}\nenv = {A = \"1\"}\n"),
		Profile: "a",
		Args:    map[string]json.RawMessage{"ncpu": []byte("8"), "timelimit": []byte(`"90m"`), "env": []byte(`{"B":2.50}`), "image": []byte("null")},
	}
	s, problems := Resolve(l)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p := s.Profile
	if p.NCPU != 8 || p.Memory != 16 || p.LimitHours != 2 || p.NNodes != 8 || p.MinNodes != 2 || p.Env["A"] != "1" || p.Env["B"] != "2.50" || p.Image != nil {
		t.Errorf("%+v", p)
	}
	if s.Server != "a.test" || s.ServerFromFile || s.ResultsDirectory != "editor" || !s.ResultsAutoDownload || s.CodeLensEnabled || s.CancelKillsJob != "never" || s.Trace != "verbose" {
		t.Errorf("%+v", s)
	}
	l.HubText = []byte("server = \"http://127.0.0.1:8080\"\nresults = \"file\"\n" + string(l.HubText))
	if s, _ = Resolve(l); s.Server != "http://127.0.0.1:8080" || !s.ServerFromFile || s.ResultsDirectory != "file" {
		t.Errorf("%+v", s)
	}
	l.HubText = []byte("server = \"\"\n")
	if s, _ = Resolve(l); s.Server != "a.test" || s.ServerFromFile {
		t.Errorf("an empty server counts: %+v", s)
	}
}

// TestProblems checks message and place: the range is given by ‹› in the text.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ text, code, message, suggestion string }{
		{"[profile.a]\nncpu = ‹\"four\"›", CodeHubValue, "This must be a whole number, not a string.", ""},
		{"[profile.a]\nncpu = ‹\"4\"› # c", CodeHubValue, "This must be a whole number, not a string.", "4"},
		{"[profile.a]\nncpu = ‹0›", CodeHubValue, "This must be at least 1.", ""},
		{"[profile.a]\nncpu = ‹2.5›\n", CodeHubValue, "This must be a whole number.", ""},
		{"[profile.a]\nngpu = ‹2›\n", CodeHubValue, "This must be from 0 to 1.", ""},
		{"[profile.a]\n‹ncpus› = 2\n", CodeHubKey, `There is no key "ncpus" here. Did you mean "ncpu"?`, "ncpu"},
		{"[profile.a]\n‹time_limit› = 2\n", CodeHubKey, `There is no key "time_limit" here. Did you mean "timelimit"?`, "timelimit"},
		{"[profile.a]\n‹\"nodes\"› = 2\n", CodeHubKey, `There is no key "nodes" here. Did you mean "nnodes"?`, "nnodes"},
		{"[‹profiles›.a]\nncpu = 2\n[profiles.b]\n", CodeHubKey, `There is no key "profiles" here. Did you mean "profile"?`, "profile"},
		{"‹ncpu› = 2", CodeHubKey, `"ncpu" says how a job runs: it belongs into a table [profile.NAME].`, ""},
		{"[profile.a]\n‹server› = \"x\"", CodeHubKey, `"server" belongs to the top of the file, before the first [table].`, ""},
		{"[profile]\n‹ncpu› = 2", CodeHubValue, `"ncpu" needs a profile's name above it: [profile.NAME].`, ""},
		{"[profile.a]\nimage = { product = \"b\", ‹nam› = \"x\" }", CodeHubKey, `image has no key "nam". Did you mean "name"?`, "name"},
		{"[profile.a]\nimage = ‹{ name = \"x\" }›", CodeHubValue, `An image needs a product: { product = "standard-batch", name = "Julia" }.`, ""},
		{"[profile.a.image]\nproduct = \"b\"\nsha256 = ‹'x'›", CodeHubValue, "A digest is sha256: and 64 hex digits in lower case.", ""},
		{"[profile.a]\n  expose.port = ‹9009›\r\n", CodeHubValue, "A port that can be exposed is 1025–9008, 9010–23399 or 23500–32767.", ""},
		{"[profile.a]\nexpose = { access = \"me\", port = 8080, }\nalias = \"😀 {‹›", CodeHubSyntax, "", ""},
		{"[profile.a]\nexpose = { port = 8080, access = ‹\"logged_in\"› }", CodeHubValue, `"logged_in" is not one of me, logged-in, public, password. Did you mean "logged-in"?`, `"logged-in"`},
		{"[profile.a.‹expose›]\naccess = \"me\"", CodeHubValue, "expose needs a port: { port = 8080, access = \"me\" }.", ""},
		{"[profile.a]\nalias = ‹\"😀 {fiel}\"›", CodeHubValue, "{fiel} means nothing here; known are {file} {project} {branch} {commit} {date} {profile}. Did you mean {file}?", `"😀 {file}"`},
		{"[profile.a]\nenv = { \"😀\" = \"x\", B = ‹[1]› }", CodeHubValue, "An environment variable's value must be a string, not a list.", ""},
		{"[profile.a]\nenv = { ‹jobname› = \"x\" }", CodeHubValue, "Jobname is used by the submission itself; for the job's name use alias.", ""},
		{"[profile.a]\nenv.API_TOKEN = ‹\"3fa9c2e1b7\"›", CodeHubSecret, "This looks like a secret. JuliaHub.toml is meant to be shared: keep secrets out of it, and let the job get them another way.", ""},
		{"[profile.a]\nenv.X = ‹\"ghp_0123456789abcdefghijklmnopqrstuvwxyz\"›", CodeHubSecret, "This looks like a secret. JuliaHub.toml is meant to be shared: keep secrets out of it, and let the job get them another way.", ""},
		{"[profile.a]\njulia = ‹1.10›", CodeHubValue, "A version needs quotes: 1.10 without them is the number 1.1.", `"1.10"`},
		{"[profile.a]\ntimelimit = ‹\"soon\"›", CodeHubValue, `"soon" is not a time limit: write "2h", "90m", "1d", a number of hours, or "unlimited".`, ""},
		{"[profile.a]\ntimelimit = ‹0›", CodeHubValue, `A time limit is from one hour to a year, or "unlimited".`, ""},
		{"[profile.a]\ndownload = [\n  \"*.png\", # pictures\n  ‹7›,\n]", CodeHubValue, "This must be a string, not a number.", ""},
		{"[profile.a]\ndownload = ‹\"*.png\"›", CodeHubValue, "This must be a list of strings, not a string.", `["*.png"]`},
		{"[profile.a]\nnnodes = { min = ‹4›, max = 2 }", CodeHubValue, "min is more than max.", ""},
		{"[profile.a]\nnnodes = ‹{ min = 4 }›", CodeHubValue, "nnodes needs both min and max: { min = 2, max = 4 }.", ""},
		{"[profile.a]\nnnodes = { min = 2, max = 4 }\n[profile.b]\ninherits = \"a\"\nelastic = ‹true›", CodeHubValue, "elastic and a least number of nodes exclude each other: elastic does not count.", ""},
		{"[profile.a]\ninherits = ‹\"b\"›\n[profile.c]\ninherits = \"c2\"\n[profile.c2]", CodeHubInherits, `There is no profile "b"; JuliaHub.toml has a, c, c2.`, ""},
		{"[profile.small]\n[profile.b]\ninherits = ‹\"smal\"›", CodeHubInherits, `There is no profile "smal". Did you mean "small"?`, `"small"`},
		{"default-profile = ‹\"smal\"›\n[profile.small]", CodeNoProfile, `There is no profile "smal". Did you mean "small"?`, `"small"`},
		{"results = ‹\"../out\"›", CodeHubValue, `"../out" must not contain "..": results stay below the directory of JuliaHub.toml.`, ""},
		{"results = ‹'.'›", CodeHubValue, `The results need a directory of their own below this one, such as "juliahub-results".`, ""},
		{"results = ‹\"\"\"/out\"\"\"›", CodeHubValue, `"/out" must be relative to the directory of JuliaHub.toml, with / between names.`, ""},
		{"server = ‹\"https://juliahub.com/ui\"›", CodeHubValue, "A server is a host name alone, without a path.", `"juliahub.com"`},
		{"server = ‹\"http://juliahub.com\"›", CodeHubValue, "http:// is allowed for this machine only.", `"juliahub.com"`},
		{"\ufeffserver = ‹3›", CodeHubValue, "This must be a string, not a number.", ""},
		{"\ufeff# é 😀\n‹servr› = \"x\"", CodeHubKey, `There is no key "servr" here. Did you mean "server"?`, "server"},
		{"[profile.a]\nenv.DB_PASSWORD = ‹48201937›", CodeHubSecret, "This looks like a secret. JuliaHub.toml is meant to be shared: keep secrets out of it, and let the job get them another way.", ""},
		{"[profile.‹\"\"›]\nncpu = 2", CodeHubValue, "A profile needs a name: [profile.NAME].", ""},
		{"[profile]\n‹\"a b\"› = 2", CodeHubValue, "A profile is a table: [profile.\"a b\"].", ""},
		{"[profile.a]\nenvironment = ‹\"no/where\"›", CodeHubValue, `There is no Project.toml in "no/where".`, ""},
		{"[bundle]\n‹hosts› = []", CodeHubKey, `There is no key "hosts" here; known are public-git-hosts.`, ""},
		{"[bundle]\npublic-git-hosts = [\"github.com\", ‹\"a b\"›]", CodeHubValue, `"a b" is not a host name.`, ""},
		{"‹[[›profile]]", "", "", ""},
	} {
		text := strings.NewReplacer("‹", "", "›", "").Replace(c.text)
		_, problems := hub(text, "")
		if len(problems) == 0 {
			t.Errorf("%q: nothing found", c.text)
			continue
		}
		p := problems[0]
		if c.code == "" {
			continue
		}
		if c.code != CodeHubSyntax {
			if got := mark(text, p); got != c.text {
				t.Errorf("place %q, want %q", got, c.text)
			}
			if p.Message != c.message || p.Suggestion != c.suggestion {
				t.Errorf("%q:\n%s (%s), want\n%s (%s)", c.text, p.Message, p.Suggestion, c.message, c.suggestion)
			}
		}
		if p.Code != c.code || len(problems) > 2 || len(problems) == 2 && c.code != CodeHubInherits && c.code != CodeHubKey {
			t.Errorf("%q: %+v", c.text, problems)
		}
	}
}

// mark writes a problem's range into a text.
func mark(text string, p Problem) string {
	l := tomlpos.Scan(text)
	from, to := l.Offset(p.Line, p.Col), l.Offset(p.EndLine, p.EndCol)
	if to < from {
		return fmt.Sprintf("backwards: %+v", p)
	}
	return text[:from] + "‹" + text[from:to] + "›" + text[to:]
}

func TestSyntaxErrors(t *testing.T) {
	for _, text := range []string{
		"‹ncpu =› \n", "a = 1\r\n  ‹b =› \r\nc = 2", "a = 1\n‹a› = 2\n", "[x]\n[y]\n[‹x›]\na = 1", "a = {b=1, ‹b›=2}", "‹é› = \"😀\" x\n", "\ufeffa = 1\n‹b =›\n", "a = 1\n‹\x01›\n",
		"a = ‹trou›\n", "a = \"‹x\\q›\"\n",
	} {
		plain := strings.NewReplacer("‹", "", "›", "").Replace(text)
		s, problems := hub(plain, "")
		if len(problems) != 1 || problems[0].Code != CodeHubSyntax {
			t.Errorf("%q: %+v", text, problems)
			continue
		}
		if got := mark(plain, problems[0]); got != text {
			t.Errorf("place %q, want %q: %s", got, text, problems[0].Message)
		}
		if s.Profile.NCPU != 1 {
			t.Errorf("%q counts", text)
		}
	}
}

func TestWrongValuesLeaveTheLayerBelow(t *testing.T) {
	s, problems := hub(`
[profile.base]
ncpu = 4
image = { product = "p" }
env = { A = "1" }
download = ["*.png"]
[profile.x]
inherits = "base"
ncpu = "many"
memory = -1
image = { produkt = "q" }
env = { A = [], B = "2" }
expose = { port = 80 }
download = ["*.csv", 7]
`, "x")
	if len(problems) != 7 {
		t.Errorf("%d problems: %+v", len(problems), problems)
	}
	p := s.Profile
	if p.NCPU != 4 || p.Memory != 1 || p.Image == nil || p.Image.Product != "p" || p.Env["A"] != "1" || p.Env["B"] != "2" || p.Expose != nil || len(p.Download) != 1 || p.Download[0] != "*.png" {
		t.Errorf("%+v", p)
	}
}

func TestProfileOfABrokenFile(t *testing.T) {
	s, problems := hub("[profile.a]\nncpu = \n", "a")
	if len(problems) != 2 || problems[1].Layer != LayerArgs || !strings.Contains(problems[1].Message, "not valid TOML") || s.ProfileName != "" || s.Profiles != nil {
		t.Errorf("%+v %+v", s, problems)
	}
}

func TestInheritanceCycles(t *testing.T) {
	s, problems := hub("[profile.a]\ninherits='b'\nncpu=2\n[profile.b]\ninherits='c'\nmemory=4\n[profile.c]\ninherits='b'\n[profile.d]\ninherits='d'\n", "a")
	var keys []string
	for _, p := range problems {
		keys = append(keys, p.Key+": "+p.Message)
	}
	want := []string{
		`profile.b.inherits: Profile "b" inherits from itself: b → c → b.`,
		`profile.c.inherits: Profile "c" inherits from itself: c → b → c.`,
		`profile.d.inherits: Profile "d" inherits from itself: d → d.`,
	}
	if !reflect.DeepEqual(keys, want) {
		t.Errorf("%q", keys)
	}
	if s.Profile.NCPU != 2 || s.Profile.Memory != 4 {
		t.Errorf("%+v", s.Profile)
	}
}

func TestOtherLayersProblems(t *testing.T) {
	_, problems := Resolve(Layers{
		Editor:  json.RawMessage(`{"cancelKillsJob":"allways","codeLens":{"enable":true},"results.autoDownload":"true","nonsense":1}`),
		Profile: "gpuu", HubPath: "/p/JuliaHub.toml", HubText: []byte("[profile.gpu]\n"),
		Args: map[string]json.RawMessage{"ncpus": []byte("1"), "ngpu": []byte("3"), "inherits": []byte(`"gpu"`)},
	})
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%s %s %s %s", p.Layer, p.Key, p.Code, p.Suggestion))
	}
	want := []string{
		"editor juliahub.results.autoDownload setting-value true",
		"editor juliahub.cancelKillsJob setting-value \"always\"",
		"editor juliahub.codeLens.enable setting-unknown juliahub.codeLens.enabled",
		"editor juliahub.nonsense setting-unknown ",
		"arguments profile no-profile gpu",
		"arguments inherits argument-value ",
		"arguments ncpus argument-value ncpu",
		"arguments ngpu argument-value ",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	for _, section := range []string{"[]", "7", "{"} {
		if _, p := Resolve(Layers{Editor: json.RawMessage(section)}); len(p) != 1 {
			t.Errorf("%s: %+v", section, p)
		}
	}
	if _, p := Resolve(Layers{Editor: json.RawMessage("null")}); len(p) != 0 {
		t.Errorf("null: %+v", p)
	}
}

func TestTimeLimits(t *testing.T) {
	for text, want := range map[string]int{
		`"2h"`: 2, `"90m"`: 2, `"60m"`: 1, `"61m"`: 2, `"1h30m"`: 2, `"1h 30 min"`: 2, `"1d"`: 24, `"unlimited"`: 0, `"3"`: 3, `3`: 3,
		`2.5`: 3, `"0.5h"`: 1, `"3600s"`: 1, `"1.1h"`: 2, `" 2 Hours "`: 2, `"8784h"`: 8784,
	} {
		s, problems := Resolve(Layers{Args: map[string]json.RawMessage{"timelimit": []byte(text)}})
		if len(problems) > 0 || s.Profile.LimitHours != want {
			t.Errorf("%s: %d, want %d; %v", text, s.Profile.LimitHours, want, problems)
		}
	}
	for _, text := range []string{`"-1h"`, `-1`, `"h"`, `"2x"`, `""`, `true`, `"0m"`, `1e9`, `"NaN"`, `"1e400"`, `[1]`} {
		s, problems := Resolve(Layers{Args: map[string]json.RawMessage{"timelimit": []byte(text)}})
		if len(problems) != 1 || s.Profile.LimitHours != 1 {
			t.Errorf("%s counts as %d: %v", text, s.Profile.LimitHours, problems)
		}
	}
}

func TestExpandAlias(t *testing.T) {
	v := AliasValues{File: "a.jl", Project: "P", Branch: "main", Commit: "0123456789abcdef", Profile: "gpu", Time: time.Date(2026, 3, 4, 23, 0, 0, 0, time.UTC)}
	for template, want := range map[string]string{
		"train {file} {branch}": "train a.jl main", "{project}-{commit}-{date} {profile}": "P-01234567-2026-03-04 gpu", "{other} {": "{other} {", "": "",
	} {
		if got := ExpandAlias(template, v); got != want {
			t.Errorf("%q: %q, want %q", template, got, want)
		}
	}
	if got := ExpandAlias("run {branch} {file}", AliasValues{File: "b.jl"}); got != "run b.jl" {
		t.Errorf("outside git: %q", got)
	}
}

func TestFindHubFile(t *testing.T) {
	top := t.TempDir()
	home := filepath.Join(top, "home")
	deep := filepath.Join(home, "p", "src", "x")
	if err := os.MkdirAll(filepath.Join(deep, HubFile), 0o755); err != nil { // a directory of that name is none
		t.Fatal(err)
	}
	write := func(dir string) string {
		file := filepath.Join(dir, HubFile)
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write(top)
	if got := FindHubFile(deep, home); got != "" {
		t.Errorf("past home: %q", got)
	}
	atHome := write(home)
	if got := FindHubFile(deep, home+string(filepath.Separator)); got != atHome {
		t.Errorf("at home: %q", got)
	}
	near := write(filepath.Join(home, "p"))
	if got := FindHubFile(deep, home); got != near {
		t.Errorf("nearest: %q", got)
	}
}

func TestResultsDir(t *testing.T) {
	base, outside := t.TempDir(), t.TempDir()
	for _, link := range [][2]string{{outside, "out"}, {base, "self"}, {filepath.Join(base, "gone"), "dangling"}, {filepath.Join(base, "real"), "inner"}} {
		if err := os.Symlink(link[0], filepath.Join(base, link[1])); err != nil {
			t.Skipf("this system makes no links: %v", err)
		}
	}
	if err := os.Mkdir(filepath.Join(base, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	for rel, ok := range map[string]bool{"results": true, "a/b/c": true, "real/x": true, "inner/x": true, "out": false, "out/x": false, "self": false, "dangling/x": false, "..": false, "a/../b": false, ".": false, "": false, "/x": false, `a\b`: false, "c:x": false, "~/x": false, ".git/x": false, "a/.GIT": false,
		"C:/x": false, "//host/share": false, "a:b": false, "...": false, "a/.. ": false, "a.": false, "nul": false, "a/COM1.txt": false, "a\tb": false, "a*": false, "console": true, "é/ü 1": true, ".hidden": true, "a/./b/": true} {
		got, err := ResultsDir(base, rel)
		if (err == nil) != ok || ok && got != filepath.Join(base, filepath.FromSlash(rel)) {
			t.Errorf("%q: %q, %v", rel, got, err)
		}
	}
	_, problems := Resolve(Layers{HubPath: filepath.Join(base, HubFile), HubText: []byte(`results = "out/x"`)})
	if len(problems) != 1 || problems[0].Col != 10 || problems[0].EndCol != 17 {
		t.Errorf("a link out is not reported: %+v", problems)
	}
}

func TestLooksSecret(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        bool
	}{
		{"DB_PASSWORD", "hunter2", true}, {"api_key", "abc123", true}, {"TOKEN", "x-y-z", true},
		{"URL", "postgres://me:pw@host/db", true}, {"X", "AKIAABCDEFGHIJKLMNOP", true}, {"X", "-----BEGIN RSA PRIVATE KEY-----", true},
		{"PGPASSWORD", "hunter22", true}, {"githubToken", "abcdef12", true}, {"DB_PASS", "hunter22", true}, {"SECRETKEY", "abc123", true}, {"X", "hf_0123456789abcdefghijklmnopqrstuvwxyz", true}, {"X", "Bearer 0123456789abcdefghij.x", true},
		{"COMPASS", "north", false}, {"BYPASS", "no-cache", false}, {"PASSES", "many", false}, {"PATH", "bin", false}, {"X", "bearer of news", false}, {"KEY", "x", false},
		{"TOKENS", "32", false}, {"TOKEN", "", false}, {"TOKEN_FILE", "/run/secrets/x", false}, {"MAX_TOKEN", "128", false}, {"URL", "https://host/path", false}, {"AUTHOR", "me", false}, {"DATASET", "big", false},
	} {
		if got := LooksSecret(c.name, c.value); got != c.want {
			t.Errorf("%s=%s: %v", c.name, c.value, got)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys {
		if k.Name == "" && k.Editor == "" || k.Doc == "" || k.Type == "" || k.set == nil && k.Name != "inherits" || k.Name != "" && k.Example == "" {
			t.Errorf("row %+v is not whole", k)
		}
		for _, id := range []string{k.Editor, fmt.Sprint(k.Profile, k.Name)} {
			if seen[id] && !strings.HasSuffix(id, "false") && id != "" {
				t.Errorf("%s is there twice", id)
			}
			seen[id] = true
		}
		if k.Example == "" || k.Name == "inherits" {
			continue
		}
		text := k.Name + " = " + k.Example
		if k.Profile {
			text = "[profile.small]\n" + text
		} else if k.Name == "default-profile" {
			text += "\n[profile.small]"
		}
		if _, problems := hub(text, ""); len(problems) > 0 {
			t.Errorf("the example of %s is wrong: %+v", k.Name, problems)
		}
	}
	var manifest map[string]map[string]any
	properties, err := PackageProperties()
	if err == nil {
		err = json.Unmarshal(properties, &manifest)
	}
	if err != nil || manifest["juliahub.cancelKillsJob"]["default"] != "ask" || len(manifest["juliahub.cancelKillsJob"]["enum"].([]any)) != 3 {
		t.Errorf("%v: %s", err, properties)
	}
	page := Markdown()
	for _, k := range Keys {
		if !strings.Contains(page, "`"+k.Name+k.Editor+"`") && !strings.Contains(page, "`"+k.Name+"`") {
			t.Errorf("%s%s is not in the docs", k.Name, k.Editor)
		}
	}
}

// FuzzHub looks for panics and for ranges outside the text.
func FuzzHub(f *testing.F) {
	for _, seed := range []string{exampleFile, "[[profile]]\na=1", "a.b.'c d'.\"e\\u0041\" = [[1,{x=2}], '''y''']\n", "[profile.a]\r\nenv={", "= 3\n]\n[", "\"\"\"", "\ufeffa = 😀"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, problems := hub(text, "a")
		l := tomlpos.Scan(text)
		h := ParseHub([]byte(text))
		for _, name := range h.Profiles {
			h.Profile(name)
		}
		for at := 0; at < len(text); at += 1 + len(text)/50 {
			h.Choices(h.At(l.Position(at)))
		}
		ParseHub(Mend([]byte(text)))
		for _, p := range problems {
			if p.Line < 0 || p.Col < 0 || p.EndLine < p.Line || p.EndLine >= strings.Count(text, "\n")+1 || p.EndLine == p.Line && p.EndCol < p.Col {
				t.Errorf("%q: %+v", text, p)
			}
		}
		for _, e := range l.Entries {
			if e.Key.From > e.Key.To || e.Value.From > e.Value.To || e.Value.To > len(text) || e.Key.To > len(text) {
				t.Errorf("%q: %+v", text, e)
			}
		}
	})
}
