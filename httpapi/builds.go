package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"larder/auth"
	"larder/builds"
	"larder/keys"
	"larder/store"
	"larder/writepath"
)

// Builder keeps the claims: who builds a key, and who waits for it.
type Builder interface {
	Attach(k keys.Key, r builds.Request) (*builds.Visit, error)
	GiveUp(ctx context.Context, k keys.Key, c builds.Claim, failure, unstored string) error
	List(ctx context.Context, org, service, prefix string) []builds.Listed
	Open(k keys.Key, user, token string) (builds.Claim, error)
	Seal(k keys.Key, c builds.Claim) (string, error)
}

const (
	claimHeader = "Larder-Claim"
	// maxBuildBody bounds the body of a request about a build, maxNote the texts in it,
	// in bytes.
	maxBuildBody = 64 << 10
	maxNote      = 1 << 10
	// maxWait is the longest that Prefer: wait= has a request wait, in seconds.
	maxWait = 300
	// settleWait is how long a request waits beyond that until it is known who builds,
	// unknownWait until anything is known.
	settleWait  = 3500 * time.Millisecond
	unknownWait = 15 * time.Second
	// speakEvery is how often a put under a claim counts as a word of its holder.
	speakEvery = 5 * time.Second
	// beatWait is how long a beat waits for the owner's word.
	beatWait = 5 * time.Second
)

// buildBody is what a request about a build may say.
type buildBody struct {
	MaxAge   *float64 `json:"max_age"`
	Expect   float64  `json:"expect"`
	Message  string   `json:"message"`
	Retry    bool     `json:"retry"`
	Waiter   string   `json:"waiter"`
	Progress *float64 `json:"progress"`
	Error    string   `json:"error"`
	Unstored string   `json:"unstored"`
}

// readBuild reads the body of a request about a build to its end: only then does
// net/http see that its sender leaves.
func readBuild(c *call) (b buildBody, err error) {
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(recvStall)) // a reader without deadlines has none to keep
	text, err := io.ReadAll(io.LimitReader(c.Body, maxBuildBody+1))
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
	c.received += int64(len(text))
	switch {
	case err != nil:
		return b, fmt.Errorf("%w: it was cut short", errBody)
	case len(text) > maxBuildBody:
		return b, fmt.Errorf("%w: it has more than %d bytes", errBody, maxBuildBody)
	case len(strings.TrimSpace(string(text))) == 0:
		return b, nil
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf(`%w: it is no JSON object like {"expect": 60}: %w`, errBody, err)
	}
	b.Error, b.Unstored = cutText(b.Error, maxNote), cutText(b.Unstored, maxNote)
	switch {
	case b.MaxAge != nil && *b.MaxAge < 0 || b.Expect < 0:
		return b, fmt.Errorf("%w: max_age and expect are seconds, 0 or more", errBody)
	case b.Progress != nil && (*b.Progress < 0 || *b.Progress > 1):
		return b, fmt.Errorf("%w: progress is from 0 to 1", errBody)
	case len(b.Message) > maxNote || len(b.Waiter) > maxNote:
		return b, fmt.Errorf("%w: message and waiter have at most %d bytes each", errBody, maxNote)
	}
	return b, nil
}

// cutText is the beginning of a text, of whole characters.
func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

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
		Stream: strings.Contains(strings.ToLower(c.Header.Get("Accept")), ndjson),
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

// preferredWait is what Prefer: wait= says (RFC 7240, section 4.3), within bounds.
func preferredWait(h http.Header) time.Duration {
	for _, v := range h.Values("Prefer") {
		for p := range strings.SplitSeq(v, ",") {
			p, _, _ = strings.Cut(p, ";")
			name, value, _ := strings.Cut(p, "=")
			n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
			if strings.EqualFold(strings.TrimSpace(name), "wait") && err == nil {
				return time.Duration(min(max(n, 0), maxWait)) * time.Second
			}
		}
	}
	return 0
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
	default:
		return fmt.Errorf("%w: %s", store.ErrUnavailable, s.Error)
	}
}

// waiting is what a caller hears who waits.
type waiting struct {
	Event    string     `json:"event,omitempty"`
	Builder  *string    `json:"builder"`
	Since    *time.Time `json:"since"`
	Elapsed  float64    `json:"elapsed"`
	Expect   *float64   `json:"expect"`
	Progress *float64   `json:"progress"`
	Message  string     `json:"message"`
	Ahead    int        `json:"ahead"`
}

func waitingOf(s builds.State) waiting {
	w := waiting{Ahead: s.Ahead}
	if b := s.Build; b != nil {
		since := b.Since.Truncate(time.Millisecond)
		w.Builder, w.Since, w.Progress, w.Message = &b.Builder, &since, b.Progress, b.Message
		w.Elapsed = math.Round((b.Elapsed+time.Since(s.At).Seconds())*1000) / 1000
		if b.Expect > 0 {
			w.Expect = &b.Expect
		}
	}
	return w
}

func stillBuilt(c *call, s builds.State) error {
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusAccepted, waitingOf(s))
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
				if v, err = a.cfg.Builds.Attach(c.key, r); err != nil {
					return
				}
			}
			v.Speak(nil, "")
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// giveUp ends a claim without a value.
func (a *API) giveUp(c *call) error {
	claim, err := a.needClaim(c)
	if err != nil {
		return err
	}
	body, err := readBuild(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), unknownWait)
	defer cancel()
	if err := a.cfg.Builds.GiveUp(ctx, c.key, *claim, body.Error, body.Unstored); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveBuilds lists what the caller's org builds now.
func (a *API) serveBuilds(c *call) error {
	for name, values := range c.query {
		if name != "prefix" || len(values) > 1 {
			return fmt.Errorf("%w: only prefix is known here, once", errQuery)
		}
	}
	prefix := c.query.Get("prefix")
	if _, err := keys.PlacePrefix(c.who.Org, c.service, prefix); err != nil {
		return err
	}
	type listed struct {
		Key string `json:"key"`
		waiting
		Waiting int `json:"waiting"`
	}
	all := []listed{}
	prefix, look, err := c.who.Listed(c.service, prefix)
	if err != nil {
		return err
	}
	for _, b := range a.cfg.Builds.List(c.Context(), c.who.Org, c.service, prefix) {
		if look && c.who.May(auth.Read, c.service, b.Key) != nil {
			continue
		}
		w := waitingOf(builds.State{Build: &b.Build, At: time.Now()})
		all = append(all, listed{Key: b.Key, waiting: w, Waiting: b.Waiting})
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusOK, struct {
		Builds []listed `json:"builds"`
	}{all})
}
