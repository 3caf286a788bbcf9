package usage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"larder/keys"
	"larder/store"
)

// The ledger in the bucket, below v1/ORG/usage/:
//
//	hours/2026-11-29T20/START  a page: what one start of a node counted in an hour
//	days/2026-11-29            all pages of a day, put together a day after its end
//	months/2026-11             all days of a month, put together a week after its end
//
// Times are UTC. A book that holds others names them, so that what a crash left of
// them beside it counts once. A page that a node writes for the first time when its
// day has been put together is put to it with the next look. One that it writes
// again so late, since it could not reach the store for a day, is lost.
const (
	hourForm  = "2006-01-02T15"
	dayForm   = time.DateOnly
	monthForm = "2006-01"

	hoursPrefix  = "hours/"
	daysPrefix   = "days/"
	monthsPrefix = "months/"

	foldDays   = 24 * time.Hour
	foldMonths = 7 * 24 * time.Hour
	// readers is how many books are read at once.
	readers = 16
)

// book is a page, a day or a month.
type book struct {
	// From names the books that this one holds.
	From  []string `json:"from,omitempty"`
	Lines []saved  `json:"lines"`
}

// saved is one line of a book: of an hour, in a month of a day.
type saved struct {
	When    string  `json:"when"`
	User    string  `json:"user"`
	Name    string  `json:"name"`
	Writer  string  `json:"writer,omitempty"` // of what was read; older nodes did not count it
	Hits    int64   `json:"hits"`
	Seconds float64 `json:"seconds"`
}

// book makes the book of a page for one org.
func (p *page) book(org string) (b book, version int64) {
	for i := range p.shards {
		for at, t := range *p.shards[i].lines.Load() {
			if at.org != org {
				continue
			}
			l := saved{
				When: p.hour.Format(hourForm), User: at.user, Name: at.name, Writer: at.writer,
				Hits: t.hits.Load(), Seconds: float64(t.micros.Load()) / 1e6,
			}
			version += l.Hits
			b.Lines = append(b.Lines, l)
		}
	}
	return b, version
}

// orgs are those that a page has lines of.
func (p *page) orgs() map[string]bool {
	orgs := map[string]bool{}
	for i := range p.shards {
		for at := range *p.shards[i].lines.Load() {
			orgs[at.org] = true
		}
	}
	return orgs
}

// turn begins a new page when an hour has begun.
func (u *Usage) turn(now time.Time) {
	hour := now.UTC().Truncate(time.Hour)
	u.pagesMu.Lock()
	defer u.pagesMu.Unlock()
	if old := u.page.Load(); hour.After(old.hour) {
		u.page.Store(newPage(hour))
		u.full = append(u.full, old)
	}
}

// flush writes what has changed of the pages of an org, or of all if it is empty. A
// page that is full is let go once it was written a while after its hour: by then
// nobody counts on it.
func (u *Usage) flush(ctx context.Context, only string) error {
	select { // of one place, the later page is the one that stays
	case u.flushing <- struct{}{}:
		defer func() { <-u.flushing }()
	case <-ctx.Done():
		return fmt.Errorf("write the ledger: the one before is still being written: %w", ctx.Err())
	}
	u.pagesMu.Lock()
	pages := append(slices.Clone(u.full), u.page.Load())
	u.pagesMu.Unlock()
	var err error
	for _, p := range pages {
		written := true
		for org := range p.orgs() {
			if only != "" && org != only {
				continue
			}
			if failed := u.flushPage(ctx, p, org); failed != nil {
				err, written = errors.Join(err, failed), false
			}
		}
		if only == "" && written && time.Since(p.hour) > time.Hour+time.Minute {
			u.drop(p)
		}
	}
	return err
}

func (u *Usage) flushPage(ctx context.Context, p *page, org string) error {
	b, version := p.book(org)
	place := hoursPrefix + p.hour.Format(hourForm) + "/" + u.cluster.Self().ID
	if u.flushed[place+" "+org] == version {
		return nil
	}
	body, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if _, err := u.store.Put(ctx, keys.Usage(org, place), store.Write{Head: store.Head{ContentType: "application/json"}, Body: body}); err != nil {
		return fmt.Errorf("write the ledger of %s: %w", org, err)
	}
	u.flushed[place+" "+org] = version
	return nil
}

// drop lets a page go. Only flush calls it.
func (u *Usage) drop(p *page) {
	u.pagesMu.Lock()
	defer u.pagesMu.Unlock()
	u.full = slices.DeleteFunc(u.full, func(q *page) bool { return q == p })
	for at := range u.flushed {
		if strings.HasPrefix(at, hoursPrefix+p.hour.Format(hourForm)+"/") && !slices.Contains(u.full, p) && u.page.Load() != p {
			delete(u.flushed, at)
		}
	}
}

// shelf is what the bucket lists of an org's ledger: versions by name.
type shelf map[string]string

// shelf lists the books of an org.
func (u *Usage) shelf(ctx context.Context, org string) (shelf, error) {
	s := shelf{}
	prefix := keys.Usage(org, "")
	for after, more := "", true; more; {
		entries, goesOn, err := u.store.List(ctx, prefix, after, pageSize)
		if err != nil {
			return nil, fmt.Errorf("list the ledger of %s: %w", org, err)
		}
		for _, e := range entries {
			after = e.Name
			name := strings.TrimPrefix(e.Name, prefix)
			for _, kind := range []string{hoursPrefix, daysPrefix, monthsPrefix} {
				if strings.HasPrefix(name, kind) {
					s[name] = e.Version
				}
			}
		}
		more = goesOn && len(entries) > 0
	}
	return s, nil
}

// open reads books. One that is gone since it was listed was put into another; one
// that cannot be read as a book is left where it is, and logged.
func (u *Usage) open(ctx context.Context, org string, names []string) (map[string]*book, error) {
	var mu sync.Mutex // guards books
	books := map[string]*book{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, name := range names {
		g.Go(func() error {
			body, _, err := u.read(ctx, keys.Usage(org, name))
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read the ledger of %s: %w", org, err)
			}
			var b book
			if err := json.Unmarshal(body, &b); err != nil {
				u.log.Error().Err(err).Str("org", org).Str("book", name).Msg("a book of the ledger cannot be read and does not count")
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			books[name] = &b
			return nil
		})
	}
	return books, g.Wait()
}

// fold puts together the pages of the days that are over, and the days of months.
func (u *Usage) fold(ctx context.Context, org string, now time.Time) error {
	s, err := u.shelf(ctx, org)
	if err != nil {
		return err
	}
	into := map[string][]string{} // names of books, by that of the one that shall hold them
	for name := range s {
		if holder := holderOf(name, now); holder != "" {
			into[holder] = append(into[holder], name)
		}
	}
	for holder, names := range into {
		if err := u.foldInto(ctx, org, holder, names); err != nil {
			return err
		}
	}
	return nil
}

// holderOf names the book that a book is to be put into by now; none if it is not
// yet time.
func holderOf(name string, now time.Time) string {
	kind, rest, _ := strings.Cut(name, "/")
	switch kind + "/" {
	case hoursPrefix:
		text, _, _ := strings.Cut(rest, "/")
		hour, err := time.Parse(hourForm, text)
		if day := hour.Truncate(24 * time.Hour); err == nil && now.Sub(day.AddDate(0, 0, 1)) > foldDays {
			return daysPrefix + day.Format(dayForm)
		}
	case daysPrefix:
		day, err := time.Parse(dayForm, rest)
		month := time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC)
		if err == nil && now.Sub(month.AddDate(0, 1, 0)) > foldMonths {
			return monthsPrefix + month.Format(monthForm)
		}
	}
	return ""
}

// foldInto puts books into another one, and removes them. Two members that do so at
// once do not lose anything: the second one's write is refused, where the store
// holds conditions.
func (u *Usage) foldInto(ctx context.Context, org, holder string, names []string) error {
	body, version, err := u.read(ctx, keys.Usage(org, holder))
	var all book
	switch {
	case errors.Is(err, store.ErrNotFound):
		version = ""
	case err != nil:
		return fmt.Errorf("read the ledger of %s: %w", org, err)
	default:
		if err := json.Unmarshal(body, &all); err != nil {
			return fmt.Errorf("read %s of the ledger of %s: %w", holder, org, err)
		}
	}
	books, err := u.open(ctx, org, slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(all.From, name) }))
	if err != nil {
		return err
	}
	if len(books) > 0 {
		all.take(books, strings.HasPrefix(holder, monthsPrefix))
		if body, err = json.Marshal(all); err != nil {
			return err
		}
		if _, err := u.write(ctx, keys.Usage(org, holder), body, version); err != nil {
			return fmt.Errorf("write %s of the ledger of %s: %w", holder, org, err)
		}
	}
	for _, name := range names {
		if !slices.Contains(all.From, name) {
			continue // it could not be read
		}
		if err := u.store.Delete(ctx, keys.Usage(org, name)); err != nil {
			return fmt.Errorf("remove %s of the ledger of %s: %w", name, org, err)
		}
	}
	return nil
}

// take puts books into this one: hour by hour, or day by day.
func (b *book) take(books map[string]*book, daily bool) {
	type at struct{ when, user, name, writer string }
	sums := map[at]*saved{}
	add := func(l saved) {
		if daily {
			l.When = l.When[:min(len(l.When), len(dayForm))]
		}
		k := at{l.When, l.User, l.Name, l.Writer}
		if s := sums[k]; s != nil {
			s.Hits, s.Seconds = s.Hits+l.Hits, s.Seconds+l.Seconds
			return
		}
		sums[k] = &l
	}
	for _, l := range b.Lines {
		add(l)
	}
	for name, other := range books {
		b.From = append(b.From, name)
		for _, l := range other.Lines {
			add(l)
		}
	}
	b.Lines = b.Lines[:0]
	for _, l := range sums {
		b.Lines = append(b.Lines, *l)
	}
	slices.Sort(b.From)
	slices.SortFunc(b.Lines, func(a, b saved) int {
		return cmp.Or(strings.Compare(a.When, b.When), strings.Compare(a.User, b.User), strings.Compare(a.Name, b.Name), strings.Compare(a.Writer, b.Writer))
	})
}
