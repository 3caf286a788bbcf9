package fill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"larder/budget"
	"larder/cluster"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
)

const (
	// headRoute is the question for a head. Its text is a headQuestion.
	headRoute = "fill/head"
	// hasRoute asks whether a member has the first chunk of some version of a key. Its
	// text is the key's place.
	hasRoute = "fill/has"
)

// headQuestion asks for what an owner knows of a key, as JSON.
type headQuestion struct {
	Place string
	Bytes bool  // the first chunk too, if it is small
	Chunk int64 // the asker's chunk size, which must be the owner's
}

// headAnswer is what an owner says of a key, as JSON. Of an object that expires it says
// how much time was left when it answered, since clocks differ. If it says so, the first
// chunk follows: one that is too small to be counted, so that reading a small
// object through any node takes one question.
type headAnswer struct {
	heads.Known
	Source chunks.Source
	Lease  time.Duration // from the moment the question was asked; 0: for this request only
	First  bool
	Left   time.Duration `json:",omitempty"` // until the object expires
}

// askHead asks the owner for a head and a lease on it. An error that wraps
// chunks.ErrOwnerSays is the owner's verdict; any other means that it gave no answer.
func (f *Filler) askHead(ctx context.Context, owner cluster.Member, k keys.Key, w want) (answer, time.Duration, error) {
	asked := time.Now()
	text, err := json.Marshal(headQuestion{Place: k.Place(), Bytes: bool(w), Chunk: f.size})
	if err != nil {
		return answer{}, 0, fmt.Errorf("ask for a head: %w", err)
	}
	said, err := f.chunks.Ask(ctx, owner, cluster.Question{Route: headRoute, Text: string(text), Room: budget.FreeLen})
	if err != nil {
		return answer{}, 0, err
	}
	var h headAnswer
	if err := json.Unmarshal(said.Text, &h); err != nil {
		return answer{}, 0, fmt.Errorf("read a head of %s: %w", owner.Name, err)
	}
	a, err := f.heard(ctx, owner, k, h, said.Body, asked)
	return a, h.Lease, err
}

// heard is what an owner's answer to a question means here, with the bytes that came
// beside it. asked is when the question was sent.
func (f *Filler) heard(ctx context.Context, owner cluster.Member, k keys.Key, h headAnswer, first []byte, asked time.Time) (a answer, err error) {
	if h.Head.Size < 0 {
		return answer{}, fmt.Errorf("%s says that %s has %d bytes", owner.Name, k, h.Head.Size)
	}
	a = answer{Known: h.Known, Source: h.Source}
	if h.Left > 0 {
		if a.Known = h.EndsIn(h.Left, asked); a.IsOver(time.Now()) {
			return answer{}, fmt.Errorf("%s took longer to answer than %s had left", owner.Name, k)
		}
	}
	if h.First {
		if a.first, err = f.chunks.Given(ctx, owner, f.chunks.Of(k, h.Head, 0), first); err != nil {
			return answer{}, err
		}
	}
	if a.Source != chunks.S3 && a.Source != chunks.Disk {
		a.Source = chunks.Peer
	}
	return a, nil
}

// keepLeased trusts an owner's answer for as long as it granted, and reports whether it
// does.
func (f *Filler) keepLeased(k keys.Key, began heads.Moment, a answer, lease time.Duration) bool {
	return f.heads.Must(k, !a.first.IsHere() || !a.Absent, "what is absent has no bytes") && f.heads.KeepLease(k, began, a.Known, lease)
}

// handleHead answers a peer that asks for a head. A node that is not the owner
// in its own view says so and asks nobody.
func (f *Filler) handleHead(ctx context.Context, asked cluster.Asked) cluster.Answer {
	var q headQuestion
	if err := json.Unmarshal([]byte(asked.Text), &q); err != nil {
		return chunks.Refusal(fmt.Errorf("%w: %w", keys.ErrBadKey, err))
	}
	k, err := keys.FromPlace(q.Place)
	if err != nil {
		return chunks.Refusal(err)
	}
	owner := f.ownerOf(k)
	if !owner.Self || q.Chunk != f.size {
		return chunks.Refusal(chunks.ErrNotOwner)
	}
	a, err := f.resolve(ctx, k, want(q.Bytes), k.Org, owner)
	if err != nil {
		return chunks.Refusal(err)
	}
	h, first := f.forPeer(asked.From, k, a, q.Bytes)
	a.first.Close() // a chunk that is counted is asked for by itself
	text, err := json.Marshal(h)
	if err != nil {
		return chunks.Refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK, Text: text, Body: first}
}

// forPeer makes of what this node knows an answer for the peer that asked, with
// a lease and a small first chunk if it can give them.
func (f *Filler) forPeer(from string, k keys.Key, a answer, bytes bool) (headAnswer, []byte) {
	h := f.grantTo(from, k, a)
	if !bytes || !f.isSmall(h) {
		return h, nil
	}
	if first := given(a, h); first != nil {
		h.First = true
		return h, first
	}
	first, err := f.chunks.Own(f.chunks.Of(k, h.Head, 0))
	if err != nil { // the peer asks for it by itself, and hears why
		return h, nil
	}
	if first.Source != chunks.Memory {
		h.Source = first.Source
	}
	h.First = true
	return h, first.View
}

// grantTo is what this node knows of a key, with a lease for the peer that asked if it
// can grant one.
func (f *Filler) grantTo(from string, k keys.Key, a answer) headAnswer {
	h := headAnswer{Known: a.Known, Source: a.Source}
	if granted, lease := f.heads.Grant(k, from); lease > 0 {
		h.Known, h.Lease = granted, lease
	}
	if !h.Ends.IsZero() {
		if h.Left = time.Until(h.Ends); h.Left <= 0 {
			return headAnswer{Known: h.Over(), Source: a.Source}
		}
	}
	return h
}

// isSmall reports whether the first chunk of what an answer names may go with it.
func (f *Filler) isSmall(h headAnswer) bool {
	length := min(h.Head.Size, f.size)
	return !h.Absent && 0 < length && length <= budget.FreeLen
}

// given are the bytes that a lookup brought, if they are of the version that the answer
// names.
func given(a answer, h headAnswer) []byte {
	if a.first.IsHere() && chunks.VersionOf(a.Head) == chunks.VersionOf(h.Head) {
		return a.first.View
	}
	return nil
}
