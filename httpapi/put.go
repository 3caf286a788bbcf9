package httpapi

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"larder/auth"
	"larder/store"
	"larder/writepath"
)

const (
	// recvStall is how long a client may take to send a megabyte of a body.
	recvStall = 30 * time.Second
	// admitLimit is how long a write waits for others to give memory back.
	admitLimit = 10 * time.Second
	// maxMetadata is S3's bound on the metadata of an object, in bytes.
	maxMetadata = 2 << 10
)

func (a *API) put(c *call) error {
	if !c.who.Role.CanWrite() {
		return errReadOnly
	}
	if c.ContentLength == 0 && c.Header.Get("Content-Length") == "" && len(c.TransferEncoding) == 0 {
		return errLength
	}
	h, err := headOf(c)
	if err != nil {
		return err
	}
	cond, err := writeConditions(c.Header)
	if err != nil {
		return err
	}
	digests, err := parseDigests(c.Header)
	if err != nil {
		return err
	}
	if c.ContentLength > a.cfg.MaxObject {
		return tooLarge(a.cfg.MaxObject)
	}
	r, err := a.take(c, h, digests, cond)
	if err != nil {
		return err
	}
	c.w.Header().Set("Etag", `"`+r.Head.Version+`"`)
	status := http.StatusOK
	if r.Created {
		status = http.StatusCreated
	}
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(status)
	return nil
}

// take reads a body and writes it: whole if it fits into a chunk, in parts if it
// does not.
func (a *API) take(c *call, h store.Head, d digests, cond writepath.Conditions) (writepath.Result, error) {
	body := &pacedBody{r: c.Body, deadline: http.NewResponseController(c.w).SetReadDeadline}
	defer func() { c.received += body.received }()
	if c.ContentLength > a.cfg.ChunkSize {
		return a.takeLarge(c, h, d, body, cond)
	}
	small := min(a.cfg.ChunkSize, a.cfg.MaxObject)
	size := c.ContentLength
	if size < 0 {
		size = small + 1 // one more tells a large object
	}
	admitted, err := a.admit(c, size)
	if err != nil {
		return writepath.Result{}, err
	}
	release := sync.OnceFunc(admitted)
	defer release()
	first := make([]byte, size)
	n, err := io.ReadFull(body, first)
	unknown := c.ContentLength < 0
	switch {
	case err == nil && unknown && small == a.cfg.MaxObject:
		return writepath.Result{}, tooLarge(a.cfg.MaxObject)
	case err == nil && unknown:
		// What was read is given back once it has gone into a part.
		return a.takeLarge(c, h, d, io.MultiReader(bytes.NewReader(first), atEnd(release), body), cond)
	case err != nil && (!unknown || body.err != io.EOF): //nolint:errorlint // an end that is announced is io.EOF itself
		return writepath.Result{}, body.cutShort()
	}
	first = first[:n]
	sums := d.hashes(c.Request)
	sum := sums.sum("sha-256") // kept with the object, stated or not
	_, _ = sums.Write(first)   // hashes take everything
	if err := a.verify(c, sums); err != nil {
		return writepath.Result{}, err
	}
	h.Digest = hex.EncodeToString(sum.Sum(nil))
	c.digest = h.Digest
	return a.wrt.Put(c.Context(), c.key, h, first, cond)
}

// atEnd is a reader of nothing, which does something when it is reached.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// takeLarge writes a body in parts while it is read. Its digest is kept with the
// object only if the request states it, since the store wants to know it first.
func (a *API) takeLarge(c *call, h store.Head, d digests, body io.Reader, cond writepath.Conditions) (writepath.Result, error) {
	sums := d.hashes(c.Request)
	h.Digest = d.sha256()
	c.digest = h.Digest
	r, err := a.wrt.PutLarge(c.Context(), c.key, h, io.TeeReader(body, sums), func() error { return a.verify(c, sums) }, cond)
	if errors.Is(err, writepath.ErrTooLarge) {
		return r, tooLarge(a.cfg.MaxObject)
	}
	return r, err
}

// verify looks, once a body has come and before anything of it is visible, whether
// it is what the request states, in trailers too, and whether its sender may still
// write: a body may take hours.
func (a *API) verify(c *call, sums *hashes) error {
	trailing, err := parseDigests(c.Trailer)
	if err != nil {
		return err
	}
	if err := sums.verify(trailing); err != nil {
		return err
	}
	who, err := a.authenticate(c)
	switch {
	case err != nil:
		return err
	case who.Org != c.who.Org:
		return auth.ErrBadCredential
	case !who.Role.CanWrite():
		return errReadOnly
	}
	return nil
}

func (a *API) delete(c *call) error {
	if !c.who.Role.CanWrite() {
		return errReadOnly
	}
	cond, err := writeConditions(c.Header)
	if err != nil {
		return err
	}
	if cond.IfAbsent {
		return fmt.Errorf("%w: If-None-Match has no meaning for a DELETE; use If-Match", errHeader)
	}
	if err := a.wrt.Delete(c.Context(), c.key, cond.IfMatch); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// headOf is what a PUT's headers say of the object.
func headOf(c *call) (store.Head, error) {
	h := store.Head{Writer: c.who.User, Meta: map[string]string{}}
	var err error
	if h.ContentType, err = typeOf(c.Header.Get("Content-Type")); err != nil {
		return h, err
	}
	size := 0
	for name, values := range c.Header {
		meta, ok := strings.CutPrefix(name, metaPrefix)
		if !ok || meta == "" {
			continue
		}
		value := strings.Join(values, ", ")
		if !utf8.ValidString(value) {
			return h, fmt.Errorf("%w: %s is not UTF-8", errHeader, name)
		}
		h.Meta[strings.ToLower(meta)] = value
		size += len(meta) + len(value)
	}
	if size > maxMetadata {
		return h, fmt.Errorf("%w: %d bytes of Larder-Meta-*; S3 keeps at most %d", errMetadata, size, maxMetadata)
	}
	if e := c.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return h, fmt.Errorf("%w: Content-Encoding %q is not kept; send the bytes as they shall come back", errHeader, e)
	}
	if c.Header.Get("Content-Range") != "" {
		return h, fmt.Errorf("%w: Content-Range: an object is put whole", errHeader)
	}
	return h, nil
}

// typeOf is the type that an object is kept with. Programs that send forms say
// that a body is one, asked or not: with one kind that is true, and what would be
// stored is not what was meant; the other they say of any bytes, and mean none.
func typeOf(contentType string) (string, error) {
	media, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "multipart/form-data":
		return "", errForm
	case "", "application/x-www-form-urlencoded":
		return "application/octet-stream", nil
	}
	return contentType, nil
}

// writeConditions are a write's If-Match and If-None-Match.
func writeConditions(h http.Header) (c writepath.Conditions, err error) {
	if h.Get("If-Unmodified-Since") != "" && h.Get("If-Match") == "" {
		return c, fmt.Errorf("%w: If-Unmodified-Since guards no write, since two may fall into one second; use If-Match with the ETag", errHeader)
	}
	switch none := h.Get("If-None-Match"); none {
	case "":
	case "*":
		c.IfAbsent = true
	default:
		return c, fmt.Errorf("%w: If-None-Match on a write takes only *, not %s", errHeader, none)
	}
	for tag := range entityTags(h.Values("If-Match")) {
		if strings.HasPrefix(tag, "W/") {
			return c, fmt.Errorf("%w: If-Match takes strong entity tags, not %s", errHeader, tag)
		}
		if tag = unquote(tag); tag != "" {
			c.IfMatch = append(c.IfMatch, tag)
		}
	}
	if len(c.IfMatch) == 0 && h.Get("If-Match") != "" {
		return c, fmt.Errorf("%w: If-Match names no entity tag", errHeader)
	}
	if len(c.IfMatch) > 0 && c.IfAbsent {
		return c, fmt.Errorf("%w: If-Match and If-None-Match contradict each other", errHeader)
	}
	return c, nil
}

// admit waits until there is room for a body of this size.
func (a *API) admit(c *call, size int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(c.Context(), admitLimit)
	defer cancel()
	if err := a.bodies.Acquire(ctx, size); err != nil {
		return nil, errBusy
	}
	return func() { a.bodies.Release(size) }, nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: the largest that this cluster takes has %d bytes", errTooLarge, limit)
}

// pacedBody reads a body, and gives the client time for each megabyte of it.
type pacedBody struct {
	r        io.Reader
	deadline func(time.Time) error
	left     int   // bytes until the next megabyte
	received int64 // bytes so far
	err      error // what ended it: io.EOF if the client ended it
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.left = 1 << 20
		_ = b.deadline(time.Now().Add(recvStall)) // a reader without deadlines has none to keep
	}
	n, err := b.r.Read(p)
	b.left -= n
	b.received += int64(n)
	if err != nil {
		b.err = err
	}
	if err != nil && err != io.EOF { //nolint:errorlint // the end is io.EOF itself
		err = b.cutShort()
	}
	return n, err
}

// cutShort says how a body ended before its end. The connection's own words would
// tell the address of the node behind a proxy.
func (b *pacedBody) cutShort() error {
	if errors.Is(b.err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: after %d bytes, less than a megabyte came in %s", errBody, b.received, recvStall)
	}
	return fmt.Errorf("%w: it was cut short after %d bytes", errBody, b.received)
}
