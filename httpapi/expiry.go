package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"larder/keys"
	"larder/store"
)

const (
	expiresIn = "Larder-Expires-In"
	maxAge    = "Larder-Max-Age"

	// longestLife is the most seconds that an object may be given: some hundred years.
	longestLife = 1 << 31
)

// Expiry is how long the objects of an org live: by default, and at most. Zero is for
// ever.
type Expiry struct{ Default, Max time.Duration }

// lifeOf is how long an object shall live, by its writer or by its org; 0 is for ever.
// Where there is a longest life and no default, the longest is the default.
func (a *API) lifeOf(c *call) (time.Duration, error) {
	var org Expiry
	if a.cfg.Expiry != nil {
		org = a.cfg.Expiry(c.who.Org)
	}
	asked, is, err := secondsOf(c.Header, expiresIn, 1)
	switch {
	case err != nil:
		return 0, err
	case !is && org.Default > 0:
		return org.Default, nil
	case !is:
		return org.Max, nil
	case org.Max > 0 && asked > org.Max:
		return 0, fmt.Errorf("%w: %s: %d is more than your organisation keeps an object, %d seconds", errHeader, expiresIn, int64(asked/time.Second), int64(org.Max/time.Second))
	}
	return asked, nil
}

// secondsOf is a header field of whole seconds, and whether it is there.
func secondsOf(h http.Header, name string, least uint64) (d time.Duration, is bool, err error) {
	values := h.Values(name)
	if len(values) == 0 {
		return 0, false, nil
	}
	text := strings.TrimSpace(values[0])
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || len(values) > 1 || n < least || n > longestLife {
		return 0, true, fmt.Errorf("%w: %s is a whole number of seconds, from %d to %d, not %q", errHeader, name, least, longestLife, strings.Join(values, ", "))
	}
	return time.Duration(n) * time.Second, true, nil //nolint:gosec // longestLife at most
}

// tooOld says that an object was written too long ago for its reader.
type tooOld struct {
	head  store.Head
	limit time.Duration
}

// Error is for callers.
func (t tooOld) Error() string {
	return fmt.Sprintf("the object is of %s, which is longer ago than the %d s of %s: make it anew, or ask for an older one", endOfSecond(t.head.Modified).UTC().Format(http.TimeFormat), int64(t.limit/time.Second), maxAge)
}

// Unwrap returns errTooOld.
func (tooOld) Unwrap() error { return errTooOld }

// checkAge is tooOld if the request takes no object as old as this one. Its age is that
// of its Last-Modified, so none is too old by less than a second.
func checkAge(c *call, h store.Head, now time.Time) error {
	limit, is, err := secondsOf(c.Header, maxAge, 0)
	if err == nil && is && now.Sub(endOfSecond(h.Modified)) > limit {
		return tooOld{h, limit}
	}
	return err
}

// goneText says of a key when its object expired.
func goneText(e store.Expired) string {
	return "the object of this key expired at " + e.At.UTC().Format(http.TimeFormat) + "; a PUT stores another"
}

// keyExpires is the moment of an entry of a listing; nil if it has none.
func keyExpires(e store.Entry) *time.Time {
	if e.Expires.IsZero() || e.Expires.Unix() > keys.MaxMoment {
		return nil
	}
	return &e.Expires
}
