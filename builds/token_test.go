package builds

import (
	"errors"
	"strings"
	"testing"

	"larder/keys"
)

// A token is good for its key, under any of the secrets, and not if a byte is another.
func TestToken(t *testing.T) {
	old, now := []byte("the secret until now"), []byte("the secret from now on")
	c := Claim{Name: "n", Holder: "ada\x00w", User: "ada", Base: Base{Version: "v", Write: "w"}, Granted: 7, Stream: true}
	token, err := seal([][]byte{old}, key, c)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open([][]byte{now, old}, key, token); err != nil || got != c {
		t.Errorf("opened %+v, %v", got, err)
	}
	other := keys.Key{Org: "other", Service: key.Service, Name: key.Name}
	for name, try := range map[string]func() (Claim, error){
		"without the secret": func() (Claim, error) { return open([][]byte{now}, key, token) },
		"another org's key":  func() (Claim, error) { return open([][]byte{old}, other, token) },
		"changed":            func() (Claim, error) { return open([][]byte{old}, key, "A"+token[1:]) },
		"cut short":          func() (Claim, error) { return open([][]byte{old}, key, token[:len(token)-1]) },
		"no token":           func() (Claim, error) { return open([][]byte{old}, key, "x") },
		"endless":            func() (Claim, error) { return open([][]byte{old}, key, strings.Repeat("A", maxToken)+token) },
	} {
		if _, err := try(); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
