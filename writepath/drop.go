package writepath

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

const (
	dropRoute = "writepath/drop"
	// MaxDrop is the most keys that are dropped at once.
	MaxDrop = store.MaxDeleted
	// dropLimit bounds the removal of so many.
	dropLimit = completeLimit
	// maxDropped bounds the places of one question, in bytes: a thousand fit.
	maxDropped = 2 << 20
	// maxDropDetail is how much of an error travels of each key: a thousand fit.
	maxDropDetail = 256
	// dropsAtOnce keys are removed beside each other which could not be with the others.
	dropsAtOnce = 8
)

// ErrNotOwn says that an object was written by somebody else than the one who may
// remove his own.
var ErrNotOwn = errors.New("somebody else has written this object")

// Drop says which of the objects of a listing are removed. What is there when the key's
// turn has come decides, and not what was listed.
type Drop struct {
	// Prefix is of the places of all keys, and After the place after which the listing
	// of these keys began; it may be empty.
	Prefix, After string
	// Before lets an object be removed only if it was surely written before; zero is any.
	Before time.Time `json:",omitzero"`
	// Writer lets it be removed only if this user has written it; empty is anybody.
	Writer string `json:",omitempty"`
	// Own is the user who may remove only what he has written himself: of all else the
	// error is ErrNotOwn. Empty is nobody.
	Own string `json:",omitempty"`
	// User is who asks, for auditors.
	User string
	// Dry only finds out what would be removed.
	Dry bool `json:",omitempty"`
}

// IsBefore reports whether an object of this date, in whole seconds, was surely written
// before the time that the Drop has, if it has one.
func (d Drop) IsBefore(modified time.Time) bool {
	return d.Before.IsZero() || !modified.Add(time.Second).After(d.Before)
}

// Dropped is what became of one key.
type Dropped struct {
	// Done says that an object was removed, or would be: of so many bytes. Without it
	// and without an error there is nothing that was to be removed.
	Done  bool  `json:",omitempty"`
	Bytes int64 `json:",omitempty"`
	Err   error `json:"-"`
}

// Drop removes objects by the rules of Delete, up to MaxDrop different keys of one org
// and service, and says what became of each. Each owner is asked once for all of its
// keys. If caller ends, what has not begun is not done.
func (p *Path) Drop(caller context.Context, d Drop, ks []keys.Key) []Dropped {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), dropLimit)
	defer cancel()
	out := make([]Dropped, len(ks))
	left := make([]int, len(ks))
	for i := range left {
		left[i] = i
	}
	for {
		var asking sync.WaitGroup
		for owner, at := range p.byOwner(ks, left) {
			asking.Go(func() { p.dropAt(ctx, caller, owner, d, ks, at, out) })
		}
		asking.Wait()
		again := left[:0]
		for _, i := range left {
			if errors.Is(out[i].Err, heads.ErrNotOwner) || errors.Is(out[i].Err, cluster.ErrUnreachable) {
				again = append(again, i)
			}
		}
		if left = again; len(left) == 0 {
			return out
		}
		select {
		case <-time.After(retryPause/2 + rand.N(retryPause/2)):
			continue
		case <-caller.Done():
		case <-ctx.Done():
		}
		for _, i := range left {
			out[i].Err = fmt.Errorf("drop %s: %w: %w", ks[i], ErrNotApplied, out[i].Err)
		}
		return out
	}
}

// byOwner are those of the keys that are left, by the member that owns them.
func (p *Path) byOwner(ks []keys.Key, left []int) map[cluster.Member][]int {
	owners := map[cluster.Member][]int{}
	for _, i := range left {
		m, _ := p.cluster.Owner(ks[i].Hash())
		owners[m] = append(owners[m], i)
	}
	return owners
}

// dropAt drops the keys of one owner.
func (p *Path) dropAt(ctx, caller context.Context, owner cluster.Member, d Drop, ks []keys.Key, at []int, out []Dropped) {
	own := make([]keys.Key, len(at))
	for n, i := range at {
		own[n] = ks[i]
	}
	var all []Dropped
	if owner.ID == p.cluster.Self().ID {
		all = p.dropOwned(ctx, d, own, func() bool { return caller.Err() != nil })
	} else {
		all = p.askDrop(ctx, owner, d, own)
	}
	var told errgroup.Group
	told.SetLimit(dropsAtOnce)
	for n, i := range at {
		if out[i] = all[n]; out[i].Done && !d.Dry {
			told.Go(func() error { p.tellOwner(ctx, owner, ks[i], op{Delete: true}, Result{}); return nil })
		}
	}
	_ = told.Wait() // none has an error
}

// dropReply is what the owner says of one key.
type dropReply struct {
	Dropped
	Failure string `json:",omitempty"` // a name of failures
	Detail  string `json:",omitempty"`
}

// askDrop has another node drop keys that it owns.
func (p *Path) askDrop(ctx context.Context, owner cluster.Member, d Drop, ks []keys.Key) []Dropped {
	replies, err := p.asked(ctx, owner, d, ks)
	out := make([]Dropped, len(ks))
	for i := range ks {
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i] = replies[i].Dropped
		out[i].Err = reply{Failure: replies[i].Failure, Detail: replies[i].Detail}.failure()
	}
	return out
}

func (p *Path) asked(ctx context.Context, owner cluster.Member, d Drop, ks []keys.Key) (replies []dropReply, err error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("ask to drop: %w", err)
	}
	said, err := p.cluster.Ask(ctx, owner, cluster.Question{Route: dropRoute, Text: string(text), Body: linesOf(ks), Once: true})
	switch {
	case errors.Is(err, cluster.ErrUnreachable):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("drop at %s: %w: %w", owner.Name, ErrUnknown, err)
	case said.Status == http.StatusMisdirectedRequest:
		return nil, heads.ErrNotOwner
	case said.Status == http.StatusNotFound: // an older release, which does nothing of it
		return nil, fmt.Errorf("drop at %s: %w: it does not know how: %s", owner.Name, ErrNotApplied, said.Text)
	case said.Status != http.StatusOK:
		return nil, fmt.Errorf("drop: %s answered %d: %s: %w", owner.Name, said.Status, said.Text, store.ErrUnexpected)
	}
	if err := json.Unmarshal(said.Text, &replies); err != nil || len(replies) != len(ks) {
		return nil, fmt.Errorf("drop at %s: %w: it said of %d keys: %w", owner.Name, ErrUnknown, len(replies), err)
	}
	return replies, nil
}

// linesOf are the places of keys, a line each: none has a line break in it.
func linesOf(ks []keys.Key) []byte {
	places := make([]string, len(ks))
	for i, k := range ks {
		places[i] = k.Place()
	}
	return []byte(strings.Join(places, "\n"))
}

// handleDrop drops keys that another node names. Those that this node does not own are
// not touched.
func (p *Path) handleDrop(ctx context.Context, asked cluster.Asked) cluster.Answer {
	began := time.Now()
	var d Drop
	if err := json.Unmarshal([]byte(asked.Text), &d); err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	ks, err := p.dropped(asked)
	if err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropLimit)
	defer cancel()
	out := p.dropOwned(ctx, d, ks, asked.Abandoned)
	replies := make([]dropReply, len(out))
	for i, o := range out {
		replies[i].Dropped = o
		if o.Err != nil {
			replies[i].Failure, replies[i].Detail = failureOf(o.Err), o.Err.Error()
			replies[i].Detail = replies[i].Detail[:min(len(replies[i].Detail), maxDropDetail)]
		}
		if o.Done && !d.Dry || o.Err != nil {
			p.auditForwarded(asked, ks[i], op{Delete: true, Head: store.Head{Writer: d.User}}, Result{}, o.Err, time.Since(began))
		}
	}
	text, err := json.Marshal(replies)
	if err != nil {
		return refusal(http.StatusInternalServerError, err.Error())
	}
	return cluster.Answer{Status: http.StatusOK, Text: text}
}

// dropped reads the keys that a question names.
func (p *Path) dropped(asked cluster.Asked) (ks []keys.Key, err error) {
	body, err := asked.ReadBody(maxDropped)
	if err != nil {
		return nil, err
	}
	for place := range strings.SplitSeq(string(body), "\n") {
		k, err := keys.FromPlace(place)
		if err != nil {
			return nil, err
		}
		if ks = append(ks, k); len(ks) > MaxDrop {
			return nil, fmt.Errorf("%w: more than %d keys", errMalformed, MaxDrop)
		}
	}
	return ks, nil
}
