package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"larder/auth"
	"larder/fill"
	"larder/keys"
	"larder/store"
	"larder/writepath"
)

// Refusals that only this package knows.
var (
	errNoRoute   = errors.New("there is nothing here; try /v1/objects/KEY, /v1/strategies/KEY, /v1/objects?prefix=, /v1/strategies?prefix= or /v1/whoami")
	errHost      = errors.New("this node serves without tokens, and so not under a name of the internet: use its address or localhost, or start it with --tokens-file")
	errMethod    = errors.New("method not allowed")
	errReadOnly  = errors.New("this token may only read; ask for one with the role writer")
	errTooLarge  = errors.New("object too large")
	errBody      = errors.New("bad body")
	errDigest    = errors.New("bad digest")
	errHeader    = errors.New("bad header")
	errQuery     = errors.New("bad query")
	errBusy      = errors.New("this node holds as many bytes of writes under way as it may")
	errRange     = errors.New("the object has no such range")
	errCondition = errors.New("the object is not the one that the request's condition names")
)

// problemType is what the types of all problems begin with.
const problemType = "urn:larder:problem:"

// problem is an answer of RFC 9457, "Problem Details for HTTP APIs".
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// kind is what an error means to a caller.
type kind struct {
	err    error
	status int
	name   string
	title  string
	advice string // follows the error's own text; alone if hide
	hide   bool   // the error's own text is not for callers
}

// kinds turn errors into statuses: the first that the error is decides.
func kinds() []kind {
	return []kind{
		{err: keys.ErrBadKey, status: 400, name: "bad-key", title: "Bad key"},
		{err: errDigest, status: 400, name: "bad-digest", title: "Digest does not match"},
		{err: errBody, status: 400, name: "bad-body", title: "Body not complete"},
		{err: errHeader, status: 400, name: "bad-header", title: "Bad header"},
		{err: errQuery, status: 400, name: "bad-query", title: "Bad query"},
		{err: store.ErrMetadata, status: 400, name: "bad-metadata", title: "Bad metadata"},
		{err: auth.ErrNoCredential, status: 401, name: "no-credential", title: "No credential", hide: true,
			advice: "send a token: 'Authorization: Bearer TOKEN', or Basic with the token as password"},
		{err: auth.ErrExpired, status: 401, name: "expired-credential", title: "Credential expired", hide: true,
			advice: "this token has expired; ask for a new one"},
		{err: auth.ErrBadCredential, status: 401, name: "bad-credential", title: "Bad credential", hide: true,
			advice: "this token is not known here; check that it is whole, meant for this cluster, and sent as 'Authorization: Bearer TOKEN'"},
		{err: errHost, status: 403, name: "foreign-host", title: "Not this host"},
		{err: errReadOnly, status: 403, name: "read-only", title: "Token may only read"},
		{err: errNoRoute, status: 404, name: "no-route", title: "No such resource"},
		{err: writepath.ErrNotApplied, status: 503, name: "not-written", title: "Nothing was written", advice: "; try again"},
		{err: store.ErrArchived, status: 404, name: "not-found", title: "No such object", hide: true,
			advice: "a rule of the bucket has moved this object to an archive, where it cannot be read; a PUT replaces it, and an operator can restore it"},
		{err: store.ErrNotFound, status: 404, name: "not-found", title: "No such object", hide: true,
			advice: "there is no object of this key in your organisation; ?prefix= lists those that there are"},
		{err: errMethod, status: 405, name: "method-not-allowed", title: "Method not allowed"},
		{err: store.ErrConflict, status: 409, name: "conflict", title: "Concurrent write", advice: "; read the key again and decide anew"},
		{err: errCondition, status: 412, name: "precondition-failed", title: "Precondition failed"},
		{err: store.ErrPrecondition, status: 412, name: "precondition-failed", title: "Precondition failed", hide: true,
			advice: "what is there now is not what If-Match or If-None-Match asks for; read it again for its ETag"},
		{err: errBusy, status: 503, name: "busy", title: "Too much at once", advice: "; try again"},
		{err: fill.ErrBusy, status: 503, name: "busy", title: "Too much at once", advice: "; try again"},
		{err: errTooLarge, status: 413, name: "too-large", title: "Object too large"},
		{err: errRange, status: 416, name: "no-such-range", title: "No such range"},
		{err: fill.ErrPanic, status: 500, name: "internal", title: "Internal error", hide: true,
			advice: "a fault in this node, which has logged it; nothing was lost"},
		{err: writepath.ErrUnknown, status: 503, name: "outcome-unknown", title: "Outcome of the write unknown",
			advice: "; the write may have happened: read the key, or send the same write again"},
		{err: store.ErrUnavailable, status: 503, name: "store-unavailable", title: "Store unavailable",
			advice: "; what is in memory is still served; try again"},
		{err: store.ErrUnexpected, status: 502, name: "store-unexpected", title: "Unexpected answer of the store",
			advice: "; an operator must look at the store's configuration"},
		{err: context.DeadlineExceeded, status: 504, name: "timeout", title: "Out of time", advice: "; try again"},
		{err: context.Canceled, status: 503, name: "cancelled", title: "Cancelled", advice: "; try again"},
	}
}

// retryAfter is what a 503 advises at least: a node that died is out of the ring
// by then, and the store has had a moment.
const retryAfter = 3 * time.Second

// retry is the number of seconds after which to try again: what the store says, if
// it says so.
func retry(err error) string {
	told, _ := errors.AsType[store.Later](err)
	after := max(told.After, retryAfter)
	return strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10)
}

// problemOf is the one function that turns an error into a status.
func problemOf(err error) problem {
	for _, k := range kinds() {
		if !errors.Is(err, k.err) {
			continue
		}
		detail := err.Error() + k.advice
		if k.hide {
			detail = k.advice
		}
		return problem{Type: problemType + k.name, Title: k.title, Status: k.status, Detail: detail}
	}
	return problem{Type: problemType + "internal", Title: "Internal error", Status: http.StatusInternalServerError, Detail: err.Error()}
}

// fail answers a request with an error. If part of an answer is out already,
// the connection is broken off, so that nobody takes the part for the whole.
func (a *API) fail(c *call, err error) {
	if c.w.status != 0 {
		c.broken = true
		a.log.Debug().Err(err).Str("path", c.URL.Path).Msg("answer broken off")
		panic(http.ErrAbortHandler)
	}
	p := problemOf(err)
	c.problem = strings.TrimPrefix(p.Type, problemType)
	if p.Status >= http.StatusInternalServerError {
		c.broken = c.Context().Err() != nil // the caller has left, and that is all that went wrong
	}
	if p.Status >= http.StatusInternalServerError && !c.broken {
		a.log.Warn().Err(err).Str("path", c.URL.Path).Str("method", c.Method).Int("status", p.Status).Msg("request failed")
	}
	a.discardBody(c)
	h := c.w.Header()
	dropObject(h)
	switch p.Status {
	case http.StatusUnauthorized:
		h.Add("WWW-Authenticate", `Bearer realm="larder"`)
		h.Add("WWW-Authenticate", `Basic realm="larder", charset="UTF-8"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", retry(err))
	}
	body, _ := json.Marshal(p) // strings and an int always marshal
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	c.w.WriteHeader(p.Status)
	if c.Method != http.MethodHead {
		_, _ = c.w.Write(append(body, '\n')) // a client that has left needs no answer
	}
}

const (
	// discardAtMost and discardLimit bound what is read of a body that was
	// refused.
	discardAtMost = 64 << 20
	discardLimit  = 10 * time.Second
)

// discardBody reads the rest of a body that was refused, within bounds. Many
// clients send all of it before they look for an answer, and would see a broken
// connection instead. Who waits for 100-continue has sent nothing.
func (a *API) discardBody(c *call) {
	if c.Method != http.MethodPut || strings.EqualFold(c.Header.Get("Expect"), "100-continue") {
		return
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(discardLimit)) // a reader without deadlines has none to keep
	n, _ := io.CopyN(io.Discard, c.Body, discardAtMost)                               // the answer is sent all the same
	c.received += n
}

// dropObject takes what was said of an object out of an answer that is not it.
func dropObject(h http.Header) {
	h.Del("Content-Length")
	for name := range h {
		switch {
		case strings.HasPrefix(name, metaPrefix):
			h.Del(name)
		case slices.Contains([]string{"Etag", "Last-Modified", "Repr-Digest", "Larder-Writer", "Accept-Ranges", "Content-Security-Policy"}, name):
			h.Del(name)
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(append(body, '\n'))
	return err
}
