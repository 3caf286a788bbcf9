package usage

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"DAX 20220104":                  "DAX",
		"DAX_2022-01-04":                "DAX",
		"DAX_2022-01-04T00:00:00+00:00": "DAX",
		"DAX_2022-01-04_41160d054edf7f0960015019d902b27e": "DAX",
		"smooth(ticker='SAP', window=20)_2022-01-04":      "smooth",
		"lib.smooth(a=1)":                      "lib.smooth",
		"model 7":                              "model 7",
		"20220104":                             "20220104",
		"abc_41160d054edf7f0960015019d902b27e": "abc_41160d054edf7f0960015019d902b27e",
		"(x)":                                  "(x)",
		"DAX20220104":                          "DAX20220104",
	} {
		if got := NameOf(keys.Key{Service: keys.Objects, Name: name}); got != want {
			t.Errorf("%q is counted under %q, want %q", name, got, want)
		}
	}
	strategy := keys.Key{Service: keys.Strategies, Name: "A|B REINV|2022-01-30T00:00:00+00:00||41160d054edf7f0960015019d902b27e"}
	if got := NameOf(strategy); got != "A|B REINV" {
		t.Errorf("a strategy is counted under %q", got)
	}
}

func took(seconds string) store.Head {
	return store.Head{Meta: map[string]string{"build-seconds": seconds}}
}

// Counting is on the path of every read.
func TestHitTakesNoMemory(t *testing.T) {
	u := newNetwork(t, "[]").add()
	k, h := key(t, "DAX_2022-01-04"), took("2.500")
	u.Hit("ada", k, h)
	if n := testing.AllocsPerRun(100, func() { u.Hit("ada", k, h) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// What no number of seconds is counts nothing, and no sum becomes nonsense.
func TestOddSeconds(t *testing.T) {
	u := newNetwork(t, "[]").add()
	for _, seconds := range []string{"", "x", "-1", "0", "NaN", "-Inf"} {
		u.Hit("ada", key(t, "k"), took(seconds))
	}
	u.Hit("ada", key(t, "k"), store.Head{})
	if s := u.Stats(); s.Hits != 0 || s.Seconds != 0 {
		t.Errorf("%+v", s)
	}
	u.Hit("ada", key(t, "k"), took("+Inf"))
	u.Hit("ada", key(t, "k"), took("1e300"))
	if s := u.Stats(); s.Hits != 2 || s.Seconds != 2*maxSeconds {
		t.Errorf("%+v", s)
	}
}

func (m *member) report(t *testing.T) Report {
	t.Helper()
	r, err := m.Report(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Who wrote something is told how many others it served, whichever node they read at, also
// when the days are put together; his own reads are not among these.
func TestServed(t *testing.T) {
	n := newNetwork(t, "- {org: acme, cost_per_hour: 3600}")
	a, b := n.add(), n.add()
	h := took("10")
	h.Writer = "ada"
	for i, reader := range []string{"ada", "rob", "rob", "grace"} {
		[]*member{a, b}[i%2].Hit(reader, key(t, "f(x=1)"), h)
	}
	b.Hit("rob", key(t, "f(x=1)"), took("10")) // whose writer is not known
	for range 2 {
		s := b.report(t).ServedBy("ada")
		if s.People != 2 || s.Hits != 3 || s.Seconds != 30 || *s.Cost != 30 {
			t.Errorf("%+v", s)
		}
		if s := b.report(t).ServedBy("rob"); s.People != 0 || s.Hits != 0 {
			t.Errorf("who wrote nothing served %+v", s)
		}
		if err := a.fold(t.Context(), "acme", time.Now().Add(72*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := a.Saved(t.Context(), "acme", "f"); err != nil || s.Hits != 5 || s.Seconds != 50 {
		t.Errorf("f saved %+v, %v", s, err)
	}
}

// A book with a field that is not known counts by those that are.
func TestBookWithMoreFields(t *testing.T) {
	n := newNetwork(t, "[]")
	at := keys.Usage("acme", hoursPrefix+time.Now().UTC().Format(hourForm)+"/A")
	body := fmt.Sprintf(`{"lines":[{"when":%q,"user":"ada","name":"f","hits":2,"joined":5,"seconds":3}],"more":[]}`, time.Now().UTC().Format(hourForm))
	if _, err := n.store.Put(t.Context(), at, store.Write{Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	if s := n.add().report(t).Saved.All; s.Hits != 2 || s.Seconds != 3 {
		t.Errorf("%+v", s)
	}
}

// Callers of three nodes hit at once; each node's report has all of it, by user and name.
func TestReport(t *testing.T) {
	n := newNetwork(t, "- {org: acme, cost_per_hour: 36}")
	members := []*member{n.add(), n.add(), n.add()}
	var wg sync.WaitGroup
	for caller := range 9 {
		wg.Go(func() {
			for i := range 100 {
				members[caller%3].Hit(fmt.Sprintf("user-%d", caller%2), key(t, fmt.Sprintf("f%d(x=%d)", i%4, i)), took("1.5"))
			}
		})
	}
	wg.Wait()
	members[1].Hit("user-0", key(t, "f0(x=0)"), took("100"))
	for _, m := range members {
		r := m.report(t)
		for _, s := range []Saving{r.Saved.Today, r.Saved.Month, r.Saved.All} {
			if s.Hits != 901 || math.Abs(s.Seconds-1450) > 1e-6 || math.Abs(*s.Cost-14.5) > 1e-6 {
				t.Errorf("saved %+v", s)
			}
		}
		if len(r.Names) != 4 || r.Names[0].Name != "f0" || r.Names[0].Hits != 226 {
			t.Errorf("names %+v", r.Names)
		}
		if len(r.Users) != 2 || r.Users[0].Name != "user-0" || r.Users[0].Hits != 501 || r.Users[1].Hits != 400 {
			t.Errorf("users %+v", r.Users)
		}
	}
}

// What was counted is in the bucket within a minute, and what was counted by a start
// that is gone without a word as well.
func TestKilledNodeLosesAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "[]")
		ctx, kill := context.WithCancel(t.Context())
		m := n.add()
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		for range 500 { // a hit every 200 ms for 100 s
			m.Hit("ada", key(t, "k"), took("2"))
			time.Sleep(200 * time.Millisecond)
		}
		kill()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		n.kill(m)
		if hits := n.add().report(t).Saved.All.Hits; hits < 200 {
			t.Errorf("of 500 hits in 100 s %d are left", hits)
		}
	})
}

// A store that is away for a while costs nothing.
func TestLedgerWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "[]")
		m := n.add()
		n.store.down = true
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		time.Sleep(time.Minute) // no hit is at the moment in which an hour changes
		for range 10 {
			m.Hit("ada", key(t, "k"), took("2"))
			time.Sleep(20 * time.Minute) // the hour changes
		}
		n.store.mu.Lock()
		n.store.down = false
		n.store.mu.Unlock()
		time.Sleep(2 * time.Minute)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if names := n.store.names("v1/acme/usage/hours/"); len(names) != 4 {
			t.Errorf("the pages are %v", names)
		}
		if hits := n.add().report(t).Saved.All.Hits; hits != 10 {
			t.Errorf("of 10 hits %d are left", hits)
		}
		m.pagesMu.Lock()
		defer m.pagesMu.Unlock()
		if len(m.full) > 1 {
			t.Errorf("%d pages are still held", len(m.full))
		}
	})
}

// Whoever waits for a page to be written behind another one that the store keeps
// waiting, waits no longer than he wants.
func TestFlushBehindASilentStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "[]")
		m := n.add()
		m.Usage = New(n.policy, &silent{n.store, make(chan struct{})}, m, zerolog.Nop())
		m.Hit("ada", key(t, "k"), took("2"))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.flush(ctx, "") }()
		synctest.Wait()
		began := time.Now()
		if a := m.handleFlush(t.Context(), cluster.Asked{Text: "acme"}); a.Status != http.StatusServiceUnavailable || time.Since(began) > flushLimit {
			t.Errorf("after %s: %+v", time.Since(began), a)
		}
		stop()
		if err := <-ended; err == nil {
			t.Error("it is written")
		}
	})
}

// page writes a page of the ledger as some start of a node did.
func (n *network) page(t *testing.T, hour time.Time, start string, lines ...saved) {
	t.Helper()
	for i := range lines {
		lines[i].When = hour.Format(hourForm)
	}
	body, err := json.Marshal(book{Lines: lines})
	if err != nil {
		t.Fatal(err)
	}
	place := keys.Usage("acme", hoursPrefix+hour.Format(hourForm)+"/"+start)
	if _, err := n.store.Put(t.Context(), place, store.Write{Body: body}); err != nil {
		t.Fatal(err)
	}
}

// Old pages are put together by day, and days by month; sums stay as they are, at each
// step, also where a crash left what was put together already.
func TestFolding(t *testing.T) {
	n := newNetwork(t, "[]")
	now := time.Now().UTC()
	first := time.Date(now.Year()-1, now.Month(), 1, 0, 0, 0, 0, time.UTC)
	pages := 0
	for day := first; day.Before(now); day = day.AddDate(0, 0, 1) {
		for _, hour := range []int{8, 17} {
			for _, start := range []string{"A", "B"} {
				n.page(t, day.Add(time.Duration(hour)*time.Hour), start, saved{User: "ada", Name: "f", Hits: 2, Seconds: 3}, saved{User: "bob", Name: "g", Hits: 1, Seconds: 1})
				pages++
			}
		}
	}
	m := n.add()
	check := func(when string) Report {
		t.Helper()
		r := n.members[0].report(t)
		if s := r.Saved.All; s.Hits != int64(3*pages) || math.Abs(s.Seconds-float64(4*pages)) > 1e-6 || r.Names[0].Name != "f" || r.Users[0].Name != "ada" {
			t.Errorf("%s: %+v of %d pages", when, r, pages)
		}
		return r
	}
	before := check("before")
	if err := m.fold(t.Context(), "acme", now); err != nil {
		t.Fatal(err)
	}
	if hours := n.store.names("v1/acme/usage/hours/"); len(hours) > 12 {
		t.Errorf("%d pages are left", len(hours))
	}
	check("by days")
	if err := m.fold(t.Context(), "acme", now); err != nil {
		t.Fatal(err)
	}
	after := check("by months")
	if months := n.store.names("v1/acme/usage/months/"); len(months) < 11 || len(months) > 12 {
		t.Errorf("the months are %v", months)
	}
	if after.Saved.Today != before.Saved.Today || after.Saved.Month != before.Saved.Month {
		t.Errorf("%+v became %+v", before.Saved, after.Saved)
	}

	// A crash after a book was written left one of its parts; and a page came late.
	day := first.AddDate(0, 1, 3)
	n.page(t, day.Add(8*time.Hour), "A", saved{User: "ada", Name: "f", Hits: 2, Seconds: 3})
	if err := m.fold(t.Context(), "acme", now); err != nil {
		t.Fatal(err)
	}
	n.page(t, now.AddDate(0, 0, -3).Truncate(24*time.Hour).Add(3*time.Hour), "C", saved{User: "ada", Name: "f", Hits: 3, Seconds: 4})
	pages++
	check("late")
	if err := m.fold(t.Context(), "acme", now); err != nil {
		t.Fatal(err)
	}
	check("late, put together")
	if slices.ContainsFunc(n.store.names("v1/acme/usage/hours/"), func(name string) bool { return name[len(name)-1] == 'C' }) {
		t.Error("the late page was not put together")
	}
}
