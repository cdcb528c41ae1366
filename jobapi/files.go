package jobapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// Download streams a file of a job to w. progress may be nil; total is -1 when
// nobody knows it. A transfer that breaks is resumed where it broke, by a range
// if the server allows ranges and by skipping what is there if not. Whether the
// bytes are the right ones is for the caller to find out: see File.Check.
// ErrNoSuchFile when there is none.
//
// GET /jobs/ID/files/NAME?filetype=TYPE
func (c *Client) Download(ctx context.Context, id string, f File, w io.Writer, progress func(done, total int64)) error {
	if !validID(id) {
		return noSuchJob(id)
	}
	d := &download{client: c, file: f, w: w, sum: sha256.New(), total: f.Size, progress: progress}
	d.request = c.get("download "+plain(f.Name), url.Values{"filetype": {f.Type}}, "jobs", id, "files", f.Name)
	d.request.away = true
	for failures := 0; ; {
		before := d.done
		err := d.run(ctx)
		if err == nil {
			return nil
		}
		if d.done > before {
			failures = 0
		}
		failures++
		broken, resumable := errors.AsType[*brokenTransfer](err)
		if !resumable || failures >= c.limits.attempts || ctx.Err() != nil {
			if resumable {
				err = broken.err
			}
			return err
		}
		c.log.InfoContext(ctx, "download broke and is resumed", "job", id, "at", d.done, "because", broken.err)
		if err := c.wait(ctx, c.limits.firstGap<<failures); err != nil {
			return fmt.Errorf("%s: %w", d.request.what, err)
		}
	}
}

// Check compares what arrived with what the server said of the file: its size,
// if known, and its SHA-256, if there is one. verified says whether there was a
// hash to compare with. A difference is a *MismatchError.
func (f File) Check(size int64, sha256 []byte) (verified bool, err error) {
	if f.Size >= 0 && size != f.Size {
		return false, &MismatchError{Name: f.Name, What: "size", Want: strconv.FormatInt(f.Size, 10), Got: strconv.FormatInt(size, 10)}
	}
	if f.SHA256 == nil {
		return false, nil
	}
	if !bytes.Equal(sha256, f.SHA256) {
		return false, &MismatchError{Name: f.Name, What: "SHA-256", Want: hex.EncodeToString(f.SHA256), Got: hex.EncodeToString(sha256)}
	}
	return true, nil
}

// download is one file on its way, over perhaps several connections.
type download struct {
	client   *Client
	request  *request
	file     File
	w        io.Writer
	sum      hash.Hash // of the bytes that w has
	done     int64
	total    int64  // -1 = unknown
	etag     string // of the version that the first bytes came from
	progress func(done, total int64)
}

// brokenTransfer is an error of the network amidst the bytes: the rest may still be had.
type brokenTransfer struct{ err error }

func (e *brokenTransfer) Error() string { return e.err.Error() }
func (e *brokenTransfer) Unwrap() error { return e.err }

// run fetches the bytes that are missing.
func (d *download) run(ctx context.Context) error {
	r := *d.request
	// Packed on the way, the bytes could be neither counted nor resumed.
	r.header = http.Header{"Accept-Encoding": {"identity"}}
	if d.done > 0 {
		r.header.Set("Range", fmt.Sprintf("bytes=%d-", d.done))
		if strong(d.etag) {
			r.header.Set("If-Range", d.etag)
		}
	}
	answer, err := d.client.do(ctx, &r)
	if err != nil {
		if e, ok := errors.AsType[*ServerError](err); ok {
			switch {
			case e.Status == http.StatusNotFound:
				return fmt.Errorf("%s: %w", d.request.what, ErrNoSuchFile)
			case e.Status == http.StatusRequestedRangeNotSatisfiable && d.total < 0:
				return nil // there is nothing after what has arrived
			}
		}
		return err
	}
	body := answer.Body
	defer func() { _ = body.Close() }() // all that is wanted of it has been read
	if err := d.begin(answer); err != nil {
		return err
	}
	return d.copy(answer)
}

// strong reports whether an ETag names bytes and not just a meaning.
func strong(etag string) bool { return etag != "" && !strings.HasPrefix(etag, "W/") }

// begin looks at an answer's head: is it the file, and from where on?
func (d *download) begin(answer *http.Response) error {
	if answer.StatusCode == http.StatusPartialContent && d.done > 0 {
		start, total, ok := contentRange(answer.Header.Get("Content-Range"))
		if !ok || start != d.done || d.total >= 0 && total >= 0 && total != d.total {
			return &ServerError{What: d.request.what, Host: d.client.base.Host, Status: http.StatusOK, Err: errors.New("another part of the file than the one asked for")}
		}
		return nil
	}
	if answer.StatusCode == http.StatusPartialContent {
		return &ServerError{What: d.request.what, Host: d.client.base.Host, Status: http.StatusOK, Err: errors.New("a part of the file")}
	}
	if err := d.refuseErrorPage(answer); err != nil {
		return err
	}
	if d.done > 0 {
		return d.skip(answer)
	}
	d.etag = answer.Header.Get("ETag")
	if answer.ContentLength >= 0 {
		if d.total >= 0 && d.total != answer.ContentLength {
			return &MismatchError{Name: d.file.Name, What: "size", Want: strconv.FormatInt(d.total, 10), Got: strconv.FormatInt(answer.ContentLength, 10)}
		}
		d.total = answer.ContentLength
	}
	return nil
}

// skip reads over what has already arrived, when the server sends the file from
// its beginning again, and makes sure that it still is the same.
func (d *download) skip(answer *http.Response) error {
	again := sha256.New()
	if _, err := io.CopyN(again, answer.Body, d.done); err != nil {
		if errors.Is(err, io.EOF) {
			err = &NetworkError{What: d.request.what, Host: d.client.base.Host, Err: io.ErrUnexpectedEOF}
		}
		return &brokenTransfer{err}
	}
	if !bytes.Equal(again.Sum(nil), d.sum.Sum(nil)) {
		return &MismatchError{Name: d.file.Name, What: "beginning", Want: "as it was", Got: "another since the transfer broke"}
	}
	return nil
}

// copy passes the bytes on.
func (d *download) copy(answer *http.Response) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := answer.Body.Read(buffer)
		if d.file.Size >= 0 && d.done+int64(n) > d.file.Size {
			return &MismatchError{Name: d.file.Name, What: "size", Want: strconv.FormatInt(d.file.Size, 10), Got: "more"}
		}
		if n > 0 {
			if _, err := d.w.Write(buffer[:n]); err != nil {
				return fmt.Errorf("%s: %w", d.request.what, err)
			}
			d.sum.Write(buffer[:n])
			d.done += int64(n)
			if d.progress != nil {
				d.progress(d.done, d.total)
			}
		}
		switch {
		case err == io.EOF && (d.total < 0 || d.done >= d.total):
			return nil
		case err == io.EOF:
			return &brokenTransfer{&NetworkError{What: d.request.what, Host: d.client.base.Host, Err: io.ErrUnexpectedEOF}}
		case err != nil:
			return &brokenTransfer{err}
		}
	}
}

// refuseErrorPage tells an answer that is an error in disguise (a login page, a
// message of the server) from a file that happens to be of that kind.
func (d *download) refuseErrorPage(answer *http.Response) error {
	kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil || d.file.Size >= 0 && answer.ContentLength == d.file.Size {
		return nil
	}
	switch extension := strings.ToLower(path.Ext(d.file.Name)); {
	case kind == "text/html" && extension != ".html" && extension != ".htm":
		return &ServerError{What: d.request.what, Host: d.client.base.Host, Status: http.StatusOK, HTML: true}
	case kind == "application/json" && extension != ".json" && answer.ContentLength >= 0 && answer.ContentLength < 64<<10:
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return &brokenTransfer{err}
		}
		if err := d.client.saysFailure(d.request, body); err != nil {
			return err
		}
		answer.Body = io.NopCloser(bytes.NewReader(body))
	}
	return nil
}

// contentRange reads "bytes FIRST-LAST/TOTAL"; total is -1 for "*".
func contentRange(header string) (first, total int64, ok bool) {
	rest, ok := strings.CutPrefix(header, "bytes ")
	span, size, ok2 := strings.Cut(rest, "/")
	from, _, ok3 := strings.Cut(span, "-")
	first, err := strconv.ParseInt(from, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil {
		return 0, 0, false
	}
	total, err = strconv.ParseInt(size, 10, 64)
	if err != nil {
		total = -1
	}
	return first, total, size == "*" || err == nil
}
