package keys

import (
	"errors"
	"strings"
	"testing"
)

const aapl = "AAPL REINV STRATEGY|2022-01-30T00:00:00+00:00||41160d054edf7f0960015019d902b27e"

func TestNew(t *testing.T) {
	long := strings.Repeat("a", 513)
	for _, c := range []struct {
		what, org, service, name string
		// wrong is part of the error's text; empty if the key is good.
		wrong string
	}{
		{"plain", "acme", Objects, "DAX 20220104", ""},
		{"strategy", "acme", Strategies, aapl, ""},
		{"strategy key as an object", "acme", Objects, aapl, ""},
		{"longest", "acme", Objects, long[:512], ""},
		{"path", "acme", Objects, "../a//b/.", ""},
		{"not ASCII", "acme", Objects, "Köln|東京|🚀", ""},
		{"replacement character", "acme", Objects, "\ufffd", ""},
		{"characters that XML cannot hold", "acme", Objects, "\u2028\u2029\ufffe\uffff", ""},
		{"org of all kinds", "_a-0.z", Objects, "a", ""},
		{"longest org", long[:63], Objects, long[:512], ""},

		{"empty", "acme", Objects, "", "it is empty, want 1 to 512 bytes"},
		{"too long", "acme", Objects, long, "it has 513 bytes, want at most 512"},
		{"line feed", "acme", Objects, "ab\nc", "control character U+000A at offset 2"},
		{"NUL", "acme", Objects, "\x00", "control character U+0000 at offset 0"},
		{"DEL", "acme", Objects, "a\x7f", "control character U+007F at offset 1"},
		{"NEL", "acme", Objects, "é\u0085", "control character U+0085 at offset 2"},
		{"not UTF-8", "acme", Objects, "ab\xffc", "byte 0xff at offset 2 is not UTF-8"},
		{"half a character", "acme", Objects, "ab\xc3", "byte 0xc3 at offset 2 is not UTF-8"},
		{"surrogate", "acme", Objects, "\xed\xa0\x80", "byte 0xed at offset 0 is not UTF-8"},
		{"does not fit", "acme", Objects, strings.Repeat("/", 300), "its place in the bucket has 924 bytes, want at most 896"},

		{"no org", "", Objects, "a", "the org is empty, want 1 to 63 of a-z"},
		{"org too long", long[:64], Objects, "a", "the org has 64 bytes"},
		{"org in capitals", "aCme", Objects, "a", `byte 1 of the org "aCme"`},
		{"org with a folder", "a/b", Objects, "a", `byte 1 of the org "a/b"`},
		{"hidden org", ".a", Objects, "a", `the org ".a" begins with '.'`},
		{"parent org", "..", Objects, "a", `the org ".." begins with '.'`},
		{"org like a flag", "-a", Objects, "a", `the org "-a" begins with '-'`},
		{"no service", "acme", "", "a", `no service "", want "objects" or "strategies"`},
		{"other service", "acme", "Objects", "a", `no service "Objects"`},

		{"not a strategy key", "acme", Strategies, "AAPL", `no "||" before an ENV_HASH, want NAME|ENV_DATE||ENV_HASH, for example AAPL`},
	} {
		t.Run(c.what, func(t *testing.T) {
			k, err := New(c.org, c.service, c.name)
			if c.wrong == "" {
				if want := (Key{c.org, c.service, c.name}); err != nil || k != want {
					t.Fatalf("New = %v, %v, want %v", k, err, want)
				}
				return
			}
			if !errors.Is(err, ErrBadKey) || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("New = %v, want ErrBadKey with %q", err, c.wrong)
			}
			if k != (Key{}) {
				t.Errorf("New returns the key %v beside an error", k)
			}
		})
	}
}

// mustKey returns a key that has to be good.
func mustKey(t testing.TB, org, service, name string) Key {
	t.Helper()
	k, err := New(org, service, name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
