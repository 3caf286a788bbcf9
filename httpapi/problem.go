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

	"larder/budget"
	"larder/builds"
	"larder/fill/chunks"
	"larder/httpapi/auth"
	"larder/keys"
	"larder/store"
	"larder/usage"
	"larder/writepath"
)

// Refusals that only this package knows.
var (
	errApart         = errors.New("this node has not joined its cluster yet, and does not know what the others know; ask another, or try again")
	errNoRoute       = errors.New("there is nothing here; try /v1/objects/KEY, /v1/strategies/KEY, /v1/objects?prefix=, /v1/strategies?prefix=, /v1/batch/objects, /v1/builds/objects?prefix=, /v1/why/objects/KEY, /v1/about/objects/KEY, /v1/expiring, /v1/usage, /v1/cluster, /v1/whoami, or /ui/ with a browser")
	errHost          = errors.New("this node serves without tokens, and so not under a name of the internet: use its address or localhost, or start it with --tokens-file")
	errOrigin        = errors.New("the page of another site sent this through a browser: only the page at /ui/ of this node may, and programs that are no browser")
	errMethod        = errors.New("method not allowed")
	errTooLarge      = errors.New("object too large")
	errBody          = errors.New("bad body")
	errDigest        = errors.New("bad digest")
	errHeader        = errors.New("bad header")
	errQuery         = errors.New("bad query")
	errMetadata      = errors.New("metadata too large")
	errLength        = errors.New("the request has no length: send Content-Length (0 for an empty object) or Transfer-Encoding: chunked")
	errForm          = errors.New("a form is not kept, since it is more than the bytes in it: send these as the body, as 'curl -T FILE URL' does")
	errRange         = errors.New("the object has no such range")
	errCondition     = errors.New("the object is not the one that the request's condition names")
	errBuildFailed   = errors.New("the build that this waited for, or that ended a moment ago, failed")
	errBuildUnstored = errors.New("what was built cannot be stored; build it without a claim")
	errTooOld        = errors.New("the object is older than Larder-Max-Age allows")
)

// problemType is what the types of all problems begin with.
const problemType = "urn:larder:problem:"

// problem is an answer of RFC 9457, "Problem Details for HTTP APIs".
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Request is the ID by which an operator finds the request in the logs.
	Request string `json:"request"`
	// Builder and Error are of a build that came to nothing.
	Builder string `json:"builder,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (p problem) json() []byte {
	b, _ := json.Marshal(p) // strings and an int always marshal
	return append(b, '\n')
}

// kind is what an error means to a caller.
type kind struct {
	err    error
	status int
	name   string
	title  string
	advice string // follows the error's own text; alone if hide
	// hide says that the error's own text is not for callers: it may hold words
	// of the store, a bucket's name or a peer's address. The log has it, under the
	// request's ID.
	hide bool
}

// newKinds turn errors into statuses: the first that the error is decides.
func newKinds() []kind { return slices.Concat(requestKinds(), buildKinds(), objectKinds()) }

// requestKinds are of requests that are refused for what they are, and whose.
func requestKinds() []kind {
	return []kind{
		{err: keys.ErrBadKey, status: 400, name: "bad-key", title: "Bad key"},
		{err: errDigest, status: 400, name: "bad-digest", title: "Digest does not match"},
		{err: errBody, status: 400, name: "bad-body", title: "Bad body"},
		{err: errHeader, status: 400, name: "bad-header", title: "Bad header"},
		{err: errQuery, status: 400, name: "bad-query", title: "Bad query"},
		{err: errMetadata, status: 400, name: "bad-metadata", title: "Bad metadata"},
		{err: store.ErrMetadata, status: 400, name: "bad-metadata", title: "Bad metadata", hide: true,
			advice: "the store does not take this Content-Type and these Larder-Meta-*: they are too long once encoded"},
		{err: store.ErrName, status: 400, name: "bad-key", title: "Bad key", hide: true,
			advice: "the key is longer than the store takes: use a shorter one"},
		{err: auth.ErrNoCredential, status: 401, name: "no-credential", title: "No credential", hide: true,
			advice: "send a token: 'Authorization: Bearer TOKEN', or Basic with the token as password"},
		{err: auth.ErrExpired, status: 401, name: "expired-credential", title: "Credential expired", hide: true,
			advice: "this token has expired; ask for a new one"},
		{err: auth.ErrBadCredential, status: 401, name: "bad-credential", title: "Bad credential", hide: true,
			advice: "this token is not known here; check that it is whole, meant for this cluster, and sent as 'Authorization: Bearer TOKEN'"},
		{err: auth.ErrRefused, status: 401, name: "bad-credential", title: "Bad credential"},
		{err: errHost, status: 403, name: "foreign-host", title: "Not this host"},
		{err: errOrigin, status: 403, name: "foreign-origin", title: "Not from this site"},
		{err: auth.ErrRole, status: 403, name: "read-only", title: "Role may not do this"},
		{err: auth.ErrScope, status: 403, name: "out-of-scope", title: "Not for this credential"},
		{err: writepath.ErrNotOwn, status: 403, name: "forbidden", title: "Another's object", hide: true,
			advice: "somebody else has written this object; of many, one may remove one's own, and with the role admin all"},
		{err: errApart, status: 503, name: "not-joined", title: "Node has not joined"},
		{err: errNoRoute, status: 404, name: "no-route", title: "No such resource"},
		{err: errMethod, status: 405, name: "method-not-allowed", title: "Method not allowed"},
		{err: errLength, status: 411, name: "length-required", title: "Length required"},
		{err: errBatchType, status: 415, name: "batch-type", title: "No batch"},
		{err: errForm, status: 415, name: "form", title: "Not a form"},
		{err: errTooLarge, status: 413, name: "too-large", title: "Object too large"},
	}
}

// buildKinds are of builds and of claims. A claim that is lost has what the store said as
// its cause.
func buildKinds() []kind {
	return []kind{
		{err: builds.ErrLost, status: 409, name: "claim-lost", title: "Claim lost"},
		{err: writepath.ErrClaimLost, status: 409, name: "claim-lost", title: "Claim lost", hide: true,
			advice: "the key no longer holds what it held when this claim was granted: nothing was written; read it again"},
		{err: builds.ErrOthers, status: 403, name: "forbidden", title: "Another's build"},
		{err: errBuildFailed, status: 409, name: "build-failed", title: "The build failed"},
		{err: errBuildUnstored, status: 409, name: "build-unstored", title: "What was built cannot be stored"},
		{err: builds.ErrCrowd, status: 429, name: "too-many", title: "Too many at once"},
		{err: builds.ErrStreams, status: 429, name: "too-many", title: "Too many at once"},
		{err: builds.ErrFull, status: 503, name: "busy", title: "Too much at once"},
		{err: builds.ErrLeaving, status: 503, name: "leaving", title: "Node is leaving", advice: "; ask another"},
	}
}

// objectKinds are of what was there, of limits, and of what went wrong. A write that is
// known to have changed nothing, or is not known, has what the store said as its cause.
func objectKinds() []kind {
	return []kind{
		{err: writepath.ErrNotApplied, status: 503, name: "not-written", title: "Nothing was written", hide: true,
			advice: "nothing was written: the store refused the write, for now, or could not be asked; try again, and tell an operator if it goes on"},
		{err: store.ErrArchived, status: 404, name: "not-found", title: "No such object", hide: true,
			advice: "a rule of the bucket has moved this object to an archive, where it cannot be read; a PUT replaces it, and an operator can restore it"},
		{err: store.ErrNotFound, status: 404, name: "not-found", title: "No such object", hide: true,
			advice: "there is no object of this key in your organisation; ?prefix= lists those that there are"},
		{err: store.ErrConflict, status: 409, name: "conflict", title: "Concurrent write", hide: true,
			advice: "somebody else is writing this key; read it again and decide anew"},
		{err: errTooOld, status: 412, name: "too-old", title: "Object too old"},
		{err: errCondition, status: 412, name: "precondition-failed", title: "Precondition failed"},
		{err: store.ErrPrecondition, status: 412, name: "precondition-failed", title: "Precondition failed", hide: true,
			advice: "what is there now is not what If-Match or If-None-Match asks for; read it again for its ETag"},
		{err: errCut, status: 503, name: "busy", title: "Too much at once", advice: "; try again"},
		{err: budget.ErrBusy, status: 503, name: "busy", title: "Too much at once", hide: true,
			advice: "this node holds as many bytes under way as it may; try again"},
		{err: usage.ErrQuota, status: 507, name: "quota", title: "Over a limit of the organisation"},
		{err: usage.ErrRate, status: 429, name: "rate", title: "Over a rate of the organisation"},
		{err: errRange, status: 416, name: "no-such-range", title: "No such range"},
		{err: chunks.ErrPanic, status: 500, name: "internal", title: "Internal error", hide: true,
			advice: "a fault in this node, which has logged it; nothing was lost"},
		{err: writepath.ErrUnknown, status: 503, name: "outcome-unknown", title: "Outcome of the write unknown",
			hide: true, advice: "the write may have happened: read the key, or send the same write again"},
		{err: store.ErrUnavailable, status: 503, name: "store-unavailable", title: "Store unavailable", hide: true,
			advice: "the store does not answer; what is in memory is still served; try again"},
		{err: store.ErrDenied, status: 502, name: "store-unexpected", title: "Unexpected answer of the store", hide: true,
			advice: "nothing was written: the store does not allow this node to write; an operator has to give the node the right to, " +
				"or --s3-sse if the bucket demands encryption"},
		{err: store.ErrUnexpected, status: 502, name: "store-unexpected", title: "Unexpected answer of the store", hide: true,
			advice: "the store refuses what the node asks, or gives something else than was written; trying again will not help: an operator finds in the log which it is"},
		{err: context.DeadlineExceeded, status: 504, name: "timeout", title: "Out of time", hide: true, advice: "this took too long; try again"},
		{err: context.Canceled, status: 503, name: "cancelled", title: "Cancelled", hide: true, advice: "the request was given up; try again"},
	}
}

// retryAfter is what a 503 advises at least: a node that died is out of the ring
// by then, and the store has had a moment.
const retryAfter = 3 * time.Second

// problemOf is the one function that turns an error into a status.
func (a *API) problemOf(err error) problem {
	for _, k := range a.kinds {
		if !errors.Is(err, k.err) {
			continue
		}
		detail := err.Error() + k.advice
		if k.hide {
			detail = k.advice
		}
		if gone, ok := errors.AsType[store.Expired](err); ok && k.status == http.StatusNotFound {
			detail = goneText(gone)
		}
		return problem{Type: problemType + k.name, Title: k.title, Status: k.status, Detail: detail}
	}
	return problem{
		Type: problemType + "internal", Title: "Internal error", Status: http.StatusInternalServerError,
		Detail: "a fault in this node, which has logged it",
	}
}

// retry is the number of seconds after which to try again: what the rate of the
// org, or the store, says.
func retry(status int, err error) string {
	if rate, ok := errors.AsType[usage.Later](err); ok && status == http.StatusTooManyRequests {
		return strconv.Itoa(int((rate.After + time.Second - 1) / time.Second))
	}
	later, _ := errors.AsType[store.Later](err) // a minute at most
	wait := max(later.After, retryAfter)
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}

// fail answers a request with an error. If part of an answer is out already,
// the connection is broken off, so that nobody takes the part for the whole.
func (a *API) fail(c *call, err error) {
	if c.w.status != 0 {
		c.broken = true
		a.log.Debug().Err(err).Str("request", c.id).Str("path", shownPath(c)).Msg("answer broken off")
		panic(http.ErrAbortHandler)
	}
	p := a.problemOf(err)
	p.Request = c.id
	more, _ := errors.AsType[*buildError](err)
	if more != nil {
		p.Builder, p.Error = more.builder, more.text
	}
	c.problem = strings.TrimPrefix(p.Type, problemType)
	a.cfg.Usage.Refused(err)
	if p.Status >= http.StatusInternalServerError && p.Status != http.StatusInsufficientStorage { // which is no fault of the node
		c.broken = c.Context().Err() != nil // the caller has left, and that is all that went wrong
		if !c.broken {
			a.logFailure(c, p.Status, err)
		}
	}
	a.discardBody(c)
	h := c.w.Header()
	dropObject(h)
	if old, ok := errors.AsType[tooOld](err); ok {
		h.Set("Etag", `"`+old.head.Version+`"`)
		h.Set("Last-Modified", endOfSecond(old.head.Modified).UTC().Format(http.TimeFormat))
	}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("Connection", "close") // a stranger holds none
		h.Add("WWW-Authenticate", `Bearer realm="larder"`)
		if !c.isPage() { // which asks for a token itself, where a browser would ask for a password
			h.Add("WWW-Authenticate", `Basic realm="larder", charset="UTF-8"`)
		}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", retry(p.Status, err))
	}
	if more != nil {
		more.setHeaders(h)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	c.w.WriteHeader(p.Status)
	if c.Method != http.MethodHead {
		_, _ = c.w.Write(p.json()) // a client that has left needs no answer
	}
}

// logFailure logs what the caller is not told.
func (a *API) logFailure(c *call, status int, err error) {
	problem := c.problem
	more := func(n int) { a.log.Warn().Str("problem", problem).Int("more", n).Msg("requests failed") }
	if a.failed.pass(problem, more) {
		a.log.Warn().Err(err).Str("request", c.id).Str("path", shownPath(c)).Str("method", c.Method).Int("status", status).
			Str("problem", problem).Msg("request failed")
	}
}

const (
	// discardAtMost and discardLimit bound what is read of a body that was
	// refused.
	discardAtMost = 64 << 20
	discardLimit  = 10 * time.Second
	// strangersBody and strangersLimit are the same for callers without a credential.
	strangersBody  = 256 << 10
	strangersLimit = time.Second
)

// discardBody reads the rest of a body that was refused, within bounds. Many
// clients send all of it before they look for an answer, and would see a broken
// connection instead. A client that waits for 100-continue has sent nothing.
func (a *API) discardBody(c *call) {
	if c.Method != http.MethodPut && c.Method != http.MethodPost || strings.EqualFold(c.Header.Get("Expect"), "100-continue") {
		return
	}
	most, limit := int64(discardAtMost), discardLimit
	if c.who.Org == "" {
		most, limit = strangersBody, strangersLimit
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(limit)) // a reader without deadlines has none to keep
	n, _ := io.CopyN(io.Discard, c.Body, most)                                 // the answer is sent all the same
	c.received += n
}

// dropObject takes what was said of an object out of an answer that is not it.
func dropObject(h http.Header) {
	h.Del("Content-Length")
	for name := range h {
		switch {
		case strings.HasPrefix(name, metaPrefix):
			h.Del(name)
		case slices.Contains([]string{"Etag", "Last-Modified", "Repr-Digest", "Larder-Writer", "Accept-Ranges", "Expires", "Content-Security-Policy"}, name):
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
