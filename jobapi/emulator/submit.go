package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/google/uuid"
)

// maxForm is how many bytes of form one submission may have.
const maxForm = 64 << 20

// formFields are the fields of a submission that the emulator knows. The value
// says whether every submission has it.
var formFields = map[string]bool{
	"customcode": true, "usercode": true, "args": true, "node_class": true, "cpu": true,
	"nworkers": true, "isthreaded": true, "limit_type": true, "est_cost": true,
	"projecttoml": false, "manifesttoml": false, "appbundle": false, "appbundle_upload_info": false,
	"projectid": false, "product_name": false, "image": false, "image_tag": false, "image_sha256": false,
	"sysimage_build": false, "sysimage_manifest_sha": false, "elastic": false, "min_workers_required": false,
	"limit_value": false, "effective_time_limit": false, "appArgs": false, "dns_prefix": false,
}

// form is a submission's fields. What it says is checked once; problem is the
// first thing that is wrong with it.
type form struct {
	fields  map[string]string
	problem string

	args   map[string]string
	bundle *bundleInfo
	hours  int // 0 = unlimited
	expose *expose
}

// fail notes a problem unless there is one already.
func (f *form) fail(format string, args ...any) {
	if f.problem == "" {
		f.problem = fmt.Sprintf(format, args...)
	}
}

func (f *form) has(name string) bool {
	_, ok := f.fields[name]
	return ok
}

// readForm reads a multipart form, strictly: known fields alone, each once, none a file.
func readForm(r *http.Request) (*form, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return nil, errors.New("the body must be multipart/form-data")
	}
	f := &form{fields: map[string]string{}}
	parts := multipart.NewReader(io.LimitReader(r.Body, maxForm), params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return f, nil
		} else if err != nil {
			return nil, fmt.Errorf("the multipart body is damaged: %w", err)
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("the multipart body is damaged: %w", err)
		}
		f.take(part, string(value))
	}
}

func (f *form) take(part *multipart.Part, value string) {
	name := part.FormName()
	switch _, known := formFields[name]; {
	case !known:
		f.fail("Unknown field %q", name)
	case part.FileName() != "":
		f.fail("Field %s must be a plain value, not a file", name)
	case f.has(name):
		f.fail("Field %s is given twice", name)
	}
	f.fields[name] = value
}

// check looks at everything that a submission says.
func (f *form) check() {
	for _, name := range sortedKeys(formFields) {
		if formFields[name] && !f.has(name) {
			f.fail("Field %s is missing", name)
		}
	}
	if f.problem != "" {
		return
	}
	f.checkCode()
	f.checkArgs()
	f.checkHardware()
	f.checkLimit()
	f.checkImage()
	f.checkSysimage()
	f.checkPort()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (f *form) checkCode() {
	if f.fields["customcode"] != "true" {
		f.fail("customcode must be true")
	}
	for _, name := range []string{"projecttoml", "manifesttoml"} {
		if !f.has(name) {
			continue
		}
		var any map[string]any
		if _, err := toml.Decode(f.fields[name], &any); err != nil {
			f.fail("%s is not valid TOML", name)
		}
		if f.has("appbundle") {
			f.fail("%s does not go with an appbundle", name)
		}
	}
	if f.has("appbundle") != f.has("appbundle_upload_info") {
		f.fail("appbundle and appbundle_upload_info go together")
	}
	if !f.has("appbundle") {
		return
	}
	if f.fields["appbundle"] != "__APPBUNDLE_EXTERNAL_UPLOAD__" {
		f.fail("appbundle must be __APPBUNDLE_EXTERNAL_UPLOAD__")
	}
	info, problem := parseBundleInfo(f.fields["appbundle_upload_info"])
	if problem != "" {
		f.fail("appbundle_upload_info %s", problem)
	}
	f.bundle = &info
}

func (f *form) checkArgs() {
	dec := json.NewDecoder(strings.NewReader(f.fields["args"]))
	var raw map[string]*string
	if err := dec.Decode(&raw); err != nil || raw == nil || dec.More() {
		f.fail("args must be a JSON object of strings")
		return
	}
	f.args = make(map[string]string, len(raw))
	for key, value := range raw {
		if value == nil || key == "" || strings.ContainsAny(key, "=\x00") || strings.ContainsRune(*value, 0) {
			f.fail("args must be a JSON object of strings that can be environment variables")
			return
		}
		f.args[key] = *value
	}
	if id := f.fields["projectid"]; f.has("projectid") && (len(id) != 36 || uuid.Validate(id) != nil) {
		f.fail("projectid must be a UUID")
	}
	if f.fields["est_cost"] != "0" {
		f.fail("est_cost must be 0")
	}
}

// number reads a field that must hold a plain decimal number of at least least.
func (f *form) number(name string, least int) int {
	text := f.fields[name]
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text || n < least {
		f.fail("%s must be a whole number of at least %d", name, least)
	}
	return n
}

func (f *form) checkHardware() {
	cores := f.number("cpu", 1)
	if _, ok := findNode(f.fields["node_class"], cores); !ok {
		f.fail("There is no node of class %q with %d vCPUs", f.fields["node_class"], cores)
	}
	for _, name := range []string{"isthreaded", "elastic"} {
		if v := f.fields[name]; f.has(name) && v != "true" && v != "false" {
			f.fail("%s must be true or false", name)
		}
	}
	workers := f.number("nworkers", 0)
	if !f.has("min_workers_required") {
		return
	}
	if least := f.number("min_workers_required", 0); least >= workers {
		f.fail("min_workers_required must be less than nworkers")
	}
	if f.fields["elastic"] == "true" {
		f.fail("min_workers_required does not go with elastic")
	}
}

func (f *form) checkLimit() {
	switch f.fields["limit_type"] {
	case "time":
		f.hours = f.number("limit_value", 1)
		if f.number("effective_time_limit", 1) != f.hours {
			f.fail("effective_time_limit must be the same as limit_value")
		}
	case "unlimited":
		if f.has("limit_value") || f.has("effective_time_limit") {
			f.fail("limit_value and effective_time_limit do not go with limit_type unlimited")
		}
	default:
		f.fail("limit_type must be time or unlimited")
	}
}

var imageDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (f *form) checkImage() {
	if f.has("image_sha256") && !imageDigest.MatchString(f.fields["image_sha256"]) {
		f.fail("image_sha256 must be sha256: and 64 hexadecimal digits")
	}
	if f.has("image_tag") && (f.fields["image_tag"] == "" || !f.has("image")) {
		f.fail("image_tag must not be empty, and goes with an image")
	}
	if !f.has("product_name") {
		if f.has("image") && !legacyImage(f.fields["image"]) {
			f.fail("image goes with a product_name")
		}
		return
	}
	name := f.fields["product_name"]
	legacy := name == "@legacy" && !f.has("appArgs")
	p, ok := findProduct(name)
	switch {
	case legacy:
		if !legacyImage(f.fields["image"]) {
			f.fail("There is no image %q", f.fields["image"])
		}
	case !ok || !p.batch() && !p.interactive():
		f.fail("There is no product %q for code of your own", name)
	case p.interactive() != f.has("appArgs"):
		f.fail("An interactive product_name goes with appArgs, and appArgs with it")
	case name == "standard-batch" && f.fields["image"] == legacyDefault: // what servers before API 0.0.1 call it
	case f.has("image") && !slices.ContainsFunc(imageGroups[p.Group], func(i image) bool { return i.Key == f.fields["image"] }):
		f.fail("Product %q has no image %q", name, f.fields["image"])
	}
}

// legacyDefault is the key that clients of old servers use for the default image.
const legacyDefault = "julia"

func legacyImage(key string) bool {
	return key == legacyDefault || key != "" && slices.ContainsFunc(legacyImages, func(i map[string]any) bool { return i["value"] == key })
}

func (f *form) checkSysimage() {
	switch f.fields["sysimage_build"] {
	case "true":
	case "", "nothing", "false":
		if f.has("sysimage_build") && f.fields["sysimage_build"] == "" {
			f.fail("sysimage_build must not be empty")
		}
		if f.has("sysimage_manifest_sha") {
			f.fail("sysimage_manifest_sha goes with sysimage_build")
		}
		return
	default:
		f.fail("sysimage_build must be true or nothing")
	}
	sum := f.fields["sysimage_manifest_sha"]
	if !hexSHA256.MatchString(sum) {
		f.fail("sysimage_manifest_sha must be 64 lower-case hexadecimal digits")
	}
	if f.has("appbundle") {
		return // its manifest is looked at once the bundle is known to be here
	}
	if !f.has("manifesttoml") {
		f.fail("A system image needs a Manifest.toml")
	}
	if got := sha256.Sum256([]byte(f.fields["manifesttoml"])); hex.EncodeToString(got[:]) != sum {
		f.fail("sysimage_manifest_sha is not the SHA-256 of the Manifest.toml")
	}
}

// expose is an exposed port and who may come to it.
type expose struct {
	Port           int    `json:"port"`
	Authentication bool   `json:"authentication"`
	Authorization  string `json:"authorization"`
	Password       string `json:"password,omitempty"`
	Prefix         string `json:"prefix,omitempty"`
	Link           string `json:"link"`
}

// allowedPort reports whether a job may expose the port.
func allowedPort(port int) bool {
	return port >= 1025 && port <= 9008 || port >= 9010 && port <= 23399 || port >= 23500 && port <= 32767
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (f *form) checkPort() {
	if !f.has("appArgs") {
		if f.has("dns_prefix") {
			f.fail("dns_prefix goes with appArgs")
		}
		return
	}
	if !f.has("product_name") {
		f.fail("appArgs goes with an interactive product_name")
	}
	var args struct {
		Port           *int    `json:"port"`
		Authentication *bool   `json:"authentication"`
		Authorization  *string `json:"authorization"`
		Password       *string `json:"password"`
	}
	dec := json.NewDecoder(strings.NewReader(f.fields["appArgs"]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&args); err != nil || args.Port == nil || args.Authentication == nil || args.Authorization == nil {
		f.fail("appArgs must be a JSON object with port (number), authentication (boolean) and authorization (string), and password (string) at most")
		return
	}
	x := &expose{Port: *args.Port, Authentication: *args.Authentication, Authorization: *args.Authorization, Prefix: f.fields["dns_prefix"]}
	if !allowedPort(x.Port) {
		f.fail("Port %d is not allowed: it must be in 1025-9008, 9010-23399 or 23500-32767", x.Port)
	}
	switch {
	case x.Authorization != "me" && x.Authorization != "anyone", !x.Authentication && x.Authorization == "me":
		f.fail("authorization must be me or anyone, me with authentication alone")
	case args.Password != nil && (*args.Password == "" || !x.Authentication || x.Authorization != "anyone"):
		f.fail("password must not be empty, and goes with authentication true and authorization anyone")
	case args.Password != nil:
		x.Password = *args.Password
	}
	if f.has("dns_prefix") && !dnsLabel.MatchString(x.Prefix) {
		f.fail("dns_prefix must be a DNS label")
	}
	f.expose = x
}

// handleSubmit takes a job: the form is checked, the job written down, started
// and named, in that order. A client that has left by then still has a job.
func (e *Emulator) handleSubmit(w http.ResponseWriter, r *http.Request) {
	f, err := readForm(r)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	f.check()
	if f.bundle != nil && f.problem == "" {
		e.checkBundle(f)
	}
	if f.problem != "" {
		refuse(w, f.problem)
		return
	}
	j, err := e.newJob(f, baseURL(r))
	if err != nil {
		e.broken(w, r, err)
		return
	}
	e.start(j)
	reply(w, http.StatusOK, map[string]any{"success": true, "jobname": j.rec.ID, "message": ""})
}

// checkBundle compares what the form says of the appbundle with the bytes that came.
func (e *Emulator) checkBundle(f *form) {
	info, err := os.Stat(e.uploadPath(f.bundle.Hash))
	if err != nil {
		f.fail("No appbundle with this hash was uploaded")
		return
	}
	if info.Size() != f.bundle.Size {
		f.fail("The appbundle that was uploaded has %d bytes, not %d", info.Size(), f.bundle.Size)
	}
	if f.fields["sysimage_build"] != "true" {
		return
	}
	sum, err := manifestSum(e.uploadPath(f.bundle.Hash))
	switch {
	case err != nil:
		f.fail("The appbundle has no Manifest.toml, which a system image needs")
	case sum != f.fields["sysimage_manifest_sha"]:
		f.fail("sysimage_manifest_sha is not the SHA-256 of the appbundle's Manifest.toml")
	}
}
