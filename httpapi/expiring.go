package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"larder/httpapi/auth"
	"larder/keys"
)

const (
	// usualWithin is how far ahead an answer looks, in seconds, unless the caller says.
	usualWithin = 7 * 24 * 3600
	// maxExpiring is how many objects an answer has at most.
	maxExpiring = 1000
	// maxDueSeen is how many entries of the index are looked at in the order of their moments,
	// which are of all orgs, and then once more of the caller's org alone.
	maxDueSeen = 10_000
)

// Sooner lists what of an org expires until some time, the soonest first.
type Sooner interface {
	Soon(ctx context.Context, org string, until time.Time, most int) (soon []keys.Expiring, more bool, err error)
}

// expiring is one object of the answer.
type expiring struct {
	Service string    `json:"service"`
	Key     string    `json:"key"`
	Size    int64     `json:"size"`
	Writer  string    `json:"writer"`
	Expires time.Time `json:"expires"`
}

// serveExpiring answers with what expires soon, of what the caller may see.
func (a *API) serveExpiring(c *call) error {
	within := uint64(usualWithin)
	for name, values := range c.query {
		var err error
		if name == "within" && len(values) == 1 {
			within, err = strconv.ParseUint(values[0], 10, 64)
		}
		if name != "within" || len(values) > 1 || err != nil || within > longestLife {
			return fmt.Errorf("%w: only within is known here, once: a whole number of seconds, up to %d", errQuery, longestLife)
		}
	}
	index, ok := a.list.(Sooner)
	if !ok {
		return errNoRoute
	}
	until := time.Now().Add(time.Duration(within) * time.Second) //nolint:gosec // longestLife at most
	due, more, err := index.Soon(c.Context(), c.who.Org, until, maxDueSeen)
	if err != nil {
		return err
	}
	found, left := a.stillExpiring(c, due)
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusOK, struct {
		Expiring []expiring `json:"expiring"`
		More     bool       `json:"more"`
	}{found, more || left})
}

// stillExpiring returns the objects of those entries that the caller may see, without the
// objects that were removed or written anew since, and reports whether there may be more:
// an object whose owner gives no answer is left out.
func (a *API) stillExpiring(c *call, due []keys.Expiring) (all []expiring, more bool) {
	var seen []keys.Expiring
	var ks []keys.Key
	for _, e := range due {
		if c.who.May(auth.Read, e.Key.Service, e.Key.Name) != nil {
			continue
		}
		if len(seen) == maxExpiring {
			more = true
			break
		}
		seen, ks = append(seen, e), append(ks, e.Key)
	}
	all = []expiring{}
	if a.cfg.Heads == nil || len(ks) == 0 {
		return all, more
	}
	for i, h := range a.cfg.Heads(c.Context(), ks) {
		switch {
		case h == nil:
			more = true
		case h.Expires.Equal(seen[i].Moment):
			all = append(all, expiring{ks[i].Service, ks[i].Name, h.Size, h.Writer, h.Expires})
		}
	}
	return all, more
}
