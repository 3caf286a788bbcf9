package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"

	"larder/builds"
	"larder/httpapi/auth"
	"larder/keys"
	"larder/store"
	"larder/writepath"
)

// Builder keeps the claims: who builds a key, and who waits for it.
type Builder interface {
	Attach(k keys.Key, r builds.Request) (*builds.Visit, error)
	GiveUp(ctx context.Context, k keys.Key, c builds.Claim, failure, unstored string) error
	End(ctx context.Context, k keys.Key, e builds.Ending, failure string) error
	List(ctx context.Context, org, service, prefix string) []builds.Listed
	Open(k keys.Key, user, token string) (builds.Claim, error)
	Seal(k keys.Key, c builds.Claim) (string, error)
}

const (
	claimHeader = "Larder-Claim"
	// settleWait is how long a request waits until it is known who builds, beyond what it
	// prefers, and unknownWait until anything is known.
	settleWait  = 3500 * time.Millisecond
	unknownWait = 15 * time.Second
	// speakEvery is how often a put under a claim counts as a word of its holder.
	speakEvery = 5 * time.Second
	// beatWait is how long a beat waits for the owner's word.
	beatWait = 5 * time.Second
)

// claimOf is the claim that a request bears; nil if it bears none.
func (a *API) claimOf(c *call) (*builds.Claim, error) {
	tokens := c.Header.Values(claimHeader)
	if len(tokens) == 0 {
		return nil, nil
	}
	token := tokens[0]
	if len(tokens) > 1 || token == "" {
		return nil, fmt.Errorf("%w: %s is one token, the whole of what the grant says", errHeader, claimHeader)
	}
	if a.cfg.Builds == nil {
		return nil, errNoRoute
	}
	claim, err := a.cfg.Builds.Open(c.key, c.who.User, token)
	return &claim, err
}

// needClaim is claimOf for a request that is about a claim.
func (a *API) needClaim(c *call) (*builds.Claim, error) {
	claim, err := a.claimOf(c)
	if err == nil && claim == nil {
		err = fmt.Errorf("%w: %s: send the token of the claim that this is about", errHeader, claimHeader)
	}
	return claim, err
}

// build attaches a caller who wants a key: to wait for it, or to build it.
func (a *API) build(c *call) error {
	body, err := readBuild(c)
	if err != nil {
		return err
	}
	claim, err := a.claimOf(c)
	if err != nil {
		return err
	}
	r := builds.Request{
		User: c.who.User, Writer: c.who.May(auth.Write, c.service, c.key.Name) == nil, Waiter: body.Waiter, MaxAge: body.MaxAge, Expect: body.Expect,
		Message: body.Message, Retry: body.Retry, Claim: claim,
		Stream: wantsLines(c.Header),
	}
	v, err := a.cfg.Builds.Attach(c.key, r)
	if err != nil {
		return err
	}
	defer func() { v.Detach(r, c.Context().Err() != nil) }()
	if claim != nil {
		if err := confirm(c, v, claim); err != nil {
			return err
		}
	}
	if r.Stream {
		return a.streamBuild(c, v)
	}
	return a.awaitBuild(c, v, preferredWait(c.Header))
}

// confirm asks the owner whether a claim is still held.
func confirm(c *call, v *builds.Visit, claim *builds.Claim) error {
	ctx, cancel := context.WithTimeout(c.Context(), beatWait)
	defer cancel()
	s, _ := v.Confirmed(ctx) // an owner that gives no answer takes no claim away
	if s.Kind == builds.Moved {
		return builds.ErrLeaving
	}
	if s.Kind != builds.Granted || s.Claim.Name != claim.Name {
		return fmt.Errorf("%w: it has ended, or was passed on", builds.ErrLost)
	}
	return nil
}

// awaitBuild answers a caller without a stream: with what is decided, or after its time
// with who builds.
func (a *API) awaitBuild(c *call, v *builds.Visit, wait time.Duration) error {
	began := time.Now()
	for {
		s, changed := v.State()
		if s.Kind != "" && s.Kind != builds.Waits {
			return a.decided(c, s)
		}
		left := time.Until(began.Add(wait))
		switch {
		case s.Kind == "":
			left += unknownWait
		case s.Build == nil:
			left += settleWait
		}
		if left <= 0 && s.Kind == "" {
			return fmt.Errorf("wait for %s: its owner said nothing: %w", c.key, store.ErrUnavailable)
		}
		if left <= 0 {
			return stillBuilt(c, s)
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		case <-c.Context().Done():
			timer.Stop()
			return c.Context().Err()
		}
		timer.Stop()
	}
}

// decided answers with what has become of a caller.
func (a *API) decided(c *call, s builds.State) error {
	switch s.Kind {
	case builds.Built:
		h := c.w.Header()
		h.Set("Location", pathOf(c.key))
		h.Set("Etag", `"`+s.ETag+`"`)
		h.Set("Content-Length", "0")
		c.w.WriteHeader(http.StatusSeeOther)
		return nil
	case builds.Granted:
		token, err := a.cfg.Builds.Seal(c.key, *s.Claim)
		if err != nil {
			return err
		}
		c.w.Header().Set("Cache-Control", "no-store")
		return writeJSON(c.w, http.StatusCreated, struct {
			Claim string `json:"claim"`
			TTL   int    `json:"ttl"`
		}{token, int(builds.TTL / time.Second)})
	case builds.Moved:
		return stillBuilt(c, s)
	default:
		return refusedBuild(s)
	}
}

// normalised is what clients and proxies decode, merge or take out in a path: then two
// keys would be one.
var normalised = regexp.MustCompile(`[%\\;?#]|(^|/)\.*(/|$)`)

// pathOf is where a key is read.
func pathOf(k keys.Key) string {
	if normalised.MatchString(k.Name) {
		return "/v1/" + k.Service + "?key=" + url.QueryEscape(k.Name)
	}
	return "/v1/" + k.Service + "/" + url.PathEscape(k.Name)
}

// buildError is a refusal that says more than a status.
type buildError struct {
	error
	builder, text string
	left          time.Duration // until it may be tried again
	etag          string        // of what is there, if it is known
}

func (e *buildError) Unwrap() error { return e.error }

func (e *buildError) setHeaders(h http.Header) {
	if e.left > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.left+time.Second-1)/time.Second)))
	}
	if e.etag != "" {
		h.Set("Etag", `"`+e.etag+`"`)
	}
}

// refusedBuild is why a caller gets neither the value nor the claim.
func refusedBuild(s builds.State) error {
	left := time.Duration(s.Left * float64(time.Second))
	switch s.Kind {
	case builds.Failed:
		return &buildError{error: fmt.Errorf("%w: %s", errBuildFailed, s.Error), builder: s.Builder, text: s.Error, left: left}
	case builds.Unstored:
		return &buildError{error: fmt.Errorf("%w: %s", errBuildUnstored, s.Error), builder: s.Builder, text: s.Error, left: left}
	case builds.Refused:
		return fmt.Errorf("%w: it may wait for others, and nobody who may write is left", auth.ErrRole)
	case builds.Lost:
		return builds.ErrLost
	case builds.Barred:
		return fmt.Errorf("%w: %s", store.ErrUnexpected, s.Error)
	default:
		return fmt.Errorf("%w: %s", store.ErrUnavailable, s.Error)
	}
}

// waiting is what a caller hears who waits.
type waiting struct {
	Event string `json:"event,omitempty"` // of a line of a stream
	underWay
	Ahead int `json:"ahead"` // how many wait longer
}

func stillBuilt(c *call, s builds.State) error {
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusAccepted, waiting{underWay: underWayOf(s.Build, s.At), Ahead: s.Ahead})
}

// beat takes in that the holder of a claim is at work, and how far.
func (a *API) beat(c *call) error {
	claim, err := a.needClaim(c)
	if err != nil {
		return err
	}
	body, err := readBuild(c)
	if err != nil {
		return err
	}
	r := builds.Request{User: c.who.User, Writer: true, Claim: claim, Beat: true}
	v, err := a.cfg.Builds.Attach(c.key, r)
	if err != nil {
		return err
	}
	defer v.Detach(r, false)
	v.Speak(body.Progress, body.Message)
	if err := confirm(c, v, claim); err != nil {
		return err
	}
	s, _ := v.State()
	return writeJSON(c.w, http.StatusOK, struct {
		TTL     int `json:"ttl"`
		Waiting int `json:"waiting"`
	}{int(builds.TTL / time.Second), s.Waiting})
}

// claimOfWrite is the claim that a put bears; nil without.
func (a *API) claimOfWrite(c *call, cond writepath.Conditions) (*writepath.Claim, error) {
	claim, err := a.claimOf(c)
	switch {
	case err != nil:
		h, _, _ := a.read.Stat(c.Context(), c.key, options(c)) // what is there is only said beside
		return nil, &buildError{error: err, etag: h.Version}
	case claim == nil:
		return nil, nil
	case cond.IfAbsent || len(cond.IfMatch) > 0:
		return nil, fmt.Errorf("%w: %s is a condition itself; leave If-Match and If-None-Match out", errHeader, claimHeader)
	}
	return &writepath.Claim{Name: claim.Name, Version: claim.Base.Version, Write: claim.Base.Write}, nil
}

// speakFor speaks for the holder of a claim while its put arrives, if that takes long,
// until stop.
func (a *API) speakFor(c *call, bears *writepath.Claim) (stop func()) {
	claim, err := a.claimOf(c)
	if bears == nil || err != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(c.Context())
	var done sync.WaitGroup
	done.Go(func() {
		r := builds.Request{User: c.who.User, Writer: true, Claim: claim, Beat: true}
		tick := time.NewTicker(speakEvery)
		defer tick.Stop()
		var v *builds.Visit
		for {
			select {
			case <-ctx.Done():
				if v != nil {
					v.Detach(r, false)
				}
				return
			case <-tick.C:
			}
			if v == nil {
				v, _ = a.cfg.Builds.Attach(c.key, r) // a node that is full may have room at the next tick
			}
			if v != nil {
				v.Speak(nil, "")
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// giveUp ends a claim without a value: that of the token, or without one the present
// claim of the caller, of an admin that of anybody.
func (a *API) giveUp(c *call) error {
	claim, err := a.claimOf(c)
	if err != nil {
		return err
	}
	body, err := readBuild(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), unknownWait)
	defer cancel()
	if claim != nil {
		err = a.cfg.Builds.GiveUp(ctx, c.key, *claim, body.Error, body.Unstored)
	} else {
		err = a.endBuild(ctx, c, body)
	}
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// endBuild ends a claim for a caller who has no token of it.
func (a *API) endBuild(ctx context.Context, c *call, body buildBody) error {
	e := builds.Ending{User: c.who.User, Any: c.who.May(auth.Administer, c.service, c.key.Name) == nil}
	if body.Unstored != "" {
		return fmt.Errorf("%w: only the holder of the claim can say that its value cannot be stored: send its token as %s", errBody, claimHeader)
	}
	since, err := time.Parse(time.RFC3339Nano, body.Since)
	if err != nil {
		return fmt.Errorf(`%w: send the token of the claim as %s, or {"since": TIME} as the listing of builds has it, for the build that is meant; since is %q`, errBody, claimHeader, cutText(body.Since))
	}
	e.Since = since.UnixMilli()
	err = a.cfg.Builds.End(ctx, c.key, e, body.Error)
	switch {
	case errors.Is(err, builds.ErrLost):
		return fmt.Errorf("%w: nothing is being built under this key now, or another build than the one that began then", err)
	case errors.Is(err, builds.ErrOthers):
		return fmt.Errorf("%w: one may end one's own builds, and with the role admin all", err)
	}
	return err
}
