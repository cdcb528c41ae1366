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
	got, err := d.client.do(ctx, &r)
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
	defer func() { _ = got.body.Close() }() // all that is wanted of it has been read
	content, err := d.begin(got)
	if err != nil {
		return err
	}
	return d.copy(content)
}

// strong reports whether an ETag names bytes and not just a meaning.
func strong(etag string) bool { return etag != "" && !strings.HasPrefix(etag, "W/") }

// begin looks at an answer's head: is it the file, and from where on? It returns
// what follows the bytes that have arrived.
func (d *download) begin(got *answer) (io.Reader, error) {
	wrong := func(what string) (io.Reader, error) {
		return nil, &ServerError{What: d.request.what, Host: d.client.base.Host, Status: http.StatusOK, Err: errors.New(what)}
	}
	if got.status == http.StatusPartialContent {
		start, total, ok := contentRange(got.header.Get("Content-Range"))
		if !ok || d.done == 0 || start != d.done || d.total >= 0 && total >= 0 && total != d.total {
			return wrong("another part of the file than the one asked for")
		}
		return got.body, nil
	}
	content, err := d.refuseErrorPage(got)
	if err != nil {
		return nil, err
	}
	if d.done > 0 {
		return content, d.skip(content)
	}
	d.etag = got.header.Get("ETag")
	if got.length >= 0 {
		if d.total >= 0 && d.total != got.length {
			return nil, d.sizeMismatch(strconv.FormatInt(got.length, 10))
		}
		d.total = got.length
	}
	return content, nil
}

func (d *download) sizeMismatch(got string) error {
	return &MismatchError{Name: d.file.Name, What: "size", Want: strconv.FormatInt(d.total, 10), Got: got}
}

// cut is the error of a connection that ended too early.
func (d *download) cut() error {
	return &brokenTransfer{&NetworkError{What: d.request.what, Host: d.client.base.Host, Err: io.ErrUnexpectedEOF}}
}

// skip reads over what has already arrived, when the server sends the file from
// its beginning again, and makes sure that it still is the same.
func (d *download) skip(content io.Reader) error {
	again := sha256.New()
	if _, err := io.CopyN(again, content, d.done); errors.Is(err, io.EOF) {
		return d.cut()
	} else if err != nil {
		return &brokenTransfer{err}
	}
	if !bytes.Equal(again.Sum(nil), d.sum.Sum(nil)) {
		return &MismatchError{Name: d.file.Name, What: "beginning", Want: "as it was", Got: "another since the transfer broke"}
	}
	return nil
}

// copy passes the bytes on.
func (d *download) copy(content io.Reader) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := content.Read(buffer)
		if d.total >= 0 && d.done+int64(n) > d.total {
			return d.sizeMismatch("larger")
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
		case errors.Is(err, io.EOF) && (d.total < 0 || d.done >= d.total):
			return nil
		case errors.Is(err, io.EOF):
			return d.cut()
		case err != nil:
			return &brokenTransfer{err}
		}
	}
}

// refuseErrorPage tells an answer that is an error in disguise (a login page, a
// message of the server) from a file that happens to be of that kind. It returns
// the content, of which it may have looked at the beginning.
func (d *download) refuseErrorPage(got *answer) (io.Reader, error) {
	if d.file.Size >= 0 && got.length == d.file.Size {
		return got.body, nil
	}
	kind, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
	extension := strings.ToLower(path.Ext(d.file.Name))
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "text/html":
		if extension != ".html" && extension != ".htm" {
			return nil, &ServerError{What: d.request.what, Host: d.client.base.Host, Status: http.StatusOK, HTML: true}
		}
	case "application/json":
		const longest = 64 << 10 // no message is longer
		if extension == ".json" || got.length < 0 || got.length > longest {
			return got.body, nil
		}
		message, err := io.ReadAll(got.body)
		if err != nil {
			return nil, &brokenTransfer{err}
		}
		return bytes.NewReader(message), d.client.saysFailure(d.request, message)
	}
	return got.body, nil
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
