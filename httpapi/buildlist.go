package httpapi

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"larder/builds"
	"larder/httpapi/auth"
	"larder/keys"
)

// underWay is what is said of a build; null is what is not known.
type underWay struct {
	Builder  *string    `json:"builder"`
	Since    *time.Time `json:"since"`
	Elapsed  float64    `json:"elapsed"`
	Expect   *float64   `json:"expect"`
	Progress *float64   `json:"progress"`
	Message  string     `json:"message"`
}

// underWayOf says what was known of a build at some time; nil is no build.
func underWayOf(b *builds.Build, at time.Time) (w underWay) {
	if b == nil {
		return w
	}
	since := b.Since.Truncate(time.Millisecond)
	w.Builder, w.Since, w.Progress, w.Message = &b.Builder, &since, b.Progress, b.Message
	w.Elapsed = math.Round((b.Elapsed+time.Since(at).Seconds())*1000) / 1000
	if b.Expect > 0 {
		w.Expect = &b.Expect
	}
	return w
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
	prefix, look, err := c.who.Listed(c.service, prefix)
	if err != nil {
		return err
	}
	type listed struct {
		Key string `json:"key"`
		underWay
		Waiting int `json:"waiting"`
	}
	all := []listed{}
	for _, b := range a.cfg.Builds.List(c.Context(), c.who.Org, c.service, prefix) {
		if look && c.who.May(auth.Read, c.service, b.Key) != nil {
			continue
		}
		all = append(all, listed{b.Key, underWayOf(&b.Build, time.Now()), b.Waiting})
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusOK, struct {
		Builds []listed `json:"builds"`
	}{all})
}
