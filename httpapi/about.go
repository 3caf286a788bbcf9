package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"larder/auth"
	"larder/fill"
	"larder/keys"
	"larder/usage"
)

// Cached is what the nodes have of an object.
type Cached struct {
	// Chunks is how many of its first chunks each node looked for.
	Chunks int          `json:"chunks"`
	Nodes  []fill.Where `json:"nodes"`
}

// about answers what is known of an object beside its metadata: which nodes have it, and
// what reads of what is counted under its name have saved. Nodes are named to those alone
// who may see the cluster.
func (a *API) about(c *call) error {
	if len(c.query) > 1 || len(c.query) == 1 && !c.query.Has("key") {
		return fmt.Errorf("%w: only key is known here", errQuery)
	}
	h, _, err := a.read.Stat(c.Context(), c.key, options(c))
	if err != nil {
		return err
	}
	type saved struct {
		Name string `json:"name"`
		usage.Saving
	}
	answer := struct {
		Service string `json:"service"`
		Key     string `json:"key"`
		ETag    string `json:"etag"`
		Size    int64  `json:"size"`
		Cached
		// Saved is null if the caller may not see all that is counted under the name.
		Saved *saved `json:"saved"`
	}{Service: c.service, Key: c.key.Name, ETag: `"` + h.Version + `"`, Size: h.Size, Cached: Cached{Nodes: []fill.Where{}}}
	if a.cfg.Where != nil {
		if answer.Cached, err = a.cfg.Where(c.Context(), c.key, h); err != nil {
			return err
		}
	}
	if c.who.May(auth.Administer, "", "") != nil {
		for i := range answer.Nodes {
			answer.Nodes[i].Node = ""
		}
	}
	name := usage.NameOf(c.key)
	if len(namesFor(c.who, []usage.Top{{Name: name}})) > 0 {
		answer.Saved = &saved{Name: name}
		if answer.Saved.Saving, err = a.cfg.Usage.Saved(c.Context(), c.who.Org, name); err != nil {
			return err
		}
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusOK, answer)
}

const (
	// usualWithin is how far ahead one looks for what expires, in seconds, unless one says.
	usualWithin = 7 * 24 * 3600
	// maxExpiring is how many objects an answer has at most; maxDueSeen how many entries are
	// looked at, of all organisations and of the caller's.
	maxExpiring = 1000
	maxDueSeen  = 10_000
)

// Sooner tells what of an org expires until some time, the soonest first.
type Sooner interface {
	Soon(ctx context.Context, org string, until time.Time, most int) (soon []keys.Expiring, more bool, err error)
}

// expiring is an object that expires.
type expiring struct {
	Service string    `json:"service"`
	Key     string    `json:"key"`
	Size    int64     `json:"size"`
	Writer  string    `json:"writer"`
	Expires time.Time `json:"expires"`
}

// serveExpiring answers what expires soon of what the caller may see.
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
	all, many := a.stillExpiring(c, due)
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusOK, struct {
		Expiring []expiring `json:"expiring"`
		More     bool       `json:"more"`
	}{all, more || many})
}

// stillExpiring are those of these entries that the caller may see and whose objects were
// neither removed nor written anew since, and whether there may be more: an entry whose
// object's owner says nothing of it is left out.
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
