package httpapi

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"larder/httpapi/auth"
	"larder/store"
	"larder/writepath"
)

// maxMetadata is S3's bound on the metadata of an object, in bytes.
const maxMetadata = 2 << 10

func (a *API) put(c *call) error {
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
	if cond.Claim, err = a.claimOfWrite(c, cond); err != nil {
		return err
	}
	if cond.ExpiresIn, err = a.lifeOf(c); err != nil {
		return err
	}
	digests, err := parseDigests(c.Header)
	if err != nil {
		return err
	}
	if c.ContentLength > a.cfg.MaxObject {
		return tooLarge(a.cfg.MaxObject)
	}
	stop := a.speakFor(c, cond.Claim)
	r, err := a.take(c, h, digests, cond)
	stop()
	if errors.Is(err, writepath.ErrClaimLost) {
		return &buildError{error: err, etag: r.Head.Version}
	}
	if err != nil {
		return err
	}
	c.w.Header().Set("Etag", `"`+r.Head.Version+`"`)
	if !r.Head.Expires.IsZero() {
		c.w.Header().Set("Expires", r.Head.Expires.UTC().Format(http.TimeFormat))
	}
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
	fits := func(size int64) (int64, error) { return a.fits(c, size) }
	most, err := fits(max(c.ContentLength, 0))
	if err != nil {
		return writepath.Result{}, err
	}
	if err := a.charge(c, max(c.ContentLength, 0)); err != nil {
		return writepath.Result{}, err
	}
	body := newPacedBody(c, most, fits)
	defer func() {
		body.done()
		c.received += body.received
		if c.ContentLength < 0 {
			a.cfg.Usage.ChargeLate(c.who.Org, c.who.User, body.received)
		}
	}()
	sums := d.hashes(c.Request)
	hashed := io.TeeReader(body, sums)
	if c.ContentLength > a.cfg.ChunkSize {
		return a.takeLarge(c, h, d, sums, body, hashed, cond)
	}
	sum := sums.sum("sha-256") // kept with the object, stated or not
	first, err := a.receive(c, body, min(a.cfg.ChunkSize, a.cfg.MaxObject), sums)
	if err != nil {
		return writepath.Result{}, err
	}
	release := sync.OnceFunc(func() {
		body.done()
		first.grant.Release()
	})
	defer release()
	switch {
	case first.more && a.cfg.MaxObject <= a.cfg.ChunkSize:
		return writepath.Result{}, tooLarge(a.cfg.MaxObject)
	case first.more:
		// What was read is given back once it has gone into a part.
		return a.takeLarge(c, h, d, sums, body, io.MultiReader(bytes.NewReader(first.bytes), atEnd(release), hashed), cond)
	}
	body.done() // nothing more is waited for from the client
	if len(c.Trailer) > 0 {
		sums.also("sha-512", first.bytes) // it may state what it did not announce
	}
	if err := a.verify(c, sums); err != nil {
		return writepath.Result{}, err
	}
	h.Digest = hex.EncodeToString(sum.Sum(nil))
	c.digest = h.Digest
	return a.wrt.Put(c.Context(), c.key, h, first.bytes, cond)
}

// atEnd is a reader of nothing, which does something when it is reached.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// takeLarge writes a body in parts while it is read. Its digest is kept with the
// object only if the request states it, since the store wants to know it first. sums has
// all of the body once whole is read.
func (a *API) takeLarge(c *call, h store.Head, d digests, sums *hashes, body *pacedBody, whole io.Reader, cond writepath.Conditions) (writepath.Result, error) {
	h.Digest = d.sha256()
	c.digest = h.Digest
	r, err := a.wrt.PutLarge(c.Context(), c.key, writepath.Upload{
		Head: h, Conditions: cond, Body: whole, Cut: body.cut,
		Verify: func() error { return a.verify(c, sums) },
	})
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
	}
	return who.May(auth.Write, c.service, c.key.Name)
}

func (a *API) delete(c *call) error {
	for _, name := range []string{"prefix", "dry_run", "older_than", "writer", "env_date", "env_hash"} {
		if c.query.Has(name) { // who sent it wants to count, or to remove less
			return fmt.Errorf("%w: %s is of a removal of many, and this names one key: leave it out, or leave out the key and give ?prefix=", errQuery, name)
		}
	}
	cond, err := writeConditions(c.Header)
	if err != nil {
		return err
	}
	if cond.IfAbsent {
		return fmt.Errorf("%w: If-None-Match has no meaning for a DELETE; use If-Match", errHeader)
	}
	if err := a.wrt.Delete(c.Context(), c.key, c.who.User, cond.IfMatch); err != nil {
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
	if e := joined(c.Header, "Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return h, fmt.Errorf("%w: Content-Encoding %q is not kept; send the bytes as they shall come back", errHeader, e)
	}
	if present(c.Header, "Content-Range") {
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

// writeConditions are a write's If-Match and If-None-Match. One that says nothing is
// refused: its sender meant to guard the write.
func writeConditions(h http.Header) (c writepath.Conditions, err error) {
	if present(h, "If-Unmodified-Since") && !present(h, "If-Match") {
		return c, fmt.Errorf("%w: If-Unmodified-Since guards no write, since two may fall into one second; use If-Match with the ETag", errHeader)
	}
	if len(h.Values("If-None-Match")) > 0 {
		if none := joined(h, "If-None-Match"); none != "*" {
			return c, fmt.Errorf("%w: If-None-Match on a write takes only *, not '%s'", errHeader, none)
		}
		c.IfAbsent = true
	}
	for tag := range entityTags(h.Values("If-Match")) {
		if strings.HasPrefix(tag, "W/") {
			return c, fmt.Errorf("%w: If-Match takes strong entity tags, not %s", errHeader, tag)
		}
		if tag = unquote(tag); tag != "" {
			c.IfMatch = append(c.IfMatch, tag)
		}
	}
	if len(c.IfMatch) == 0 && len(h.Values("If-Match")) > 0 {
		return c, fmt.Errorf("%w: If-Match names no entity tag", errHeader)
	}
	if len(c.IfMatch) > 0 && c.IfAbsent {
		return c, fmt.Errorf("%w: If-Match and If-None-Match contradict each other", errHeader)
	}
	return c, nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: the largest that this cluster takes has %d bytes", errTooLarge, limit)
}
