package history

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// MostLife is how long an object lives at most that expires.
	MostLife = 8 * time.Second
	// expireWithin is how soon after its moment nobody is told of an object any more.
	expireWithin = time.Second
)

// Expiry is what the moment of what was put does, by the answer's header; nil if it has
// none, or surely is not there. began is when the history did.
func (o *Op) Expiry(h http.Header, began time.Time) (*Op, error) {
	e := &Op{Client: o.Client, Node: o.Node, Key: o.Key, Verb: Expire, Found: o.Value, Outcome: Done}
	switch {
	case o.Life == 0 || o.Outcome == Refused || o.Outcome == Done && !o.Took:
		return nil, nil
	case o.Outcome == Unknown: // its owner took it within the time for a write
		life := int64(o.Life) * int64(time.Second)
		e.Call, e.Ret = o.Call+life, o.Ret+life+int64(o.Patience())
		return e, nil
	}
	moment, err := http.ParseTime(h.Get("Expires"))
	if err != nil {
		return nil, fmt.Errorf("%s: it shall expire, and the answer says no moment: %w", o, err)
	}
	e.Call = int64(moment.Sub(began))
	e.Ret = max(e.Call+int64(expireWithin), o.Ret) // a put that waited for its turn may be acknowledged after its moment
	return e, nil
}

// Expired returns the reads that found what they may not see any more when they began,
// whether members agreed or not.
func Expired(ops []*Op) []Stale {
	over := map[string]*Op{}
	for _, o := range ops {
		if o.Verb == Expire {
			over[o.Found] = o
		}
	}
	var out []Stale
	for _, o := range ops {
		if e := over[o.Found]; e != nil && o.Reads() && o.Call > e.Ret {
			out = append(out, Stale{Read: o, By: e, Age: time.Duration(o.Call - e.Ret)})
		}
	}
	return out
}
