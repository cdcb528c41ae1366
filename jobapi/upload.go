package jobapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// uploadPatience is how long the storage may take to answer when all bytes are
// handed to the system, whose buffers a slow line takes a while to drain.
const uploadPatience = 5 * time.Minute

// UploadBundle brings an appbundle's tar to the place that the server names.
// open gives the bytes, from their beginning, for each attempt; they are checked
// against u while they go. progress may be nil; it is called from one goroutine,
// and starts over when an attempt does.
//
// GET /jobs/appbundle_upload_url, then PUT to the URL it names. That URL is
// signed and often on another host: our token does not go there.
func (c *Client) UploadBundle(ctx context.Context, u Upload, open func() (io.ReadCloser, error), progress func(sent, total int64)) error {
	if err := u.check(); err != nil {
		return err
	}
	for n := 1; ; n++ {
		place, err := c.uploadURL(ctx, u)
		if err != nil {
			return err
		}
		err = c.put(ctx, u, place, open, progress)
		if err == nil || n >= c.limits.attempts || !c.worthUploadingAgain(ctx, err) {
			return err
		}
		gap := max(c.limits.firstGap<<n, RetryAfter(err))
		if gap > c.limits.longest {
			return err
		}
		c.log.InfoContext(ctx, "uploading again", "after", gap, "because", err)
		if err := c.wait(ctx, gap); err != nil {
			return fmt.Errorf("upload the appbundle: %w", err)
		}
	}
}

// worthUploadingAgain: besides what passes by itself, a signature that ran out
// (403) is mended by a new URL.
func (c *Client) worthUploadingAgain(ctx context.Context, err error) bool {
	if c.worthRepeating(ctx, err) {
		return true
	}
	e, ok := errors.AsType[*ServerError](err)
	return ok && e.Status == http.StatusForbidden && ctx.Err() == nil
}

func (c *Client) uploadURL(ctx context.Context, u Upload) (*url.URL, error) {
	query := url.Values{
		"file_type": {"input"}, "file_name": {bundleName}, "file_size": {strconv.FormatInt(u.Size, 10)},
		"hash": {strings.ToLower(u.SHA256)}, "hash_alg": {"sha2_256"},
	}
	r := c.get("ask where to upload the appbundle", query, "jobs", "appbundle_upload_url")
	var answer struct {
		Message struct {
			URL string `json:"upload_url"`
		} `json:"message"`
	}
	if err := c.fetch(ctx, r, &answer); err != nil {
		return nil, err
	}
	place, err := url.Parse(answer.Message.URL)
	if err != nil || !secureEnough(place) || place.Scheme != "https" && !isLoopback(c.base.Hostname()) {
		return nil, &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: errors.New("no URL that is safe to upload to")}
	}
	return place, nil
}

func (c *Client) put(ctx context.Context, u Upload, place *url.URL, open func() (io.ReadCloser, error), progress func(sent, total int64)) error {
	r := &request{what: "upload the appbundle", method: http.MethodPut, url: place.String(), anonymous: true, once: true, length: u.Size, patience: uploadPatience}
	body := &uploadBody{total: u.Size, sum: sha256.New(), want: strings.ToLower(u.SHA256), progress: progress}
	r.body = func() (io.ReadCloser, error) {
		file, err := open()
		body.ReadCloser = file
		return body, err
	}
	got, err := c.do(ctx, r)
	if err == nil {
		_ = got.body.Close() // it is empty, or at least of no interest
	}
	if changed := body.end(); changed != nil {
		return changed
	}
	return err
}

// uploadBody is the tar on its way: counted, hashed, reported. The transport may
// still read it when an early answer has come, so it is ended explicitly.
type uploadBody struct {
	io.ReadCloser
	total    int64
	want     string
	progress func(sent, total int64)

	mu    sync.Mutex // guards what follows
	sent  int64
	sum   hash.Hash
	wrong error // the bytes are not those that were announced
	ended bool
}

func (b *uploadBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, errors.New("the upload has ended")
	}
	n, err := b.ReadCloser.Read(p)
	b.sent += int64(n)
	b.sum.Write(p[:n])
	if b.wrong = b.inspect(err); b.wrong != nil {
		return 0, b.wrong // the request breaks off before the last bytes are out
	}
	if n > 0 && b.progress != nil {
		b.progress(b.sent, b.total)
	}
	return n, err
}

// inspect finds out whether the bytes are those that were announced. The hash
// is complete with the last byte, before the transport hands that on.
func (b *uploadBody) inspect(err error) error {
	switch {
	case b.sent > b.total || errors.Is(err, io.EOF) && b.sent < b.total:
		return errors.New("the appbundle changed while it was uploaded: its size is another")
	case b.sent == b.total && hex.EncodeToString(b.sum.Sum(nil)) != b.want:
		return errors.New("the appbundle changed while it was uploaded: its SHA-256 is another")
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read the appbundle: %w", err)
	}
	return nil
}

// end makes sure that nothing is read or reported any more, and returns what
// was wrong with the bytes.
func (b *uploadBody) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return b.wrong
}
