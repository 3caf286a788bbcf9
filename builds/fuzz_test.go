package builds

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"larder/keys"
)

// FuzzOpen: a token is of a claim only if a member made it, for this key.
func FuzzOpen(f *testing.F) {
	secrets := [][]byte{[]byte("the secret"), []byte("the one before")}
	token, err := seal(secrets, key, Claim{Name: "n", Holder: "ada\x00w", User: "ada"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token, `{"n":"n","h":"h","g":7}`)
	f.Add("."+token, `{"n":""}`)
	f.Add(token[:len(token)/2], `{"n":"n","e":1e308,"g":-1}`)
	f.Add("x", `[]`)
	f.Fuzz(func(t *testing.T, text, said string) {
		if _, err := open(secrets, key, text); err == nil && text != token {
			t.Errorf("%q is taken for a token", text)
		}
		enc := base64.RawURLEncoding
		made := enc.EncodeToString([]byte(said)) + "." + enc.EncodeToString(proof(secrets[1], key, []byte(said)))
		c, err := open(secrets, key, made)
		if err == nil && c.Name == "" || err != nil && !errors.Is(err, ErrLost) {
			t.Errorf("of %q: %+v, %v", said, c, err)
		}
		if _, err := open(secrets, keys.Key{Org: "other", Service: key.Service, Name: key.Name}, made); !errors.Is(err, ErrLost) {
			t.Errorf("of %q for another key: %v", said, err)
		}
	})
}

// FuzzStatements: whatever two nodes say of who is attached to them, one at most may
// build, and what is kept stays bounded.
func FuzzStatements(f *testing.F) {
	f.Add(`{"Number":1,"Attached":[{"ID":"a","Nonce":1,"User":"a","Writer":true,"Stream":true}]}`, `{"Number":1,"Attached":[{"ID":"b","Nonce":1,"User":"b","Writer":true}]}`)
	f.Add(`{"Number":1,"Attached":[{"ID":"a","Writer":true,"Claim":{"n":"x","h":"a","g":1}}]}`, `{"Number":2,"Attached":[{"ID":"b","Writer":true,"Claim":{"n":"y","h":"b","g":2}}]}`)
	f.Add(`{"Number":1,"Attached":[{"ID":"a","Writer":true},{"ID":"a","Writer":true,"Away":true}]}`, `{"Number":18446744073709551615}`)
	f.Add(`{"Attached":[{"ID":"","MaxAge":-1,"Expect":1e300,"Progress":7}]}`, `{}`)
	f.Fuzz(func(t *testing.T, first, second string) {
		b := newBench(t)
		for range 3 {
			for node, text := range map[string]string{"one": first, "two": second} {
				var s statement
				if json.Unmarshal([]byte(text), &s) == nil {
					_, _ = b.tbl.say(b.now, node, key, s) // it may be refused
				}
			}
			b.look()
			b.oneHolder()
			b.pass(time.Second)
			b.oneHolder()
		}
		if len(b.tbl.keys) > 1 {
			t.Errorf("%d keys are kept, and one was spoken of", len(b.tbl.keys))
		}
	})
}

// oneHolder fails if two are told that they may build.
func (b *bench) oneHolder() {
	b.t.Helper()
	st := b.tbl.keys[key]
	if st == nil {
		return
	}
	holders := map[string]bool{}
	for _, node := range []string{"one", "two"} {
		for id, told := range st.view(b.now, node).Told {
			if told.Kind == Granted {
				holders[id] = true
			}
		}
	}
	if len(holders) > 1 {
		b.t.Errorf("more than one may build: %q", slices.Collect(maps.Keys(holders)))
	}
}
