package emulator

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestJuliaRunsAScript(t *testing.T) {
	b := open(t, Config{Julia: realJulia(t)})
	id := b.job(with(script(`
		import Logging
		println("args ", ENV["A"], " ", PROGRAM_FILE == @__FILE__, " ", basename(@__FILE__))
		print("no newline, then "); @info "a record" answer=42 text="x\"y" missing=nothing nan=NaN list=[1,2]
		@debug "not shown"
		Logging.@logmsg Logging.LogLevel(-1) "simulating" progress=0.5 _id=:bar
		for i in 1:3; @warn "once" maxlog=1; end
		try error("inner") catch e; @error "caught" exception=(e, catch_backtrace()) end
		write(stderr, "on stderr\n")
		ENV["RESULTS"] = "{\"pi\":3.14}"
		mkdir("out"); write("out/a.txt", "aa"); write("out/b.txt", "bb")
		ENV["RESULTS_FILE"] = "out"
		f() = error("boom")
		f()
	`), "args", `{"A":"b c","jobname":"x"}`))
	d := b.ended(id, failed)
	if d["outputs"] != `{"pi":3.14}` {
		t.Errorf("outputs: %v", d["outputs"])
	}
	if got := files(d); got != "code.jl (input), code.jl (source), out.tar.gz (result)" {
		t.Errorf("files: %s", got)
	}
	if got := untar(t, b.do("GET", "/jobs/"+id+"/files/out.tar.gz?filetype=result", nil).body); got != "a.txt=aa b.txt=bb" {
		t.Errorf("packed results: %s", got)
	}
	log := b.text(id)
	for _, want := range []string{
		"<top>\nThis job runs for real, with Julia ", "\nargs b c true code.jl\nno newline, then \na record\nsimulating\nonce\ncaught\non stderr\n",
		"boom\n", "code.jl:13\n", "code.jl:14\n", "\n<bottom>\n",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	page := b.page(id, "")
	check := func(text, what string, want any) {
		t.Helper()
		for _, m := range page {
			if m["message"] == text {
				keywords, _ := m["keywords"].(map[string]any)
				metadata, _ := m["metadata"].(map[string]any)
				got, ok := metadata[what]
				if !ok {
					got = keywords[what]
				}
				if path, ok := got.(string); ok && what == "filepath" {
					got = filepath.Base(path)
				}
				if got != want {
					t.Errorf("%s: %s is %v, want %v", text, what, got, want)
				}
				return
			}
		}
		t.Errorf("no message %q", text)
	}
	check("a record", "level", "Info")
	check("a record", "filepath", "code.jl")
	check("a record", "line", 4.0)
	check("a record", "_module", "Main")
	check("a record", "answer", 42.0)
	check("a record", "text", `x"y`)
	check("a record", "missing", nil)
	check("a record", "nan", "NaN")
	check("a record", "jrun_worker_id", 1.0)
	check("simulating", "level", -1.0)
	check("simulating", "progress", 0.5)
	check("simulating", "id", "bar")
	check("caught", "level", "Error")
	check("on stderr", "filepath", "master_startup.jl")
	check("on stderr", "_module", "Main.JuliaRunJob")
}

// untar lists a gzipped tarball as NAME=CONTENT.
func untar(t *testing.T, data string) string {
	t.Helper()
	gz, err := gzip.NewReader(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return listTar(t, gz)
}

func listTar(t *testing.T, in io.Reader) string {
	t.Helper()
	var list []string
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if err == io.EOF {
			return strings.Join(list, " ")
		} else if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := io.Copy(&b, r); err != nil {
			t.Fatal(err)
		}
		list = append(list, h.Name+"="+b.String())
	}
}

const moduleHelper = `module Helper
greet() = "hello from Helper"
end
`

// modern is a manifest as today's Julia writes it: format 2.0, with standard
// libraries that Julia 1.5 does not have.
const modern = `# This file is machine-generated - editing it directly is not advised

julia_version = "1.10.4"
manifest_format = "2.0"
project_hash = "da39a3ee5e6b4b0d3255bfef95601890afd80709"

[[deps.Artifacts]]
uuid = "56f22d72-fd6d-98f1-02f0-08ddc0907c33"

[[deps.CompilerSupportLibraries_jll]]
deps = ["Artifacts", "Libdl"]
uuid = "e66e0078-7015-5450-92f7-15fbd957f2ae"
version = "1.1.1+0"

[[deps.Helper]]
path = ".bundle/dev/Helper"
uuid = "7b1c7b5e-36f5-4f7c-8d8a-1e2f3a4b5c6d"
version = "0.1.0"

[[deps.Libdl]]
uuid = "8f399da3-3557-5675-b5ff-fb832c97cbdb"

[[deps.LinearAlgebra]]
deps = ["Libdl", "OpenBLAS_jll", "libblastrampoline_jll"]
uuid = "37e2e46d-f89d-539d-b4ee-838fcccc9c8e"

[[deps.OpenBLAS_jll]]
deps = ["Artifacts", "CompilerSupportLibraries_jll", "Libdl"]
uuid = "4536629a-c528-5b80-bd46-f80d51c5b363"
version = "0.3.23+4"

[[deps.libblastrampoline_jll]]
deps = ["Artifacts", "Libdl"]
uuid = "8e850b90-86db-534c-a0d3-1478176c7d93"
version = "5.8.0+1"
`

func TestJuliaRunsABundle(t *testing.T) {
	b := open(t, Config{Julia: realJulia(t)})
	content := map[string]string{
		"app/Project.toml":                     "[deps]\nHelper = \"7b1c7b5e-36f5-4f7c-8d8a-1e2f3a4b5c6d\"\nLinearAlgebra = \"37e2e46d-f89d-539d-b4ee-838fcccc9c8e\"\n",
		"app/Manifest.toml":                    modern,
		"app/.bundle/dev/Helper/Project.toml":  "name = \"Helper\"\nuuid = \"7b1c7b5e-36f5-4f7c-8d8a-1e2f3a4b5c6d\"\nversion = \"0.1.0\"\n",
		"app/.bundle/dev/Helper/src/Helper.jl": moduleHelper,
		"app/.bundle/depot/artifacts/":         "",
		"app/data/numbers.txt":                 "1 2 3",
		"app/src/main.jl": `using Helper, LinearAlgebra
			println(Helper.greet(), " ", norm([3, 4]), " ", basename(pwd()))
			println("depots ", length(DEPOT_PATH), " ", endswith(DEPOT_PATH[2], joinpath(".bundle", "depot")))
			total = sum(parse.(Int, split(read(joinpath(@__DIR__, "..", "data", "numbers.txt"), String))))
			write(ENV["JULIAHUB_RESULTS_SUMMARY_FILE"], "{\"total\": $total}")
			write(joinpath(ENV["JULIAHUB_RESULTS_UPLOAD_DIR"], "total.bin"), UInt8[total, 0, 255])
		`,
	}
	driver := `include(abspath(pwd(), "src", "main.jl"))`
	id := b.job(b.bundle(driver, tarball(t, content)))
	d := b.ended(id, completed)
	log := b.text(id)
	if !strings.Contains(log, "hello from Helper 5.0 app\ndepots 2 true\n") {
		t.Errorf("log:\n%s", log)
	}
	if b.julia.version.before(1, 6, 2) && (!strings.Contains(log, "Manifest.toml is of manifest format 2, which Julia") || !strings.Contains(log, "OpenBLAS_jll")) {
		t.Errorf("the log does not say that the manifest was written down:\n%s", log)
	}
	if d["outputs"] != `{"total": 6}` {
		t.Errorf("outputs: %v", d["outputs"])
	}
	if got := files(d); got != "Manifest.toml (project), Project.toml (project), appbundle.tar (input), code.jl (input), code.jl (source), total.bin (result)" {
		t.Errorf("files: %s", got)
	}
	if a := b.do("GET", "/jobs/"+id+"/files/total.bin?filetype=result", nil); a.body != "\x06\x00\xff" {
		t.Errorf("result: %q", a.body)
	}
	if a := b.do("GET", "/jobs/"+id+"/files/Manifest.toml?filetype=project", nil); a.body != modern {
		t.Errorf("what was sent does not stay as it is:\n%s", a.body)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "jobs", id, "work")); err == nil {
		t.Error("the job's directory is still there")
	}
}

func TestJuliaOldLayoutAndSeveralResults(t *testing.T) {
	b := open(t, Config{Julia: realJulia(t), OldLayout: true})
	data := tarball(t, map[string]string{"app/Project.toml": "[deps]\n", "app/main.jl": `
		dir = ENV["JULIAHUB_RESULTS_UPLOAD_DIR"]
		mkpath(joinpath(dir, "sub")); write(joinpath(dir, "a"), "1"); write(joinpath(dir, "sub", "b"), "2")
	`})
	id := b.job(b.bundle(`include(abspath(pwd(), "appbundle", "main.jl"))`, data))
	d := b.ended(id, completed)
	if !strings.Contains(files(d), "results.tar (result)") {
		t.Errorf("files: %s", files(d))
	}
	if got := listTar(t, strings.NewReader(b.do("GET", "/jobs/"+id+"/files/results.tar?filetype=result", nil).body)); got != "a=1 sub/=" && got != "a=1 sub/= sub/b=2" {
		t.Errorf("results: %s", got)
	}
}

func TestJuliaEnvironmentThatCannotBeInstantiated(t *testing.T) {
	b := open(t, Config{Julia: realJulia(t)})
	id := b.job(with(script("println(1)"), "projecttoml", "[deps]\nExample = \"7876af07-990d-54b4-ab0e-23690620f79a\"\n"))
	b.ended(id, failed)
	if log := b.text(id); !strings.Contains(log, "could not be instantiated") || strings.Contains(log, "\n1\n") {
		t.Errorf("log:\n%s", log)
	}
}

// JuliaHub.jl takes the quotes off the answer of get_logs, and one level of
// escapes from it and from inputs, by Julia's own rules instead of JSON's.
func TestAnswersSurviveJuliasUnescaping(t *testing.T) {
	julia := realJulia(t)
	b, ends := scripted(t, Config{})
	tricky := "quote \" backslash \\ n \\n dollar $x tab \t bell \a nul \x00 del \x7f < & > \u2028 \u00e9 \U0001f600 bad \xff"
	args, err := json.Marshal(map[string]string{"A": strings.ReplaceAll(tricky, "\x00", "")})
	if err != nil {
		t.Fatal(err)
	}
	id := b.job(with(script("1"), "args", string(args)))
	b.await(id, working)
	b.jobs.get(id).logLine(b.now(), "Info", tricky)
	ends <- nil
	b.ended(id, completed)
	body := b.do("GET", "/juliaruncloud/get_logs?log_output_type=content&log_out_type=json&jobname="+id, nil).body
	var inner string
	if err := json.Unmarshal([]byte(body), &inner); err != nil {
		t.Fatal(err)
	}
	if got := unescape(t, julia, body); got != inner {
		t.Errorf("log: Julia reads\n%s\nJSON is\n%s", got, inner)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(unescape(t, julia, b.details(id)["inputs"].(string))), &back); err != nil || !strings.HasPrefix(back["A"], tricky[:30]) {
		t.Errorf("inputs: %v %v", back, err)
	}
}

// unescape does to a text what JuliaHub.jl does.
func unescape(t *testing.T, julia, text string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), julia, "--startup-file=no", "-e", `print(unescape_string(strip(read(stdin, String), '"')))`)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestFindJulia(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	if j, err := findJulia("none", quiet); j != nil || err != nil {
		t.Errorf("none: %v %v", j, err)
	}
	if _, err := New(Config{Julia: filepath.Join(t.TempDir(), "julia")}); err == nil {
		t.Error("a Julia that is not there was accepted")
	}
	t.Setenv("PATH", t.TempDir())
	if j, err := findJulia("auto", quiet); j != nil || err != nil {
		t.Errorf("auto without a Julia: %v %v", j, err)
	}
}

func TestWriteDown(t *testing.T) {
	stdlibs := map[string]string{"8f399da3-3557-5675-b5ff-fb832c97cbdb": "Libdl"}
	out, left, changed, err := writeDown([]byte(`manifest_format = "2.1"
[[deps.A]]
deps = ["B", "Libdl", "New"]
git-tree-sha1 = "0000000000000000000000000000000000000001"
uuid = "00000000-0000-0000-0000-00000000000a"
version = "1.2.3"
weakdeps = ["C"]
registries = "General"
    [deps.A.extensions]
    X = "C"
[[deps.B]]
path = "dev\\B \"x\""
uuid = "00000000-0000-0000-0000-00000000000b"
    [deps.B.deps]
    Libdl = "8f399da3-3557-5675-b5ff-fb832c97cbdb"
    New = "00000000-0000-0000-0000-00000000000c"
[[deps.Libdl]]
uuid = "8f399da3-3557-5675-b5ff-fb832c97cbdb"
version = "1.11.0"
[[deps.New]]
uuid = "00000000-0000-0000-0000-00000000000c"
[registries.General]
uuid = "23338594-aafe-5451-b93e-139f81909106"
`), stdlibs)
	want := `# Written down from manifest format 2.1

[[A]]
deps = ["B", "Libdl"]
git-tree-sha1 = "0000000000000000000000000000000000000001"
uuid = "00000000-0000-0000-0000-00000000000a"
version = "1.2.3"

[[B]]
path = "dev\\B \"x\""
uuid = "00000000-0000-0000-0000-00000000000b"

    [B.deps]
    Libdl = "8f399da3-3557-5675-b5ff-fb832c97cbdb"

[[Libdl]]
uuid = "8f399da3-3557-5675-b5ff-fb832c97cbdb"

`
	if err != nil || !changed || string(out) != want || len(left) != 1 || left[0] != "New" {
		t.Errorf("left %v, changed %v, %v:\n%s", left, changed, err, out)
	}
	for _, same := range []string{"", "[[A]]\nuuid = \"x\"\n"} {
		if out, _, changed, err := writeDown([]byte(same), stdlibs); err != nil || changed || string(out) != same {
			t.Errorf("%q was changed to %q, %v", same, out, err)
		}
	}
}

// What reads the output of a program has to cope with long lines, with records
// that begin in the middle of one, and with what no newline ends.
func TestReadOutput(t *testing.T) {
	b, ends := scripted(t, Config{})
	id := b.job(script("1"))
	b.await(id, working)
	j := b.jobs.get(id)
	text := strings.Repeat("x", maxLine+10) + "\n" + "\x1ekey{\"message\":\"rec\",\"metadata\":{}}\n" +
		"half \x1ekey{\"message\":\"rec2\"}\n" + "\x1ekeynonsense\n" + "      From worker 3:\tfrom three\r\n" + "\n" + "end"
	b.readOutput(strings.NewReader(text), j, 7, "key")
	ends <- nil
	b.ended(id, completed)
	var got []string
	for _, m := range b.page(id, "&start_time=0&event_id=2") {
		got = append(got, m["message"].(string))
	}
	if len(got) != 10 || len(got[0])+len(got[1]) != maxLine+10 {
		t.Fatalf("%d messages", len(got))
	}
	if rest := strings.Join(got[2:9], "|"); rest != "rec|half |rec2|nonsense|from three||end" {
		t.Errorf("messages: %s", rest)
	}
	if w := b.page(id, "")[9]["keywords"].(map[string]any)["jrun_worker_id"]; w != 3.0 {
		data, _ := json.Marshal(b.page(id, "")[9])
		t.Errorf("worker %v: %s", w, data)
	}
}

// Names of results are the program's choice: they have to survive the URL.
func TestFilesOfAnyName(t *testing.T) {
	names := []string{"ä #?%+&.txt", "../../evil", "a/b", "con", ".."}
	b := open(t, Config{Simulate: func(_ context.Context, s *Stage) error {
		for _, name := range names {
			if err := s.Result(name, []byte("the bytes of "+name)); err != nil {
				return err
			}
		}
		return nil
	}})
	id := b.job(script("1"))
	b.ended(id, completed)
	for _, name := range names[:4] { // no client can ask for the last one by a clean URL
		if a := b.do("GET", "/jobs/"+id+"/files/"+url.PathEscape(name)+"?filetype=result", nil); a.StatusCode != 200 || a.body != "the bytes of "+name {
			t.Errorf("%q: %d %s", name, a.StatusCode, a.body)
		}
	}
}

func TestSimulationGetsTheSubmission(t *testing.T) {
	var seen *Stage
	b := open(t, Config{Simulate: func(_ context.Context, s *Stage) error {
		seen = s
		s.Log(Record{Level: "Error", Message: "bad", File: "code.jl", Line: 3, Keywords: map[string]any{"a": 1}})
		return s.Result("r.txt", []byte("result"))
	}})
	id := b.job(with(script("the code"), "projecttoml", "[deps]\n", "args", `{"A":"b"}`))
	d := b.ended(id, completed)
	if seen.Job != id || seen.Code != "the code" || seen.Project != "[deps]\n" || seen.Args["A"] != "b" || seen.Bundle != "" {
		t.Errorf("stage: %+v", seen)
	}
	if !strings.Contains(files(d), "r.txt (result)") {
		t.Errorf("files: %s", files(d))
	}
	if m := b.page(id, "")[2]; m["message"] != "bad" || m["metadata"].(map[string]any)["line"] != 3.0 {
		t.Errorf("record: %v", m)
	}
}

func TestJuliaServesAnExposedPort(t *testing.T) {
	b := open(t, Config{Julia: realJulia(t)})
	id := b.job(with(script(`
		using Sockets
		server = listen(ip"127.0.0.1", parse(Int, ENV["PORT"]))
		println("listening, ", ENV["PORT"] == ENV["JULIAHUB_APP_PORT"])
		client = accept(server)
		request = readuntil(client, "\r\n\r\n")
		write(client, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
		close(client)
		println(first(split(request, "\r\n")))
	`), "product_name", "standard-interactive", "appArgs", `{"port":`+itoa(freePort(t))+`,"authentication":true,"authorization":"me"}`))
	link := b.details(id)["proxy_link"].(string)
	if status, body := b.visit(link, "GET", "/", ""); status != 502 {
		t.Errorf("before it listens: %d %s", status, body)
	}
	b.await(id, func(record, int) bool { return strings.Contains(b.text(id), "listening, true\n") })
	if status, body := b.visit(link, "GET", "/greeting?x=1", ""); status != 200 || body != "hello" {
		t.Errorf("%d %s", status, body)
	}
	b.ended(id, completed)
	if log := b.text(id); !strings.Contains(log, "GET /greeting?x=1 HTTP/1.1\n") {
		t.Errorf("log:\n%s", log)
	}
}

func TestJuliaWorkersAreToldApart(t *testing.T) {
	b := open(t, Config{Julia: realJulia(t)})
	id := b.job(script(`
		using Distributed
		addprocs(1)
		@everywhere println("I am ", myid())
		using Distributed
		remotecall_fetch(() -> @warn("from a worker"), 2)
	`))
	b.ended(id, completed)
	workers := map[string]any{}
	for _, m := range b.page(id, "") {
		if keywords, ok := m["keywords"].(map[string]any); ok {
			workers[m["message"].(string)] = keywords["jrun_worker_id"]
		}
	}
	if workers["I am 1"] != 1.0 || workers["I am 2"] != 2.0 {
		t.Errorf("%v\n%s", workers, b.text(id))
	}
}
