package jobapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var jobID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// validID reports whether a job id can be asked for. Ids look like jr-xxxxxxxxxx;
// of other forms, only those that would mean something in a URL are refused.
func validID(id string) bool {
	return jobID.MatchString(id)
}

func noSuchJob(id string) error { return fmt.Errorf("job %q: %w", plain(id), ErrNoSuchJob) }

// Job returns one job, also one too old for the list. ErrNoSuchJob when there is none.
//
// GET /api/rest/jobs/ID
func (c *Client) Job(ctx context.Context, id string) (*Job, error) {
	if !validID(id) {
		return nil, noSuchJob(id)
	}
	r := c.get("look at job "+id, nil, "api", "rest", "jobs", id).withHasura()
	var answer struct {
		Details *[]json.RawMessage `json:"details"`
	}
	if err := c.fetch(ctx, r, &answer); err != nil {
		return nil, err
	}
	if answer.Details == nil {
		return nil, &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: errors.New("no details")}
	}
	for _, detail := range *answer.Details {
		job, err := parseJob(detail)
		if err != nil {
			return nil, &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: err}
		}
		if job.ID == id {
			return job, nil
		}
	}
	if len(*answer.Details) > 0 {
		return nil, &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: errors.New("another job")}
	}
	return nil, noSuchJob(id)
}

// Jobs returns the newest jobs, newest first, at most limit (0 = as many as the
// server likes, 20). Other people's jobs may be among them. Jobs that cannot be
// understood are left out.
//
// GET /juliaruncloud/get_jobs
func (c *Client) Jobs(ctx context.Context, limit int) ([]*Job, error) {
	jobs, _, err := c.NewestJobs(ctx, limit)
	return jobs, err
}

// NewestJobs does what Jobs does. listed counts also the jobs that are left out:
// where it is less than limit, the server has no more.
func (c *Client) NewestJobs(ctx context.Context, limit int) (jobs []*Job, listed int, err error) {
	query := url.Values{}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var list []json.RawMessage
	if err := c.fetch(ctx, c.get("list the jobs", query, "juliaruncloud", "get_jobs"), &list); err != nil {
		return nil, 0, err
	}
	jobs = make([]*Job, 0, len(list))
	for _, item := range list {
		job, err := parseJob(item)
		if err != nil {
			c.log.WarnContext(ctx, "a job in the list is left out", "error", err)
			continue
		}
		jobs = append(jobs, job)
	}
	return jobs, len(list), nil
}

// parseJob reads a job as tolerantly as possible: without its name it is none,
// everything else may be missing.
func parseJob(data json.RawMessage) (*Job, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return nil, errors.New("a job that is no object")
	}
	take := func(key string) loose {
		value := loose{fields[key]}
		delete(fields, key)
		return value
	}
	job := &Job{
		ID:        take("jobname").text(),
		Alias:     take("jobname_alias").text(),
		Status:    Status(take("status").text()),
		Submitted: take("submittimestamp").time(),
		Started:   take("starttimestamp").time(),
		Ended:     take("endtimestamp").time(),
		Inputs:    take("inputs").text(),
		Outputs:   take("outputs").text(),
		Files:     parseFiles(take("files").raw),
		ProxyLink: take("proxy_link").text(),
		LimitType: take("limit_type").text(),
	}
	job.Number, _ = take("id").whole()
	if job.ID == "" {
		return nil, errors.New("a job without a name")
	}
	job.Unknown = fields
	return job, nil
}

func parseFiles(data json.RawMessage) []File {
	var list []json.RawMessage
	if json.Unmarshal(data, &list) != nil {
		return nil
	}
	var files []File
	for _, item := range list {
		var file struct {
			Name     loose `json:"name"`
			Type     loose `json:"type"`
			Size     loose `json:"size"`
			Uploaded loose `json:"upload_timestamp"`
			Hash     loose `json:"hash"`
		}
		if json.Unmarshal(item, &file) != nil || file.Name.text() == "" {
			continue
		}
		size, known := file.Size.whole()
		if !known || size < 0 {
			size = -1
		}
		files = append(files, File{
			Name: file.Name.text(), Type: file.Type.text(), Size: size,
			SHA256: parseHash(file.Hash.raw), Uploaded: file.Uploaded.time(),
		})
	}
	return files
}

// parseHash reads {"algorithm", "value"}; nil when it is not a SHA-256 that we can check.
func parseHash(data json.RawMessage) []byte {
	var hash struct {
		Algorithm loose `json:"algorithm"`
		Value     loose `json:"value"`
	}
	if json.Unmarshal(data, &hash) != nil {
		return nil
	}
	switch strings.ToLower(hash.Algorithm.text()) {
	case "sha2_256", "sha256", "sha-256":
		return digest(hash.Value.text())
	}
	return nil
}

// Env returns the environment variables that the job was submitted with, as far
// as its inputs can be read. Some servers escape their quotes once more.
func (j *Job) Env() map[string]string {
	for _, text := range []string{j.Inputs, strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(j.Inputs)} {
		var values map[string]loose
		if json.Unmarshal([]byte(text), &values) != nil {
			continue
		}
		env := make(map[string]string, len(values))
		for key, value := range values {
			env[key] = value.text()
		}
		return env
	}
	return nil
}

// SubmissionKey is the name, among a submission's Args, of the UUID that tells
// our jobs from others and finds a job whose submission was not answered.
const SubmissionKey = "JULIAHUB_LSP_SUBMISSION"

// IsSubmission reports whether the job came from the submission with that UUID.
func (j *Job) IsSubmission(uuid string) bool { return uuid != "" && strings.Contains(j.Inputs, uuid) }

// FindSubmission looks among the newest jobs for the one that came from the
// submission with that UUID, back to the time when it was sent by our clock. Of
// several (someone may have run the job again elsewhere, with all its inputs) it
// is the oldest that was submitted since. It returns nil when the server lists no
// such job: which does not prove that there will be none, since the server may
// still be busy with it.
func (c *Client) FindSubmission(ctx context.Context, uuid string, sent time.Time) (*Job, error) {
	// Clocks differ by what the server's answers told, and by a little more.
	const slack = 2 * time.Minute
	for limit := 20; ; limit *= 4 {
		jobs, listed, err := c.NewestJobs(ctx, limit)
		if err != nil {
			return nil, err
		}
		since := c.ServerTime(sent).Add(-slack)
		const most = 20 << 10 // what no list reaches: thousands of jobs since the submission
		if listed < limit || limit >= most || reachesBehind(jobs, since) {
			return oldestOf(jobs, uuid, since), nil
		}
	}
}

// oldestOf returns the oldest job with the submission's UUID that was submitted
// since then. Nobody else knows the UUID: where all of them are older, it is the
// clocks that are wrong.
func oldestOf(jobs []*Job, uuid string, since time.Time) *Job {
	var oldest, older *Job
	for _, job := range jobs {
		switch {
		case !job.IsSubmission(uuid):
		case !job.Submitted.IsZero() && job.Submitted.Before(since):
			if older == nil || job.Submitted.Before(older.Submitted) {
				older = job
			}
		case oldest == nil || !job.Submitted.After(oldest.Submitted):
			oldest = job
		}
	}
	if oldest == nil {
		return older
	}
	return oldest
}

// reachesBehind reports whether the oldest job was submitted before t.
func reachesBehind(jobs []*Job, t time.Time) bool {
	for i := len(jobs) - 1; i >= 0; i-- {
		if !jobs[i].Submitted.IsZero() {
			return jobs[i].Submitted.Before(t)
		}
	}
	return false
}

// Kill stops a job. Its status does not change at once. ErrNoSuchJob when there
// is none that this user may stop.
//
// GET /juliaruncloud/kill_job
func (c *Client) Kill(ctx context.Context, id string) error {
	if !validID(id) {
		return noSuchJob(id)
	}
	r := c.get("stop job "+id, url.Values{"jobname": {id}}, "juliaruncloud", "kill_job")
	var answer struct {
		Status  loose `json:"status"`
		Message loose `json:"message"`
	}
	if err := c.fetch(ctx, r, &answer); err != nil {
		return jobForbidden(id, err)
	}
	if !answer.Status.truth() {
		return &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Message: plain(answer.Message.text(), c.tokens.secrets()...)}
	}
	return nil
}

// Extend lengthens a job's time limit by whole hours. It is sent once: each
// sending extends. ErrNoSuchJob when there is none that this user may extend.
//
// POST /juliaruncloud/extend_job_time_limit
func (c *Client) Extend(ctx context.Context, id string, hours int) error {
	if !validID(id) {
		return noSuchJob(id)
	}
	if hours < 1 {
		return fmt.Errorf("a job is extended by whole hours, at least one, and not by %d", hours)
	}
	body, err := json.Marshal(map[string]any{"jobname": id, "extendby": hours})
	if err != nil {
		return err
	}
	r := c.get("extend job "+id, nil, "juliaruncloud", "extend_job_time_limit").withBody(body)
	r.method, r.once = http.MethodPost, true
	var answer struct {
		Success loose `json:"success"`
	}
	if err := c.fetch(ctx, r, &answer); err != nil {
		if e, ok := errors.AsType[*ServerError](err); ok && strings.HasPrefix(e.Message, "Invalid jobname") {
			return noSuchJob(id)
		}
		return jobForbidden(id, err)
	}
	if !answer.Success.truth() {
		return &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK}
	}
	return nil
}

// jobForbidden reads a 403 about a job: it is what the server says of a job that
// there is not.
func jobForbidden(id string, err error) error {
	if _, ok := errors.AsType[*PermissionError](err); ok {
		return noSuchJob(id)
	}
	return err
}

// jsonObject reports whether data begins an object.
func jsonObject(data []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) }
