package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"larder/keys"
	"larder/store"
)

const (
	// recvStall is how long a client may take to send a body, for each megabyte
	// and once more.
	recvStall = 30 * time.Second
	// admitLimit is how long a write waits for others to give memory back.
	admitLimit = 10 * time.Second
	// maxMetadata is S3's bound on the metadata of an object, in bytes.
	maxMetadata = 2 << 10
)

func (a *API) put(c *call, k keys.Key) error {
	c.op = "put"
	if !c.who.Role.CanWrite() {
		return errReadOnly
	}
	h, err := headOf(c)
	if err != nil {
		return err
	}
	ifMatch, ifAbsent, err := writeConditions(c.Header)
	if err != nil {
		return err
	}
	digests, err := parseDigests(c.Header)
	if err != nil {
		return err
	}
	release, err := a.admit(c)
	if err != nil {
		return err
	}
	defer release()
	body, err := a.readBody(c)
	if err != nil {
		return err
	}
	if err := digests.check(body); err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	h.Digest = hex.EncodeToString(sum[:])
	r, err := a.wrt.Put(c.Context(), k, h, body, ifMatch, ifAbsent)
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

func (a *API) delete(c *call, k keys.Key) error {
	c.op = "delete"
	if !c.who.Role.CanWrite() {
		return errReadOnly
	}
	ifMatch, ifAbsent, err := writeConditions(c.Header)
	if err != nil {
		return err
	}
	if ifAbsent {
		return fmt.Errorf("%w: If-None-Match has no meaning for a DELETE; use If-Match", errHeader)
	}
	if err := a.wrt.Delete(c.Context(), k, ifMatch); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// headOf is what a PUT's headers say of the object.
func headOf(c *call) (store.Head, error) {
	h := store.Head{ContentType: c.Header.Get("Content-Type"), Writer: c.who.User, Meta: map[string]string{}}
	if h.ContentType == "" {
		h.ContentType = "application/octet-stream"
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
		return h, fmt.Errorf("%w: %d bytes of Larder-Meta-*; S3 keeps at most %d", store.ErrMetadata, size, maxMetadata)
	}
	if e := c.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return h, fmt.Errorf("%w: Content-Encoding %q is not kept; send the bytes as they shall come back", errHeader, e)
	}
	if c.Header.Get("Content-Range") != "" {
		return h, fmt.Errorf("%w: Content-Range: an object is put whole", errHeader)
	}
	return h, nil
}

// writeConditions are a write's If-Match and If-None-Match.
func writeConditions(h http.Header) (ifMatch []string, ifAbsent bool, err error) {
	switch none := h.Get("If-None-Match"); none {
	case "":
	case "*":
		ifAbsent = true
	default:
		return nil, false, fmt.Errorf("%w: If-None-Match on a write takes only *, not %s", errHeader, none)
	}
	for _, v := range h.Values("If-Match") {
		for tag := range strings.SplitSeq(v, ",") {
			tag = strings.TrimSpace(tag)
			if strings.HasPrefix(tag, "W/") {
				return nil, false, fmt.Errorf("%w: If-Match takes strong entity tags, not %s", errHeader, tag)
			}
			if tag = unquote(tag); tag != "" {
				ifMatch = append(ifMatch, tag)
			}
		}
	}
	if len(ifMatch) == 0 && h.Get("If-Match") != "" {
		return nil, false, fmt.Errorf("%w: If-Match names no entity tag", errHeader)
	}
	if len(ifMatch) > 0 && ifAbsent {
		return nil, false, fmt.Errorf("%w: If-Match and If-None-Match contradict each other", errHeader)
	}
	return ifMatch, ifAbsent, nil
}

// admit waits until there is room for a body, and refuses one that is announced
// as too large: before it is sent, if the client waits for 100-continue.
func (a *API) admit(c *call) (release func(), err error) {
	size := c.ContentLength
	if size > a.cfg.MaxObject {
		return nil, tooLarge(a.cfg.MaxObject)
	}
	if size < 0 {
		size = a.cfg.MaxObject
	}
	ctx, cancel := context.WithTimeout(c.Context(), admitLimit)
	defer cancel()
	if err := a.bodies.Acquire(ctx, size); err != nil {
		return nil, errBusy
	}
	return func() { a.bodies.Release(size) }, nil
}

// readBody reads a body whole.
func (a *API) readBody(c *call) ([]byte, error) {
	limit := a.cfg.MaxObject
	size := c.ContentLength
	deadline := recvStall * time.Duration(1+max(size, limit)>>20)
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(deadline)) // a reader without deadlines has none to keep
	if size >= 0 {
		body := make([]byte, size)
		if _, err := io.ReadFull(c.Body, body); err != nil {
			return nil, fmt.Errorf("%w: it was cut short: %w", errBody, err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(c.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: it was cut short: %w", errBody, err)
	}
	if int64(len(body)) > limit {
		return nil, tooLarge(limit)
	}
	return body, nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: the largest that this cluster takes has %d bytes", errTooLarge, limit)
}
