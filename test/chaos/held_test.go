package chaos

import (
	"testing"

	"larder/test/history"
)

// A holder whose node leaves while its put is under way attaches elsewhere, and that stream outlasts
// the claim: it is not held any more.
func TestHeldUntilThePut(t *testing.T) {
	c := &caller{client: client{history: history.New()}, claims: &claims{}}
	h := &hold{want: &want{caller: c, key: "k", name: "1/1"}}
	spans := func() int { return len(c.claims.spans) }
	h.open(&stream{})
	h.rest() // the stream ends
	h.open(&stream{})
	h.over() // the put begins
	if spans() != 2 {
		t.Fatalf("%d spans until the put, want 2", spans())
	}
	h.open(&stream{})
	h.rest()
	if spans() != 2 {
		t.Errorf("%d spans after the put began, want the 2 before it", spans())
	}
}
