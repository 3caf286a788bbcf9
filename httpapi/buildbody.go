package httpapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxBuildBody bounds the body of a request about a build, maxNote the texts in it,
	// in bytes.
	maxBuildBody = 64 << 10
	maxNote      = 1 << 10
	// maxWait is the longest that Prefer: wait= has a request wait, in seconds.
	maxWait = 300
)

// buildBodyLike is an example of the body of a request with this method.
func buildBodyLike(method string) string {
	switch method {
	case http.MethodPut:
		return `{"progress": 0.5, "message": "loading"}`
	case http.MethodDelete:
		return `{"error": "no prices for May", "since": "2026-11-30T09:00:00Z"}`
	default:
		return `{"expect": 60, "message": "loading", "retry": false}`
	}
}

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
	// Since is when the claim began that shall end, as a listing has it.
	Since string `json:"since"`
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
		return b, fmt.Errorf("%w: %s; send an object like %s", errBody, jsonFault(err), buildBodyLike(c.Method))
	}
	b.Error, b.Unstored = cutText(b.Error), cutText(b.Unstored)
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

// jsonFault says of JSON that a caller sent what is wrong with it, without the words of Go's
// types, and of what it quotes the beginning.
func jsonFault(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s must not be a JSON %s", cmp.Or(wrong.Field, "it"), wrong.Value)
	}
	text := cutText(err.Error())
	if unknown, ok := strings.CutPrefix(text, "json: unknown field "); ok {
		return unknown + " is not known"
	}
	return "it is no JSON (" + text + ")"
}

// cutText is the beginning of a text, of maxNote bytes at most and whole characters.
func cutText(s string) string {
	if len(s) <= maxNote {
		return s
	}
	return strings.ToValidUTF8(s[:maxNote], "")
}

// preferredWait is what Prefer: wait= says (RFC 7240, section 4.3), within bounds.
func preferredWait(h http.Header) time.Duration {
	for _, v := range h.Values("Prefer") {
		for p := range strings.SplitSeq(v, ",") {
			p, _, _ = strings.Cut(p, ";")
			name, value, _ := strings.Cut(p, "=")
			n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
			if strings.EqualFold(strings.TrimSpace(name), "wait") && (err == nil || errors.Is(err, strconv.ErrRange)) {
				return time.Duration(min(max(n, 0), maxWait)) * time.Second
			}
		}
	}
	return 0
}
