package history

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// metaValue names the value in an object's metadata, for HEAD.
	metaValue = "Larder-Meta-Value"
	// ClaimHeader is the header with the token of a claim.
	ClaimHeader = "Larder-Claim"
)

// Patience is how long a client waits for the answer. A node bounds a read by 15 s and a
// write by 45 s.
func (o *Op) Patience() time.Duration {
	if o.Reads() {
		return 20 * time.Second
	}
	return 60 * time.Second
}

// Method is the operation in HTTP.
func (o *Op) Method() string {
	switch o.Verb {
	case Head:
		return http.MethodHead
	case Put, Create, Claimed:
		return http.MethodPut
	case Remove, Drop:
		return http.MethodDelete
	default:
		return http.MethodGet
	}
}

// Path is what the operation's request is for.
func (o *Op) Path() string {
	if o.Verb == Drop {
		return "/v1/objects?prefix=" + o.Key
	}
	return "/v1/objects/" + o.Key
}

// SetHeaders sets the headers of the operation's request. claim is the token that a
// Claimed bears.
func (o *Op) SetHeaders(h http.Header, claim string) {
	if o.Value != "" {
		h.Set(metaValue, o.Value)
	}
	if o.Life > 0 {
		h.Set("Larder-Expires-In", strconv.Itoa(o.Life))
	}
	if o.Verb == Create {
		h.Set("If-None-Match", "*")
	}
	if o.Verb == Claimed {
		h.Set(ClaimHeader, claim)
	}
	if o.Fresh {
		h.Set("Cache-Control", "no-cache")
	}
}

// Answered takes in an answer. Bytes that are no value, or another value than their head
// says, are an error.
func (o *Op) Answered(status int, h http.Header, content []byte) error {
	o.Status, o.Outcome = status, Done
	switch {
	case o.Reads() && status == http.StatusNotFound:
	case o.Reads() && status == http.StatusOK:
		return o.found(h, content)
	case o.Verb == Drop && status == http.StatusOK:
		o.dropped(content)
	case o.Verb != Remove && o.Verb != Drop && (status == http.StatusCreated || status == http.StatusOK),
		o.Verb == Remove && status == http.StatusNoContent:
		o.Took = true
	case o.Verb == Claimed && status == http.StatusConflict,
		o.Verb == Create && status == http.StatusPreconditionFailed,
		o.Verb == Remove && status == http.StatusNotFound:
	default:
		o.failed(h, content)
	}
	return nil
}

// dropped takes in what became of a removal of many: it may have done what it says of some that it failed.
func (o *Op) dropped(content []byte) {
	var sum struct{ Failed []json.RawMessage }
	if err := json.Unmarshal(content, &sum); err != nil || len(sum.Failed) > 0 {
		o.Outcome, o.Detail = Unknown, string(content[:min(len(content), 200)])
		return
	}
	o.Took = true
}

// found finds out which value a read was answered with.
func (o *Op) found(h http.Header, content []byte) error {
	o.Found = h.Get(metaValue)
	if o.Verb == Head {
		return nil
	}
	name, err := ValueOf(content)
	if err == nil && name != o.Found {
		err = fmt.Errorf("%w: the bytes of %s under the head of %s", ErrMixed, name, o.Found)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o, err)
	}
	return nil
}

// failed takes in why an operation was not done, or may not have been.
func (o *Op) failed(h http.Header, content []byte) {
	var problem struct{ Type, Detail string }
	if err := json.Unmarshal(content, &problem); err != nil {
		problem.Detail = strconv.Quote(string(content[:min(len(content), 200)]))
	}
	o.Detail, o.Advice = problem.Type+" "+problem.Detail, h.Get("Retry-After")
	o.Outcome = Unknown
	if o.Reads() || o.Status < 500 || problem.Type == "urn:larder:problem:not-written" {
		o.Outcome = Refused
	}
}
