package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"larder/fill"
	"larder/keys"
	"larder/store"
)

func (a *API) get(c *call, k keys.Key) error {
	c.op = "get"
	opts := options(c)
	if notModified, err := a.notModified(c, k, opts); notModified || err != nil {
		return err
	}
	send := a.sendWhole
	if conditional(c.Header) {
		send = a.sendPart
	}
	asked := c.Header.Get("Range")
	for range readTries {
		err := send(c, k, opts)
		if c.w.status != 0 || !errors.Is(err, store.ErrPrecondition) {
			return err
		}
		// The version was rewritten before a byte of it was sent. That is of no
		// concern to the caller, who asked for no version: the answer begins again.
		dropObject(c.w.Header())
		c.Header.Set("Range", asked)
		opts.Fresh = true
	}
	return fmt.Errorf("get %s: rewritten faster than it can be read: %w", k, store.ErrUnavailable)
}

// readTries is how often an answer begins, at most.
const readTries = 3

func (a *API) sendWhole(c *call, k keys.Key, o fill.Options) error {
	obj, err := a.read.Open(c.Context(), k, o)
	if err != nil {
		return err
	}
	defer obj.Close()
	c.source = obj.Source
	setHeaders(c.w.Header(), obj.Head, obj.Source)
	if obj.Head.Size > autoLength {
		c.w.Header().Set("Content-Length", strconv.FormatInt(obj.Head.Size, 10))
	}
	return obj.Send(c.Context(), c.w)
}

// sendPart answers a request for a part, or under a condition.
func (a *API) sendPart(c *call, k keys.Key, o fill.Options) error {
	o.Lazy = true
	obj, err := a.read.Open(c.Context(), k, o)
	if err != nil {
		return err
	}
	defer obj.Close()
	asked := byteRange(c.Header.Get("Range"), obj.Head.Size)
	c.Header.Set("Range", asked)
	content := obj.Reader(c.Context(), rangeEnd(asked, obj.Head.Size))
	defer content.Close()
	setHeaders(c.w.Header(), obj.Head, "")
	// The first byte that is sent decides where the answer comes from, and is
	// fetched before the header, so that a failure has a status of its own.
	return a.serveContent(c, obj.Head, content, func() error {
		err := content.Ready()
		c.source = obj.Source
		c.w.Header().Set("Cache-Status", cacheStatus(obj.Source))
		return err
	})
}

// byteRange is what a Range header asks for, as ServeContent takes it; empty is
// the whole. RFC 9110 has units other than bytes ignored (14.2), and lets several
// ranges be. The last 0 bytes, which cannot be had (14.1.2), ServeContent would
// answer with 206, and so they become what begins at the end.
func byteRange(header string, size int64) string {
	unit, spec, _ := strings.Cut(header, "=")
	if !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(spec, ",") {
		return ""
	}
	spec = strings.TrimSpace(spec)
	if suffix, ok := strings.CutPrefix(spec, "-"); ok {
		if n, err := strconv.ParseUint(suffix, 10, 64); err == nil && n == 0 {
			spec = strconv.FormatInt(size, 10) + "-"
		}
	}
	return "bytes=" + spec
}

// rangeEnd is where the range ends that a header asks for, as far as it can be
// told before ServeContent has judged it; without a header, where the object does.
func rangeEnd(header string, size int64) int64 {
	if header == "" {
		return size
	}
	spec, _ := strings.CutPrefix(header, "bytes=")
	first, last, _ := strings.Cut(spec, "-")
	if end, err := strconv.ParseInt(strings.TrimSpace(last), 10, 64); err == nil && first != "" {
		return min(end+1, size)
	}
	return size
}

func (a *API) head(c *call, k keys.Key) error {
	c.op = "head"
	h, source, err := a.read.Stat(c.Context(), k, options(c))
	if err != nil {
		return err
	}
	c.source = source
	setHeaders(c.w.Header(), h, source)
	if noneMatch(c.Header, h.Version) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	c.Header.Del("Range") // which only a GET has; without it no content is read for a HEAD
	if conditional(c.Header) {
		return a.serveContent(c, h, io.NewSectionReader(nil, 0, h.Size), func() error { return nil })
	}
	c.w.Header().Set("Content-Length", strconv.FormatInt(h.Size, 10))
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// options of a read, from the request.
func options(c *call) fill.Options {
	for _, v := range c.Header.Values("Cache-Control") {
		for d := range strings.SplitSeq(v, ",") {
			if d = strings.ToLower(strings.TrimSpace(d)); d == "no-cache" || d == "no-store" || d == "max-age=0" {
				return fill.Options{Fresh: true}
			}
		}
	}
	return fill.Options{}
}

// notModified answers a reader who has the current version already, without
// fetching its bytes.
func (a *API) notModified(c *call, k keys.Key, o fill.Options) (bool, error) {
	if c.Header.Get("If-None-Match") == "" || c.Header.Get("If-Match") != "" || c.Header.Get("If-Unmodified-Since") != "" {
		return false, nil // the others come first, and are the standard library's
	}
	h, source, err := a.read.Stat(c.Context(), k, o)
	if err != nil || !noneMatch(c.Header, h.Version) {
		return false, err
	}
	c.source = source
	setHeaders(c.w.Header(), h, source)
	c.w.Header().Del("Content-Type")
	c.w.WriteHeader(http.StatusNotModified)
	return true, nil
}

// noneMatch says whether If-None-Match names this version.
func noneMatch(h http.Header, version string) bool {
	for _, v := range h.Values("If-None-Match") {
		for tag := range strings.SplitSeq(v, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || version != "" && unquote(tag) == version {
				return true
			}
		}
	}
	return false
}

// unquote is the version in an entity tag, weak or strong; tags without
// quotes, which some clients send, are taken as they are.
func unquote(tag string) string {
	return strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)
}

// conditional says whether a request asks for a part, or under a condition.
func conditional(h http.Header) bool {
	for _, name := range []string{"Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}

// serveContent leaves ranges and conditions to the standard library, and turns
// its refusals into problems. ready is called before a header with content.
func (a *API) serveContent(c *call, h store.Head, content io.ReadSeeker, ready func() error) error {
	w := &refusals{ResponseWriter: c.w, ready: ready}
	http.ServeContent(w, c.Request, "", h.Modified, content)
	switch w.refused {
	case 0:
		if w.err != nil {
			c.w.Header().Del("Content-Range")
			return w.err
		}
		return sentWhole(c)
	case http.StatusRequestedRangeNotSatisfiable:
		c.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", h.Size))
		return fmt.Errorf("%w: %s of %d bytes", errRange, c.Header.Get("Range"), h.Size)
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%w: its version is %q", errCondition, h.Version)
	}
	return errors.New("ServeContent refused with status " + strconv.Itoa(w.refused))
}

// errCutShort ends an answer whose connection, or whose content, broke off.
var errCutShort = errors.New("the answer was cut short")

// sentWhole is an error if less was sent than the header announced, which
// http.ServeContent does not say.
func sentWhole(c *call) error {
	announced, err := strconv.ParseInt(c.w.Header().Get("Content-Length"), 10, 64)
	if err != nil || c.Method == http.MethodHead || c.w.bytes == announced {
		return nil //nolint:nilerr // an answer without a length has no content
	}
	return fmt.Errorf("%w: %d of %d bytes were sent", errCutShort, c.w.bytes, announced)
}

// refusals keeps back what http.ServeContent would answer with a status of 400
// or more, and everything once ready has failed.
type refusals struct {
	http.ResponseWriter
	ready   func() error
	refused int
	err     error // of ready
}

func (r *refusals) WriteHeader(status int) {
	switch {
	case status >= http.StatusBadRequest:
		r.refused = status
	case status == http.StatusOK || status == http.StatusPartialContent:
		if r.err = r.ready(); r.err == nil {
			r.ResponseWriter.WriteHeader(status)
		}
	default:
		r.ResponseWriter.WriteHeader(status)
	}
}

func (r *refusals) Write(b []byte) (int, error) {
	if r.refused != 0 {
		return len(b), nil
	}
	if r.err != nil {
		return 0, r.err
	}
	return r.ResponseWriter.Write(b)
}
