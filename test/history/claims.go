package history

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Span is a time in which the holder of a claim had a stream, in nanoseconds since the
// history began.
type Span struct {
	Key, Holder string
	Base        string // the value that the claim is to replace
	Granted     int64  // when the claim was granted
	From, To    int64
}

func (s Span) String() string {
	return fmt.Sprintf("%s from %.4f to %.4f, granted at %.4f", s.Holder, seconds(s.From), seconds(s.To), seconds(s.Granted))
}

// TwoHolders returns the spans of different claims of a key that overlap, the earlier
// first, unless the first claim may have been lost between its grant and the other's, or was
// ended by the put of one that had been passed on before, of which its holder was yet to hear.
func TwoHolders(spans []Span, ops map[string][]*Op, mayLose func(from, to int64) bool) (pairs [][2]Span) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	for i, b := range spans {
		for _, a := range spans[:i] {
			if a.Key == b.Key && a.Holder != b.Holder && a.To > b.From && !mayLose(a.Granted, b.From) && !a.endedBefore(b.From, ops[a.Key]) {
				pairs = append(pairs, [2]Span{a, b})
			}
		}
	}
	return pairs
}

// endedBefore reports whether a put has replaced the claim's base by some time. That of its
// own holder comes after the span.
func (s Span) endedBefore(at int64, ops []*Op) bool {
	return slices.ContainsFunc(ops, func(o *Op) bool {
		return o.Verb == Claimed && (o.Took || o.Outcome == Unknown) && o.Base == s.Base && o.Call <= at
	})
}

// Refusal is a put that was refused though its claim was held until it was sent.
type Refusal struct {
	Granted int64
	Put     *Op
}

func (r Refusal) String() string {
	return fmt.Sprintf("%s, and its claim was held since %.4f", r.Put, seconds(r.Granted))
}

// WithoutReason returns the refusals for which there is none: no other claimed put of the
// key, and nothing by which a claim may be lost.
func WithoutReason(all []Refusal, ops map[string][]*Op, mayLose func(from, to int64) bool) []Refusal {
	return slices.DeleteFunc(slices.Clone(all), func(r Refusal) bool {
		return mayLose(r.Granted, r.Put.Ret) || slices.ContainsFunc(ops[r.Put.Key], func(o *Op) bool {
			return o != r.Put && o.Verb == Claimed && (o.Took || o.Outcome == Unknown) && o.Call <= r.Put.Ret && o.Ret >= r.Granted
		})
	})
}

// Base is what a claim is to replace: the version, and the name of its write; both are
// empty if that is nothing.
func Base(token string) (version, write string, err error) {
	text, _, _ := strings.Cut(token, ".")
	said, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", "", err
	}
	var claim struct {
		Base struct {
			Version string `json:"v"`
			Write   string `json:"w"`
		} `json:"b"`
	}
	err = json.Unmarshal(said, &claim)
	return claim.Base.Version, claim.Base.Write, err
}
