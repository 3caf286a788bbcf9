package httpapi

import (
	"math"
	"strconv"
	"time"

	"larder/keys"
)

// described is a key of a listing with what is known of it; null is what is not.
type described struct {
	listed
	Expires      *time.Time `json:"expires"`
	ContentType  *string    `json:"content_type"`
	Writer       *string    `json:"writer"`
	BuildSeconds *float64   `json:"build_seconds"`
	Python       *string    `json:"python"`
	Libraries    *string    `json:"libraries"`
	Code         *string    `json:"code"`
}

// addHeads adds what the owners know to keys of a listing. Of one that has been written
// since it was listed, nothing is known.
func (a *API) addHeads(c *call, page []listed) {
	if a.cfg.Heads == nil || len(page) == 0 {
		return
	}
	ks := make([]keys.Key, len(page))
	for i, e := range page {
		ks[i] = keys.Key{Org: c.who.Org, Service: c.service, Name: e.Key}
	}
	for i, h := range a.cfg.Heads(c.Context(), ks) {
		if h != nil && `"`+h.Version+`"` == page[i].ETag {
			page[i].head = h
		}
	}
}

// shown is a page as it is answered.
func (l *listing) shown(page []listed) any {
	if !l.meta {
		return page
	}
	all := make([]any, len(page))
	for i, e := range page {
		all[i] = l.shownOne(e)
	}
	return all
}

func (l *listing) shownOne(e listed) any {
	if !l.meta {
		return e
	}
	d := described{listed: e, Expires: e.Expires}
	if e.head == nil {
		return d
	}
	known := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	meta := e.head.Meta
	d.ContentType, d.Writer = known(e.head.ContentType), known(e.head.Writer)
	d.Python, d.Libraries, d.Code = known(meta["python"]), known(meta["libraries"]), known(meta["code"])
	if seconds, err := strconv.ParseFloat(meta["build-seconds"], 64); err == nil && seconds >= 0 && !math.IsInf(seconds, 0) {
		d.BuildSeconds = &seconds
	}
	if !e.head.Expires.IsZero() && e.head.Expires.Unix() <= keys.MaxMoment {
		d.Expires = &e.head.Expires
	}
	return d
}
