package usage

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"larder/keys"
	"larder/store"
)

// The ledger counts what reads saved: by org, user, name and writer, hour by hour. Each start
// of a node has a page for each hour and org, which it writes to the bucket at least
// each minute if it has changed, always at the same place and whole.

const (
	// ledgerShards spread those who count at once.
	ledgerShards = 16
	// maxLines bounds the lines of a page; what would have others is counted under
	// otherNames and otherUsers.
	maxLines   = 20_000
	otherNames = "(others)"
	// buildSeconds is the metadata that says how long an object took to build.
	buildSeconds = "build-seconds"
	// maxSeconds bounds what one hit is taken to have saved: a writer could state
	// anything, and sums have to stay numbers.
	maxSeconds = 30 * 24 * 3600
)

// saving is what is counted apart: who read under which name what somebody wrote.
type saving struct{ org, user, name, writer string }

// tally is what was saved.
type tally struct{ hits, micros atomic.Int64 }

// page is what is counted of one hour.
type page struct {
	hour   time.Time
	shards [ledgerShards]shard
}

// shard is a part of a page's lines. They are replaced whole when one comes, which is
// seldom, and so are found without a lock.
type shard struct {
	mu    sync.Mutex // held to replace lines
	lines atomic.Pointer[map[saving]*tally]
}

func newPage(hour time.Time) *page {
	p := &page{hour: hour}
	for i := range p.shards {
		p.shards[i].lines.Store(&map[saving]*tally{})
	}
	return p
}

// of returns the tally of a line. It allocates only for a new one.
func (p *page) of(at saving) *tally {
	// The names' lengths and ends spread well enough.
	n := len(at.user) + 3*len(at.name)
	if at.user != "" {
		n += int(at.user[len(at.user)-1])
	}
	if at.name != "" {
		n += 5 * int(at.name[len(at.name)-1])
	}
	s := &p.shards[n%ledgerShards]
	if t := (*s.lines.Load())[at]; t != nil {
		return t
	}
	return s.line(at)
}

// line returns the tally of a line, made anew if there is none.
func (s *shard) line(at saving) *tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := *s.lines.Load()
	if t := lines[at]; t != nil {
		return t
	}
	if len(lines) >= maxLines/ledgerShards {
		at.user, at.name, at.writer = otherUsers, otherNames, ""
	}
	if t := lines[at]; t != nil {
		return t
	}
	lines = maps.Clone(lines)
	at.user, at.name = strings.Clone(at.user), strings.Clone(at.name) // a key is longer than its name; heads keep their writers
	t := &tally{}
	lines[at] = t
	s.lines.Store(&lines)
	return t
}

// Hit counts what a read of an object saved its caller, if its writer said how long
// it took to build. It costs a lookup and some additions.
func (u *Usage) Hit(user string, k keys.Key, h store.Head) {
	if u == nil {
		return
	}
	text, ok := h.Meta[buildSeconds]
	if !ok {
		return
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0) { // which NaN is not either
		return
	}
	micros := int64(min(seconds, maxSeconds) * 1e6)
	t := u.page.Load().of(saving{k.Org, user, NameOf(k), h.Writer})
	t.hits.Add(1)
	u.counts.hits.Add(1)
	t.micros.Add(micros)
	u.counts.micros.Add(micros)
}

// NameOf is what a key's saving is counted under: the name of a strategy; of the key
// of a call, NAME(ticker='SAP')_{asofdate}, its function; of any other object its
// name without a date, and a hash after that, at its end.
func NameOf(k keys.Key) string {
	if k.Service == keys.Strategies {
		if bar := strings.LastIndex(k.Name, "||"); bar >= 0 {
			if bar = strings.LastIndexByte(k.Name[:bar], '|'); bar >= 0 {
				return k.Name[:bar]
			}
		}
		return k.Name
	}
	if call := strings.IndexByte(k.Name, '('); call > 0 {
		return k.Name[:call]
	}
	return undated(k.Name)
}

const (
	// hexDigits and dateDigits are what hashes and dates are made of, which have at
	// least so many.
	hexDigits  = "0123456789abcdef"
	dateDigits = "0123456789-:.TZ+"
	leastHash  = 32
	leastDate  = len("20220104")
)

// undated is a name without the date that ends it, as in "DAX 20220104" and
// "DAX_2022-01-04T00:00:00", or without a date and a hash.
func undated(name string) string {
	rest, hash := cutEnd(name, hexDigits, leastHash)
	if !hash {
		rest = name
	}
	if rest, dated := cutEnd(rest, dateDigits, leastDate); dated {
		return rest
	}
	return name
}

// cutEnd cuts off an end of at least so many of the letters, and the separator
// before it.
func cutEnd(name, letters string, least int) (rest string, ok bool) {
	end := len(name)
	for end > 0 && strings.IndexByte(letters, name[end-1]) >= 0 {
		end--
	}
	if len(name)-end < least || end < 2 || strings.IndexByte(" _/|", name[end-1]) < 0 {
		return name, false
	}
	return name[:end-1], true
}
