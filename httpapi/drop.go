package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"larder/httpapi/auth"
	"larder/keys"
	"larder/usage"
	"larder/writepath"
)

// dropOp is the operation of a DELETE of a prefix.
const dropOp = "drop"

// dropHeld is the memory that a drop holds: a page of keys, and what became of each.
const dropHeld = 1 << 20

// drop is a DELETE of a prefix under way.
type drop struct {
	listing
	writepath.Drop
	answer dropAnswer
}

// serveDrop removes the objects of a prefix, a page of the listing at a time, and tells
// what became of each page as soon as it is done, if the caller wants lines. What is
// repeated goes on where it was broken off: what is removed is listed no more.
func (a *API) serveDrop(c *call) error {
	d, err := parseDrop(c)
	if err != nil {
		return err
	}
	grant, err := a.bodies.Take(c.Context(), c.who.Org+"/"+c.who.User, dropHeld)
	if err != nil {
		return err
	}
	defer grant.Release()
	d.answer.lines = wantsLines(c.Header)
	for more := true; more; {
		if err := c.Context().Err(); err != nil { // the caller has left
			return err
		}
		if more, err = a.dropPage(c, d); err != nil {
			return err
		}
	}
	return d.answer.end(c.w)
}

// dropPage removes what one request to the store lists.
func (a *API) dropPage(c *call, d *drop) (more bool, err error) {
	d.After = d.after
	entries, more, err := a.list.List(c.Context(), d.prefix, d.after, storePage)
	if err != nil {
		return false, err
	}
	var ks []keys.Key
	page := dropSum{}
	for _, e := range entries {
		d.after = e.Name
		item, ok := d.match(e)
		if !ok || !d.IsBefore(e.Modified) {
			continue
		}
		if d.Dry && d.Writer == "" && d.Own == "" { // the listing says enough
			page.Deleted++
			page.Bytes += e.Size
			continue
		}
		ks = append(ks, keys.Key{Org: c.who.Org, Service: d.service, Name: item.Key})
	}
	last := ""
	if k, err := keys.FromPlace(d.after); err == nil {
		last = k.Name
	}
	if len(ks) == 0 {
		return more, d.answer.add(c.w, page, last, more)
	}
	if err := a.admitAll(c, len(ks)); err != nil {
		return false, err
	}
	failed := 0
	for i, o := range a.wrt.Drop(c.Context(), d.Drop, ks) {
		if o.Done {
			page.Deleted++
			page.Bytes += o.Bytes
		}
		if o.Err != nil {
			p := a.problemOf(o.Err)
			page.Failed = append(page.Failed, dropFailure{ks[i].Name, p.Type})
			if p.Status >= http.StatusInternalServerError {
				err = o.Err
				failed++
			}
		}
		a.auditDrop(c, ks[i], o, d.Dry)
	}
	if err := d.answer.add(c.w, page, last, more); err != nil {
		return false, err
	}
	if failed == len(ks) { // so would all others
		return false, err
	}
	return more, nil
}

// admitAll waits until the rate of the org has had room for each of n objects.
func (a *API) admitAll(c *call, n int) error {
	for n > 0 {
		err := a.cfg.Usage.Admit(c.Context(), c.who.Org, c.who.User)
		if later, ok := errors.AsType[usage.Later](err); ok {
			err = pause(c.Context(), later.After)
		} else {
			n--
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pause waits, or until ctx ends, which is the error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// auditDrop tells auditors what became of one key. What was not touched is not told of.
func (a *API) auditDrop(c *call, k keys.Key, o writepath.Dropped, dry bool) {
	verdict := "deleted"
	switch {
	case dry, !o.Done && o.Err == nil:
		return
	case o.Err != nil:
		verdict = strings.TrimPrefix(a.problemOf(o.Err).Type, problemType)
	}
	e := a.audit.Info()
	if e == nil {
		return
	}
	e.Str("request", c.id).Str("org", c.who.Org).Str("user", c.who.User).Str("credential", c.who.TokenID).
		Str("from", c.RemoteAddr).Str("method", c.Method).Str("op", c.op).Int64("bytes", o.Bytes).
		Str("service", k.Service).Str("key", k.Name).Str("verdict", verdict).Msg("audit")
}

// dropSum is what became of some objects.
type dropSum struct {
	Deleted int64         `json:"deleted"`
	Bytes   int64         `json:"bytes"`
	Failed  []dropFailure `json:"failed"`
	// Through is the last key of the page, in the order of a listing; empty if there is none.
	Through string `json:"through"`
}

type dropFailure struct {
	Key  string `json:"key"`
	Type string `json:"type"`
}

// dropAnswer is the answer to a drop: a line a page, or one object at the end. That
// begins with what failed, and is sent as it comes once it is long.
type dropAnswer struct {
	lines  bool
	any    bool // a line was sent
	failed int
	sum    dropSum
	out    bytes.Buffer
}

// add takes in what became of a page, and tells it if the caller wants lines.
func (d *dropAnswer) add(w *recorder, page dropSum, last string, more bool) error {
	if d.lines {
		if page.Deleted == 0 && page.Failed == nil && (more || d.any) {
			return nil
		}
		if page.Failed == nil {
			page.Failed = []dropFailure{}
		}
		d.any, page.Through = true, last
		w.Header().Set("Content-Type", ndjson)
		if err := json.NewEncoder(w).Encode(page); err != nil {
			return err
		}
		return w.FlushError()
	}
	d.sum.Deleted += page.Deleted
	d.sum.Bytes += page.Bytes
	for _, f := range page.Failed {
		if d.failed++; d.failed > 1 {
			d.out.WriteByte(',')
		}
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		d.out.Write(text)
	}
	if d.out.Len() < heldPart {
		return nil
	}
	return d.send(w, "")
}

// send sends what is held of the answer, and its end.
func (d *dropAnswer) send(w *recorder, end string) error {
	if w.status == 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		if _, err := w.Write([]byte(`{"failed":[`)); err != nil {
			return err
		}
	}
	d.out.WriteString(end)
	_, err := d.out.WriteTo(w)
	return err
}

// end sends the rest.
func (d *dropAnswer) end(w *recorder) error {
	if d.lines {
		return nil
	}
	return d.send(w, fmt.Sprintf("],\"deleted\":%d,\"bytes\":%d}\n", d.sum.Deleted, d.sum.Bytes))
}

func parseDrop(c *call) (*drop, error) {
	d := &drop{}
	q := c.query
	for name, values := range q {
		if len(values) > 1 {
			return nil, fmt.Errorf("%w: %s is there %d times; give it once", errQuery, name, len(values))
		}
		switch name {
		case "prefix", "dry_run", "older_than", "writer":
		case "env_date", "env_hash":
			if c.service != keys.Strategies {
				return nil, fmt.Errorf("%w: %s narrows a removal of strategies only", errQuery, name)
			}
		default:
			return nil, fmt.Errorf("%w: %q is not known; a removal of many knows prefix, dry_run, older_than, writer, and for strategies env_date and env_hash", errQuery, name)
		}
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		if present(c.Header, name) {
			return nil, fmt.Errorf("%w: %s is of one object, and a removal of many looks at none; narrow it by older_than or writer", errHeader, name)
		}
	}
	if c.ContentLength != 0 {
		return nil, fmt.Errorf("%w: a removal of many takes none; what narrows it is in the query: ?prefix=…&dry_run=true", errBody)
	}
	prefix := q.Get("prefix")
	if prefix == "" {
		return nil, fmt.Errorf("%w: a DELETE names a key, or a prefix that is not empty: ?prefix=", errQuery)
	}
	var err error
	d.service = c.service
	if d.prefix, err = keys.PlacePrefix(c.who.Org, c.service, prefix); err != nil {
		return nil, err
	}
	if err := c.who.May(auth.Delete, c.service, prefix); err != nil {
		return nil, err
	}
	if c.who.May(auth.Administer, c.service, prefix) != nil {
		d.Own = c.who.User
	}
	d.Prefix, d.User, d.Writer = d.prefix, c.who.User, q.Get("writer")
	d.filter = strategyParts{EnvDate: strings.ReplaceAll(q.Get("env_date"), " ", "+"), EnvHash: q.Get("env_hash")}
	if err := checkDate(d.filter.EnvDate); err != nil {
		return nil, err
	}
	return d, d.parseOptions(c)
}

// parseOptions reads what is no text.
func (d *drop) parseOptions(c *call) (err error) {
	switch text := c.query.Get("dry_run"); text {
	case "true":
		d.Dry = true
	case "false":
	default:
		if c.query.Has("dry_run") {
			return fmt.Errorf("%w: dry_run is true or false, not %q", errQuery, text)
		}
	}
	for _, name := range []string{"writer", "env_date", "env_hash"} { // an empty one would not narrow what it was given to narrow
		if c.query.Has(name) && c.query.Get(name) == "" {
			return fmt.Errorf("%w: %s is empty; leave it out to remove all", errQuery, name)
		}
	}
	if !c.query.Has("older_than") {
		return nil
	}
	seconds, err := strconv.ParseUint(c.query.Get("older_than"), 10, 32)
	if err != nil || seconds > longestLife {
		return fmt.Errorf("%w: older_than is a whole number of seconds, at most %d, not %q", errQuery, longestLife, c.query.Get("older_than"))
	}
	d.Before = time.Now().Add(-time.Duration(seconds) * time.Second) //nolint:gosec // longestLife at most
	return nil
}
