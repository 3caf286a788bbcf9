package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"larder/fill"
	"larder/httpapi/auth"
	"larder/keys"
	"larder/store"
	"larder/usage"
)

// usageOp is the operation of GET /v1/usage.
const usageOp = "usage"

// usage answers what the caller's org has, may have, and saved.
func (a *API) usage(c *call) error {
	if len(c.query) > 0 {
		return fmt.Errorf("%w: there is nothing to ask of /v1/usage; leave the query out", errQuery)
	}
	r, err := a.cfg.Usage.Report(c.Context(), c.who.Org)
	if err != nil {
		return err
	}
	r.Names, r.Served = namesFor(c.who, r.Names), r.ServedBy(c.who.User)
	return writeJSON(c.w, http.StatusOK, r)
}

// namesFor are those of what was saved that a caller may see. A name is what keys begin
// with, of one service or the other. All who ask at once are given the same names, so
// these are copied.
func namesFor(who auth.Principal, names []usage.Top) []usage.Top {
	seen := []usage.Top{}
	for _, n := range names {
		if who.May(auth.Read, keys.Objects, n.Name) == nil && who.May(auth.Read, keys.Strategies, n.Name) == nil {
			seen = append(seen, n)
		}
	}
	return seen
}

// isMetered reports whether a request counts among those that an org has a rate of.
// Who is over his rate can still ask why. Of a batch each object counts.
func (c *call) isMetered() bool {
	return c.op != usageOp && c.op != clusterOp && c.op != batchOp && c.op != "whoami"
}

// charge takes bytes of an object from the caller's rate.
func (a *API) charge(c *call, bytes int64) error {
	if c.again {
		return nil
	}
	return a.cfg.Usage.Charge(c.who.Org, c.who.User, bytes)
}

// hit counts what a read saved. Who looks at an object on the page would not have built it.
func (a *API) hit(c *call, h store.Head) {
	if !c.isPage() {
		a.cfg.Usage.Hit(c.who.User, c.key, h)
	}
}

// fits returns how large a body may be, or why the one that is announced, or has come
// so far, may not be kept.
func (a *API) fits(c *call, size int64) (most int64, err error) {
	return a.cfg.Usage.Fits(c.Context(), c.who.Org, size, func() (*store.Head, error) {
		h, _, err := a.read.Stat(c.Context(), c.key, fill.Options{User: c.who.Org + "/" + c.who.User, Cut: c.w.cut})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil, nil //nolint:nilnil // nothing is there
		case err != nil:
			return nil, err
		}
		return &h, nil
	})
}
