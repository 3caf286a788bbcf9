package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"larder/keys"
	"larder/store"
)

// recvStall is how long a client may pause while it sends a body.
const recvStall = 30 * time.Second

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
	for name, values := range c.Header {
		if meta, ok := strings.CutPrefix(name, metaPrefix); ok && meta != "" {
			h.Meta[strings.ToLower(meta)] = strings.Join(values, ", ")
		}
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

// readBody reads a body whole. A body that is announced as too large is
// refused before it is sent, if the client waits for 100-continue.
func (a *API) readBody(c *call) ([]byte, error) {
	limit := a.cfg.MaxObject
	if c.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	in := &stallReader{r: c.Body, deadline: http.NewResponseController(c.w).SetReadDeadline}
	if c.ContentLength >= 0 {
		body := make([]byte, c.ContentLength)
		if _, err := io.ReadFull(in, body); err != nil {
			return nil, fmt.Errorf("%w: it was cut short: %w", errBody, err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(in, limit+1))
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

// stallReader gives each read its own time.
type stallReader struct {
	r        io.Reader
	deadline func(time.Time) error
}

func (s *stallReader) Read(p []byte) (int, error) {
	if err := s.deadline(time.Now().Add(recvStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return s.r.Read(p)
}
