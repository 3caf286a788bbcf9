package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"larder/fill"
	"larder/store"
)

// readTries is how often an answer begins, at most.
const readTries = 3

func (a *API) get(c *call) error {
	opts := options(c)
	send := a.sendWhole
	if conditional(c.Header) || len(c.Header.Values(maxAge)) > 0 {
		send = a.sendJudged
	}
	var err error
	for range readTries {
		err = send(c, opts)
		if c.w.status != 0 || !errors.Is(err, store.ErrPrecondition) {
			return err
		}
		// The version was rewritten before a byte of it was sent. That is of no
		// concern to the caller, who asked for no version: the answer begins again.
		dropObject(c.w.Header())
		opts.Fresh = true
	}
	return fmt.Errorf("get %s: rewritten faster than it can be read: %w: %s", c.key, store.ErrUnavailable, err.Error())
}

// sendWhole answers a request without conditions: the head and the first bytes are
// fetched at once.
func (a *API) sendWhole(c *call, o fill.Options) error {
	obj, err := a.read.Open(c.Context(), c.key, o)
	if err != nil {
		return err
	}
	defer obj.Close()
	c.source = obj.Source
	if err := a.charge(c, obj.Head.Size); err != nil {
		return err
	}
	setHeaders(c.w.Header(), obj.Head, lastModified(obj.Head, time.Now()), obj.Source)
	if obj.Head.Size > autoLength || c.isPart { // else net/http finds it out
		c.w.Header().Set("Content-Length", strconv.FormatInt(obj.Head.Size, 10))
	}
	c.w.taker = obj
	if err := obj.Send(c.Context(), c.w); err != nil {
		return err
	}
	a.hit(c, obj.Head)
	return nil
}

// sendJudged answers a request for a part, or under a condition: the head comes
// first, and then the bytes that it takes.
func (a *API) sendJudged(c *call, o fill.Options) error {
	o.Lazy = true
	obj, err := a.read.Open(c.Context(), c.key, o)
	if err != nil {
		return err
	}
	defer obj.Close()
	c.source = obj.HeadSource
	if err := checkAge(c, obj.Head, time.Now()); err != nil {
		return err
	}
	modified := lastModified(obj.Head, time.Now())
	v := judge(c.Method, c.Header, obj.Head, modified)
	if v.status >= http.StatusMultipleChoices {
		if v.status == http.StatusNotModified { // the caller has the bytes, and need not build them either
			a.hit(c, obj.Head)
		}
		return notSent(c, obj.Head, modified, v)
	}
	if err := a.charge(c, v.end-v.first); err != nil {
		return err
	}
	// The first byte that is sent decides where the answer comes from, and is
	// fetched before the header, so that a failure has a status of its own.
	part, err := obj.Part(c.Context(), v.first, v.end)
	if err != nil {
		return err
	}
	defer part.Close()
	if obj.Source != "" {
		c.source = obj.Source
	}
	setHeaders(c.w.Header(), obj.Head, modified, c.source)
	c.w.Header().Set("Content-Length", strconv.FormatInt(v.end-v.first, 10))
	if v.status == http.StatusPartialContent {
		c.w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", v.first, v.end-1, obj.Head.Size))
	}
	c.w.WriteHeader(v.status)
	c.w.taker = obj
	if err := part.Send(c.Context(), c.w); err != nil {
		return err
	}
	if v.first == 0 && v.end == obj.Head.Size { // a part saves nothing: its caller may take many
		a.hit(c, obj.Head)
	}
	return nil
}

func (a *API) head(c *call) error {
	h, source, err := a.read.Stat(c.Context(), c.key, options(c))
	if err != nil {
		return err
	}
	c.source = source
	if err := checkAge(c, h, time.Now()); err != nil {
		return err
	}
	modified := lastModified(h, time.Now())
	if v := judge(c.Method, c.Header, h, modified); v.status != http.StatusOK {
		return notSent(c, h, modified, v)
	}
	setHeaders(c.w.Header(), h, modified, source)
	c.w.Header().Set("Content-Length", strconv.FormatInt(h.Size, 10))
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// notSent answers with a verdict that sends nothing of the object.
func notSent(c *call, h store.Head, modified time.Time, v verdict) error {
	switch v.status {
	case http.StatusRequestedRangeNotSatisfiable:
		c.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", h.Size))
		return fmt.Errorf("%w: %s of %d bytes", errRange, c.Header.Get("Range"), h.Size)
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%w: its version is %q", errCondition, h.Version)
	}
	setHeaders(c.w.Header(), h, modified, c.source)
	c.w.Header().Del("Content-Type")
	c.w.WriteHeader(v.status)
	return nil
}

// options of a read, from the request.
func options(c *call) fill.Options {
	return fill.Options{User: c.who.Org + "/" + c.who.User, Fresh: wantsFresh(c.Header.Values("Cache-Control")), Found: c.found, Cut: c.w.cut}
}

// wantsFresh reports whether a request asks the store itself.
func wantsFresh(cacheControl []string) bool {
	for _, v := range cacheControl {
		for d := range strings.SplitSeq(v, ",") {
			if d = strings.ToLower(strings.TrimSpace(d)); d == "no-cache" || d == "no-store" || d == "max-age=0" {
				return true
			}
		}
	}
	return false
}
