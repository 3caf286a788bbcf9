package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"larder/httpapi/auth"
	"larder/keys"
	"larder/store"
)

const (
	storePage    = 1000   // the most that the store lists in one request
	leastPage    = 100    // the least, as some of what it lists may be left out
	defaultLimit = 1000   // keys of one answer, unless ?limit= says otherwise
	maxLimit     = 10_000 // the most that ?limit= may say
	// maxPages bounds the work for one answer when a filter leaves most keys
	// out; the answer then holds fewer keys than its limit, and a cursor.
	maxPages = 20
)

// listed is one key of a listing.
type listed struct {
	Key      string    `json:"key"`
	Size     int64     `json:"size"`
	ETag     string    `json:"etag"`
	Modified time.Time `json:"modified"`
	// Expires is left out of what does not expire.
	Expires *time.Time `json:"expires,omitempty"`
	*strategyParts
	head *store.Head // of a listing with metadata; nil if nothing is known
}

// strategyParts stand beside a strategy key.
type strategyParts struct {
	Name    string `json:"name"`
	EnvDate string `json:"env_date"`
	EnvHash string `json:"env_hash"`
}

// listing is a listing under way: what is asked for, and how far it is.
type listing struct {
	service string
	prefix  string // of places in the store
	after   string // the place that was listed last
	limit   int    // 0: no limit
	look    bool   // at each key, whether the caller may see it
	filter  strategyParts
	meta    bool // with what is known of each
}

func (a *API) serveList(c *call) error {
	c.w.Header().Set("Vary", "Accept")
	l, err := parseListing(c.who, c.service, c.query)
	if err != nil {
		return err
	}
	if wantsLines(c.Header) && c.Method == http.MethodGet {
		return a.streamList(c, l)
	}
	if wantsPage(c.Header) && isPlain(c.query) {
		return a.sendFolder(c, c.query.Get("prefix"), nil)
	}

	if l.limit == 0 {
		l.limit = defaultLimit
	}
	found := make([]listed, 0, min(l.limit, storePage))
	more := true
	for pages := 0; more && pages < maxPages && len(found) < l.limit; pages++ {
		if found, more, err = a.nextPage(c, l, found); err != nil {
			return err
		}
	}
	cursor := ""
	if more {
		cursor = base64.RawURLEncoding.EncodeToString([]byte(l.after))
	}
	return writeJSON(c.w, http.StatusOK, struct {
		Keys   any    `json:"keys"`
		Cursor string `json:"cursor"`
	}{l.shown(found), cursor})
}

// isPlain reports whether a listing is asked for by its prefix alone.
func isPlain(q url.Values) bool { return len(q) == 0 || len(q) == 1 && q.Has("prefix") }

// streamList answers one key a line, all of them.
func (a *API) streamList(c *call, l *listing) error {
	sent, more := 0, true
	for more && (l.limit == 0 || sent < l.limit) {
		var page []listed
		var err error
		if page, more, err = a.nextPage(c, l, nil); err != nil {
			return err
		}
		if l.limit > 0 {
			page = page[:min(len(page), l.limit-sent)]
		}
		sent += len(page)
		c.w.Header().Set("Content-Type", ndjson)
		lines := json.NewEncoder(c.w)
		for _, e := range page {
			if err := lines.Encode(l.shownOne(e)); err != nil {
				return err
			}
		}
		if err := c.w.FlushError(); err != nil {
			return err
		}
	}
	return nil
}

// nextPage appends what one request to the store lists, less what the filter
// leaves out, up to the limit.
func (a *API) nextPage(c *call, l *listing, found []listed) ([]listed, bool, error) {
	entries, more, err := a.list.List(c.Context(), l.prefix, l.after, l.wanted(len(found)))
	if err != nil {
		return nil, false, err
	}
	from := len(found)
	for i, e := range entries {
		l.after = e.Name
		if item, ok := l.match(e); ok && (!l.look || c.who.May(auth.Read, l.service, item.Key) == nil) {
			found = append(found, item)
		}
		if l.limit > 0 && len(found) >= l.limit {
			more = more || i+1 < len(entries)
			break
		}
	}
	if l.meta {
		a.addHeads(c, found[from:])
	}
	return found, more, nil
}

// wanted is how many places the store is asked for, when so many keys were found: about as
// many as are missing, unless a filter may leave most of them out. A few keys may also stand
// behind many that have expired, or are no keys: the store is never asked for one at a time.
func (l *listing) wanted(found int) int {
	if l.limit == 0 || l.look || l.filter != (strategyParts{}) {
		return storePage
	}
	return min(storePage, max(leastPage, l.limit-found))
}

// match turns an entry of the store into a listed key. What is not a key, which
// other tools may have put there, is left out.
func (l *listing) match(e store.Entry) (listed, bool) {
	k, err := keys.FromPlace(e.Name)
	if err != nil {
		return listed{}, false
	}
	item := listed{Key: k.Name, Size: e.Size, ETag: `"` + e.Version + `"`, Modified: e.Modified, Expires: keyExpires(e)}
	if l.service != keys.Strategies {
		return item, true
	}
	s, err := keys.ParseStrategy(k.Name)
	if err != nil {
		return listed{}, false
	}
	item.strategyParts = &strategyParts{Name: s.Name, EnvDate: s.EnvDate, EnvHash: s.EnvHash}
	return item, l.filter.admits(*item.strategyParts)
}

// admits reports whether a strategy key passes the filter. Dates are compared as
// moments; a date alone admits all moments written with that date.
func (f strategyParts) admits(s strategyParts) bool {
	if f.Name != "" && f.Name != s.Name || f.EnvHash != "" && f.EnvHash != s.EnvHash {
		return false
	}
	if f.EnvDate == "" || f.EnvDate == s.EnvDate {
		return true
	}
	want, err := time.Parse(time.RFC3339, f.EnvDate)
	if err != nil {
		return strings.HasPrefix(s.EnvDate, f.EnvDate+"T")
	}
	have, err := time.Parse(time.RFC3339, s.EnvDate)
	return err == nil && have.Equal(want)
}

func parseListing(who auth.Principal, service string, q url.Values) (*listing, error) {
	for name, values := range q {
		if len(values) > 1 {
			return nil, fmt.Errorf("%w: %s is there %d times; give it once", errQuery, name, len(values))
		}
		switch name {
		case "prefix", "limit", "cursor", "meta":
		case "name", "env_date", "env_hash":
			if service != keys.Strategies {
				return nil, fmt.Errorf("%w: %s filters strategies only", errQuery, name)
			}
		default:
			return nil, fmt.Errorf("%w: %q is not known; known are prefix, limit, cursor, meta, and for strategies name, env_date, env_hash", errQuery, name)
		}
	}
	l := &listing{service: service, filter: strategyParts{
		Name:    q.Get("name"),
		EnvDate: strings.ReplaceAll(q.Get("env_date"), " ", "+"), // a + that was not percent-encoded
		EnvHash: q.Get("env_hash"),
	}}
	if err := checkDate(l.filter.EnvDate); err != nil {
		return nil, err
	}
	if text := q.Get("meta"); text != "true" && text != "false" && q.Has("meta") {
		return nil, fmt.Errorf("%w: meta is true or false, not %q", errQuery, text)
	}
	l.meta = q.Get("meta") == "true"
	prefix := q.Get("prefix")
	if prefix == "" && l.filter.Name != "" {
		prefix = l.filter.Name + "|"
	}
	var err error
	if prefix, l.look, err = who.Listed(service, prefix); err != nil {
		return nil, err
	}
	if l.prefix, err = keys.PlacePrefix(who.Org, service, prefix); err != nil {
		return nil, err
	}
	if s := q.Get("limit"); s != "" {
		if l.limit, err = strconv.Atoi(s); err != nil || l.limit < 1 || l.limit > maxLimit {
			return nil, fmt.Errorf("%w: limit is a number from 1 to %d, not %q", errQuery, maxLimit, s)
		}
	}
	after, err := base64.RawURLEncoding.DecodeString(q.Get("cursor"))
	if err != nil || len(after) > 0 && !strings.HasPrefix(string(after), l.prefix) {
		return nil, fmt.Errorf("%w: the cursor is not one of this listing; start without one", errQuery)
	}
	l.after = string(after)
	return l, nil
}

func checkDate(s string) error {
	if s == "" {
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if _, err := time.Parse(layout, s); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: env_date is like 2022-01-30 or 2022-01-30T00:00:00+00:00, not %q", errQuery, s)
}
