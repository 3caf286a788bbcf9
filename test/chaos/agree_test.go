package chaos

import (
	"context"
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"time"

	"larder/test/history"
)

const (
	// lookEvery is the pause between two looks at the members. A look that is
	// followed by steady ones for calm was not before a death that nobody had noticed
	// yet: after a fault that takes 3 s, and what is gossiped of it another.
	lookEvery = 200 * time.Millisecond
	calm      = 5 * time.Second
	// lateMost is the longest after which S3 does a write late.
	lateMost = 2 * time.Second
)

// looked is whether members agreed in a look that began then.
type looked struct {
	at    int64
	agree bool
}

// watch looks at the members until ctx ends.
func (c *cluster) watch(ctx context.Context, h *history.History) (all []looked) {
	for ctx.Err() == nil {
		l := looked{at: h.Now()}
		l.agree = c.membersAgree()
		all = append(all, l)
		sleep(ctx, lookEvery)
	}
	return all
}

var strangers = regexp.MustCompile(`(?m)^larder_cluster_strangers 0$`)

// membersAgree reports whether each node that clients may use sees all of them, and
// nobody else, and has settled with them.
func (c *cluster) membersAgree() bool {
	running := slices.DeleteFunc(slices.Clone(c.nodes), func(n *node) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return !n.up
	})
	peers := ""
	for _, n := range running {
		b, err := n.look("/cluster")
		if err != nil {
			return false
		}
		var page struct{ Members []struct{ Name, Peer string } }
		if json.Unmarshal(b, &page) != nil || len(page.Members) != len(running) {
			return false
		}
		var seen []string
		for _, m := range page.Members {
			seen = append(seen, m.Name+" "+m.Peer)
		}
		slices.Sort(seen)
		this, err := json.Marshal(seen)
		if err != nil || peers != "" && peers != string(this) {
			return false
		}
		peers = string(this)
		if b, err = n.look("/metrics"); err != nil || !strangers.Match(b) {
			return false
		}
	}
	return true
}

// apart are the times in which reads may be old: from a fault at which members may
// come to disagree until they agree again, and for a lease after that. Who disagreed
// and ended before it was met again never settles, and what S3 does late its next
// owner does not know: then it is --revalidate.
func (s scenario) apart(troubles []trouble, looks []looked) (all []window) {
	if s.agree() {
		return nil
	}
	ends := slices.ContainsFunc(s.kinds, func(k kind) bool { return k == kill || k == roll || k == scale })
	tail := lease
	if ends {
		tail = revalidate
	}
	tail += tail/100 + 10*time.Millisecond
	for _, tr := range troubles {
		switch tr.kind {
		case pause, cut, apart, delay:
			to := agreedSince(looks, tr.to)
			if to < math.MaxInt64-int64(tail) {
				to += int64(tail)
			}
			all = append(all, window{tr.from, to})
		case s3Late:
			all = append(all, window{tr.from, tr.to + int64(lateMost+revalidate)})
		default:
		}
	}
	return all
}

// agreedSince is the first look after a time from which members agreed for as long as
// it is calm; the end of all time if there is none.
func agreedSince(looks []looked, after int64) int64 {
	for i, l := range looks {
		if l.at < after {
			continue
		}
		for _, next := range looks[i:] {
			if !next.agree {
				break
			}
			if next.at-l.at >= int64(calm) {
				return l.at
			}
		}
	}
	return math.MaxInt64
}
