package httpapi

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"larder/auth"
	"larder/builds"
	"larder/keys"
)

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
