package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxBundle is the size of an appbundle at most: 2 GiB.
const maxBundle = 2 << 30

// uploadLife is how long an upload URL is good for.
const uploadLife = time.Hour

// bundleInfo describes an appbundle, as appbundle_upload_info does.
type bundleInfo struct {
	Type string `json:"file_type"`
	Name string `json:"file_name"`
	Size int64  `json:"file_size"`
	Hash string `json:"hash"`
	Alg  string `json:"hash_alg"`
}

var hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// check says what is wrong with the description, "" when nothing is.
func (b bundleInfo) check() string {
	switch {
	case b.Type != "input":
		return "file_type must be input"
	case b.Name != "appbundle.tar":
		return "file_name must be appbundle.tar"
	case b.Alg != "sha2_256":
		return "hash_alg must be sha2_256"
	case !hexSHA256.MatchString(b.Hash):
		return "hash must be 64 lower-case hexadecimal digits"
	case b.Size < 1:
		return "file_size must be a positive whole number"
	case b.Size > maxBundle:
		return "file_size is over the limit of 2 GiB"
	}
	return ""
}

// parseBundleInfo decodes appbundle_upload_info, which has exactly its five keys.
func parseBundleInfo(text string) (bundleInfo, string) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil || raw == nil {
		return bundleInfo{}, "must be a JSON object"
	}
	var b bundleInfo
	fields := map[string]any{"file_type": &b.Type, "file_name": &b.Name, "file_size": &b.Size, "hash": &b.Hash, "hash_alg": &b.Alg}
	for key, value := range raw {
		into, ok := fields[key]
		if !ok {
			return bundleInfo{}, "has an unknown key " + strconv.Quote(key)
		}
		if string(value) == "null" || json.Unmarshal(value, into) != nil {
			return bundleInfo{}, "has a value of the wrong type for " + key
		}
		delete(fields, key)
	}
	for _, key := range []string{"file_type", "file_name", "file_size", "hash", "hash_alg"} {
		if _, missing := fields[key]; missing {
			return bundleInfo{}, "lacks " + key
		}
	}
	return b, b.check()
}

// handleUploadURL hands out a signed URL for an appbundle that is described.
func (e *Emulator) handleUploadURL(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	size, err := strconv.ParseInt(q.Get("file_size"), 10, 64)
	if err != nil {
		refuse(w, "file_size must be a whole number of bytes")
		return
	}
	for key, values := range q {
		switch key {
		case "file_type", "file_name", "file_size", "hash", "hash_alg":
		default:
			refuse(w, "unknown parameter "+strconv.Quote(key))
			return
		}
		if len(values) != 1 {
			refuse(w, "parameter "+key+" is given twice")
			return
		}
	}
	b := bundleInfo{Type: q.Get("file_type"), Name: q.Get("file_name"), Size: size, Hash: q.Get("hash"), Alg: q.Get("hash_alg")}
	if problem := b.check(); problem != "" {
		refuse(w, problem)
		return
	}
	ends := e.now().Add(uploadLife).Unix()
	signed := url.Values{"size": {strconv.FormatInt(b.Size, 10)}, "expires": {strconv.FormatInt(ends, 10)}}
	signed.Set("signature", e.uploadSignature(b.Hash, signed))
	link := baseURL(r) + "/upload/" + b.Hash + "?" + signed.Encode()
	reply(w, http.StatusOK, map[string]any{"success": true, "message": map[string]string{"upload_url": link}})
}

func (e *Emulator) uploadSignature(hash string, q url.Values) string {
	return e.tokens.sign(hash + "\n" + q.Get("size") + "\n" + q.Get("expires"))
}

// storageError answers as the object storage behind upload URLs does.
func storageError(w http.ResponseWriter, status int, code, message string) {
	send(w, status, "application/xml", fmt.Appendf(nil,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message))
}

// handleUpload takes the bytes of an appbundle at a signed URL.
func (e *Emulator) handleUpload(w http.ResponseWriter, r *http.Request) {
	hash, q := r.PathValue("hash"), r.URL.Query()
	size, _ := strconv.ParseInt(q.Get("size"), 10, 64)
	ends, _ := strconv.ParseInt(q.Get("expires"), 10, 64)
	switch {
	case !hexSHA256.MatchString(hash) || q.Get("signature") != e.uploadSignature(hash, q):
		storageError(w, http.StatusForbidden, "SignatureDoesNotMatch", "The URL's signature is wrong.")
	case e.now().Unix() >= ends:
		storageError(w, http.StatusForbidden, "AccessDenied", "Request has expired")
	case r.Header.Get("Authorization") != "":
		storageError(w, http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed: the URL is signed, no Authorization goes with it.")
	case r.ContentLength < 0:
		storageError(w, http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	case r.ContentLength != size:
		storageError(w, http.StatusBadRequest, "IncompleteBody", "Content-Length is not the size that the URL was made for.")
	default:
		e.receive(w, r, hash, size)
	}
}

func (e *Emulator) receive(w http.ResponseWriter, r *http.Request, hash string, size int64) {
	switch err := e.store(r.Body, hash, size); {
	case errors.Is(err, errWrongHash):
		storageError(w, http.StatusBadRequest, "BadDigest", "The SHA-256 of the body is not the one that the URL was made for.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		storageError(w, http.StatusBadRequest, "IncompleteBody", "The body ended early.")
	case err != nil:
		e.log.Error("the emulator could not store an upload", "error", err)
		storageError(w, http.StatusInternalServerError, "InternalError", "We encountered an internal error.")
	default:
		w.Header().Set("ETag", `"`+hash+`"`)
		w.WriteHeader(http.StatusOK)
	}
}

var errWrongHash = errors.New("the bytes do not have the announced hash")

// store writes an upload under its hash, whole or not at all.
func (e *Emulator) store(body io.Reader, hash string, size int64) (err error) {
	tmp, err := os.CreateTemp(filepath.Join(e.dir, "uploads"), "part-*")
	if err != nil {
		return fmt.Errorf("store an upload: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, sum), io.LimitReader(body, size))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("store an upload: %w", err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != hash {
		return errWrongHash
	}
	if err := os.Rename(tmp.Name(), e.uploadPath(hash)); err != nil {
		return fmt.Errorf("store an upload: %w", err)
	}
	return nil
}

// keepUploads is how long an appbundle is kept that no job may ever ask for.
// Jobs have their own copies.
const keepUploads = 24 * time.Hour

// pruneUploads removes old uploads, and those that a crash left unfinished.
func pruneUploads(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the emulator's uploads: %w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || strings.HasSuffix(entry.Name(), ".tar") && time.Since(info.ModTime()) < keepUploads {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("remove an old upload: %w", err)
		}
	}
	return nil
}

func (e *Emulator) uploadPath(hash string) string {
	return filepath.Join(e.dir, "uploads", hash+".tar")
}
