package jobapi

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// submitPatience is how long the answer to a submission may take: the server
// may be busy starting the job, and giving up leaves its outcome unknown.
const submitPatience = 2 * time.Minute

// Submit submits a job and returns its id (jr-…). It goes over the wire once, as
// submitting twice makes two jobs; once more only after a 401, with another token
// if there is one. The error says what is known:
//   - *RefusedError: there is no job, and why;
//   - *NotSentError: nothing reached the server, it may be submitted again;
//   - *UnknownOutcomeError: there may be a job; see FindSubmission.
//
// An *AuthError within one of the first two says that signing in may help.
//
// POST /juliaruncloud/submit_job
func (c *Client) Submit(ctx context.Context, s Submission) (id string, err error) {
	fields, err := s.fields()
	if err != nil {
		return "", &RefusedError{Reason: err.Error(), Local: true, Err: err}
	}
	form, contentType, err := encodeForm(fields)
	if err != nil {
		return "", &RefusedError{Reason: err.Error(), Local: true, Err: err}
	}
	var sending atomic.Bool
	if _, ok := c.fresh.(*http.Transport); !ok {
		sending.Store(true) // another one does not tell when it has a connection
	}
	r := c.get("submit the job", nil, "juliaruncloud", "submit_job").withBody(form)
	r.method, r.single, r.patience = http.MethodPost, true, submitPatience
	r.header = http.Header{"Content-Type": {contentType}}
	if !sending.Load() {
		r.gotConnection = func() { sending.Store(true) }
		r.refused = func() { sending.Store(false) }
	}
	got, err := c.do(ctx, r)
	if err != nil {
		return "", outcome(err, sending.Load())
	}
	body, err := c.readAll(r, got)
	if err != nil {
		return "", &UnknownOutcomeError{Err: err}
	}
	return c.submitted(r, body)
}

// submitted reads the answer to a submission.
func (c *Client) submitted(r *request, body []byte) (id string, err error) {
	var answer struct {
		Success  *bool `json:"success"`
		JobName  loose `json:"jobname"`
		Internal bool  `json:"internal_error"`
	}
	garbage := func(err error) error {
		return &UnknownOutcomeError{Err: &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: err}}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", garbage(notJSON(err))
	}
	if answer.Success == nil {
		return "", garbage(errors.New("it does not say whether it succeeded"))
	}
	if !*answer.Success {
		err := c.saysFailure(r, body)
		if answer.Internal { // it broke half-way: nobody knows where
			return "", &UnknownOutcomeError{Err: err}
		}
		reason := c.base.Host + " refused it without saying why"
		if e, ok := errors.AsType[*ServerError](err); ok && e.Message != "" {
			reason = e.Message
		}
		return "", &RefusedError{Reason: reason, Err: err}
	}
	if id = answer.JobName.text(); !validID(id) {
		return "", garbage(errors.New("a job without a usable id"))
	}
	return id, nil
}

// outcome says what an error of sending means for the submission. sending says
// whether there was a connection, and so perhaps a byte that went out.
func outcome(err error, sending bool) error {
	if !sending {
		return &NotSentError{Err: err}
	}
	if _, ok := errors.AsType[*AuthError](err); ok {
		return &RefusedError{Reason: err.Error(), Err: err}
	}
	if _, ok := errors.AsType[*PermissionError](err); ok {
		return &RefusedError{Reason: err.Error(), Err: err}
	}
	if e, ok := errors.AsType[*ServerError](err); ok && refuses(e.Status) {
		return &RefusedError{Reason: err.Error(), Err: err}
	}
	return &UnknownOutcomeError{Err: err}
}

// refuses reports whether an HTTP status says for certain that the server did
// not act: the client errors, but for those that a server or a proxy also sends
// when it lost patience or sight (408, 409, 425, 499).
func refuses(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, 499:
		return false
	}
	return status >= 400 && status < 500
}

var (
	imageDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	hexDigest   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// fields returns the form that says what s says, or the error that makes s no
// submission at all.
//
// Source: JuliaHub.jl, src/jobsubmission.jl, _JobSubmission1.
func (s Submission) fields() (map[string]string, error) {
	args := s.Args
	if args == nil {
		args = map[string]string{}
	}
	encodedArgs, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{
		"customcode": "true",
		"usercode":   s.Code,
		"args":       string(encodedArgs),
		"est_cost":   "0",
	}
	for _, add := range []func(map[string]string) error{s.addCode, s.addProject, s.addImage, s.addSysimage, s.addNodes, s.addLimit, s.addExpose} {
		if err := add(fields); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

func (s Submission) addCode(fields map[string]string) error {
	if s.Code == "" {
		return errors.New("there is no code to run")
	}
	if s.Bundle == nil {
		setNonEmpty(fields, "projecttoml", s.ProjectTOML)
		setNonEmpty(fields, "manifesttoml", s.ManifestTOML)
		return nil
	}
	if s.ProjectTOML != "" || s.ManifestTOML != "" {
		return errors.New("an appbundle brings its own Project.toml and Manifest.toml")
	}
	info, err := s.Bundle.info()
	if err != nil {
		return err
	}
	fields["appbundle"] = "__APPBUNDLE_EXTERNAL_UPLOAD__"
	fields["appbundle_upload_info"] = info
	return nil
}

func (s Submission) addProject(fields map[string]string) error {
	if s.ProjectID == "" {
		return nil
	}
	id, err := uuid.Parse(s.ProjectID)
	if err != nil || len(s.ProjectID) != 36 {
		return fmt.Errorf("the project %q is no UUID", s.ProjectID)
	}
	fields["projectid"] = id.String()
	return nil
}

func (s Submission) addImage(fields map[string]string) error {
	if s.Image == nil {
		return nil
	}
	if digest := s.Image.SHA256; digest != "" && !imageDigest.MatchString(digest) {
		return fmt.Errorf("the image's digest must be sha256: and 64 hexadecimal digits, and not %q", digest)
	}
	setNonEmpty(fields, "product_name", s.Image.Product)
	setNonEmpty(fields, "image", s.Image.Key)
	setNonEmpty(fields, "image_tag", s.Image.Tag)
	setNonEmpty(fields, "image_sha256", s.Image.SHA256)
	return nil
}

func (s Submission) addSysimage(fields map[string]string) error {
	if !s.Sysimage {
		return nil
	}
	digest := strings.ToLower(s.ManifestSHA256)
	if !hexDigest.MatchString(digest) {
		return errors.New("a system image needs a Manifest.toml")
	}
	fields["sysimage_build"] = "true"
	fields["sysimage_manifest_sha"] = digest
	return nil
}

func (s Submission) addNodes(fields map[string]string) error {
	switch {
	case s.Node.Class == "" || s.Node.VCores < 1:
		return errors.New("no node is chosen")
	case s.Nodes < 1:
		return fmt.Errorf("a job needs at least one node, and not %d", s.Nodes)
	case s.MinNodes < 0:
		return fmt.Errorf("the least number of nodes cannot be %d", s.MinNodes)
	case s.MinNodes > 0 && s.Elastic:
		return errors.New("an elastic job takes no least number of nodes: set one or the other")
	case s.MinNodes > 0 && s.MinNodes >= s.Nodes:
		return fmt.Errorf("the least number of nodes (%d) must be below the number of nodes (%d)", s.MinNodes, s.Nodes)
	}
	fields["node_class"] = s.Node.Class
	fields["cpu"] = strconv.Itoa(s.Node.VCores)
	fields["nworkers"] = strconv.Itoa(s.Nodes - 1)
	fields["elastic"] = strconv.FormatBool(s.Elastic)
	fields["isthreaded"] = strconv.FormatBool(s.ProcessPerNode)
	if s.MinNodes > 0 {
		fields["min_workers_required"] = strconv.Itoa(s.MinNodes - 1)
	}
	return nil
}

func (s Submission) addLimit(fields map[string]string) error {
	if s.LimitHours < 0 {
		return fmt.Errorf("the time limit cannot be %d hours", s.LimitHours)
	}
	if s.LimitHours == 0 {
		fields["limit_type"] = "unlimited"
		return nil
	}
	fields["limit_type"] = "time"
	fields["limit_value"] = strconv.Itoa(s.LimitHours)
	fields["effective_time_limit"] = fields["limit_value"]
	return nil
}

// standardInteractive is the product of jobs that expose a port and name no image.
const standardInteractive = "standard-interactive"

func (s Submission) addExpose(fields map[string]string) error {
	if s.Expose == nil {
		return nil
	}
	args, err := s.Expose.appArgs()
	if err != nil {
		return err
	}
	product := s.Expose.Product
	if product == "" {
		if s.Image != nil && s.Image.Product != "" {
			return fmt.Errorf("the image of product %q cannot expose a port", s.Image.Product)
		}
		product = standardInteractive
	}
	fields["product_name"] = product
	fields["appArgs"] = args
	setNonEmpty(fields, "dns_prefix", s.Expose.DNSPrefix)
	return nil
}

// ValidPort reports whether a job can expose the port.
func ValidPort(port int) bool {
	return 1025 <= port && port <= 9008 || 9010 <= port && port <= 23399 || 23500 <= port && port <= 32767
}

// appArgs returns the port and who may reach it, as JSON.
func (e *Expose) appArgs() (string, error) {
	if !ValidPort(e.Port) {
		return "", fmt.Errorf("port %d cannot be exposed: use 1025–9008, 9010–23399 or 23500–32767", e.Port)
	}
	if e.Access != "password" && e.Password != "" {
		return "", errors.New(`a password for the exposed port needs access = "password"`)
	}
	args := map[string]any{"port": e.Port, "authentication": true, "authorization": "anyone"}
	switch e.Access {
	case "me", "":
		args["authorization"] = "me"
	case "logged-in":
	case "public":
		args["authentication"] = false
	case "password":
		if e.Password == "" {
			return "", errors.New("the exposed port needs a password")
		}
		args["password"] = e.Password
	default:
		return "", fmt.Errorf("access %q is none of me, logged-in, password, public", e.Access)
	}
	text, err := json.Marshal(args)
	return string(text), err
}

// MaxBundle is the size that an appbundle may have, in bytes.
const MaxBundle = 2 << 30

const bundleName = "appbundle.tar"

// info returns the JSON that tells the server of a bundle.
func (u *Upload) info() (string, error) {
	if err := u.check(); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]any{
		"file_type": "input", "file_name": bundleName, "file_size": u.Size,
		"hash": strings.ToLower(u.SHA256), "hash_alg": "sha2_256",
	})
	return string(text), err
}

func (u *Upload) check() error {
	sum, err := hex.DecodeString(u.SHA256)
	switch {
	case err != nil || len(sum) != 32:
		return errors.New("the appbundle has no SHA-256")
	case u.Size <= 0:
		return errors.New("the appbundle is empty")
	case u.Size > MaxBundle:
		return fmt.Errorf("the appbundle has %d bytes; JuliaHub takes 2 GiB (%d bytes) at most", u.Size, int64(MaxBundle))
	}
	return nil
}

func setNonEmpty(fields map[string]string, name, value string) {
	if value != "" {
		fields[name] = value
	}
}

// encodeForm writes the fields as multipart/form-data.
func encodeForm(fields map[string]string) (form []byte, contentType string, err error) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if err := w.WriteField(name, fields[name]); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return out.Bytes(), w.FormDataContentType(), nil
}
