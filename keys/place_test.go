package keys

import (
	"errors"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPlace(t *testing.T) {
	a := strings.Repeat("a", 512)
	for _, c := range []struct{ name, encoded string }{
		{"DAX 20220104", "DAX 20220104"},
		{aapl, aapl},
		{"ab/cdef", "ab%2Fcdef"},
		{"/", "%2F"},
		{".", "%2E"},
		{"..", "%2E."},
		{"a..", "a.."},
		{".hidden.txt", "%2Ehidden.txt"},
		{"%2F", "%252F"},
		{"~", "%7E"},
		{"a~/b", "a%7E%2Fb"},
		{`\{^}%` + "`" + `]">[~<#`, "%5C%7B%5E%7D%25%60%5D%22%3E%5B%7E%3C%23"},
		{" !$&'()*+,-:;=?@_| ", " !$&'()*+,-:;=?@_| "},
		{"Köln 東京 🚀", "Köln 東京 🚀"},
		{"\u2028\uffff", "%E2%80%A8%EF%BF%BF"},
		{a[:200], a[:200]},
		{a[:201], a[:200] + "~/a"},
		{a[:200] + ".b", a[:200] + "~/%2Eb"},
		{a[:199] + "/b", a[:199] + "%2F~/b"},
		{a[:199] + "🚀🚀", a[:199] + "🚀~/🚀"},
		{a, a[:200] + "~/" + a[:200] + "~/" + a[:112]},
	} {
		k := mustKey(t, "acme", Objects, c.name)
		want := "v1/acme/objects/" + c.encoded
		if got := k.Place(); got != want {
			t.Errorf("Place of %q = %q, want %q", c.name, got, want)
		}
		if got, err := FromPlace(want); err != nil || got != k {
			t.Errorf("FromPlace(%q) = %q, %v", want, got.Name, err)
		}
		if k.String() != want {
			t.Errorf("String = %q", k)
		}
	}
}

func TestEscapedASCII(t *testing.T) {
	for c := range byte(utf8.RuneSelf) {
		want := strings.IndexByte(escapedASCII, c) >= 0 || unicode.IsControl(rune(c))
		if got := escapedByte(c); got != want {
			t.Errorf("%q is escaped: %v, want %v", c, got, want)
		}
	}
}

func TestFromPlaceRefuses(t *testing.T) {
	a := strings.Repeat("a", 400)
	for _, place := range []string{
		"", "v1", "v1/", "v1/acme", "v1/acme/", "v1/acme/objects", "v1/acme/objects/", "v1//objects/a",
		"v2/acme/objects/a", "/v1/acme/objects/a", "v1/Acme/objects/a", "v1/acme/things/a", "v1/acme/strategies/a",
		"v1/acme/objects/a/b", "v1/acme/objects//a", "v1/acme/objects/a/", "v1/acme/objects/.", "v1/acme/objects/.a",
		"v1/acme/objects/%2f", "v1/acme/objects/%", "v1/acme/objects/%2", "v1/acme/objects/%ZZ", "v1/acme/objects/%41",
		"v1/acme/objects/%00", "v1/acme/objects/%FF", "v1/acme/objects/\xff", "v1/acme/objects/a#", "v1/acme/objects/a\nb",
		"v1/acme/objects/~", "v1/acme/objects/a~", "v1/acme/objects/a~/b", "v1/acme/objects/a%2E",
		"v1/acme/objects/" + a[:201], "v1/acme/objects/" + a[:200] + "~", "v1/acme/objects/" + a[:200] + "~/",
		"v1/acme/objects/" + a[:199] + "~/b", "v1/acme/objects/" + a[:200] + "~/.b", "v1/acme/objects/" + a[:200] + "/b",
	} {
		if k, err := FromPlace(place); !errors.Is(err, ErrBadKey) {
			t.Errorf("FromPlace(%q) = %q, %v, want ErrBadKey", place, k.Name, err)
		}
	}
}

func TestPlacePrefix(t *testing.T) {
	a := strings.Repeat("a", 512)
	for _, c := range []struct{ service, prefix, want string }{
		{Objects, "", "v1/acme/objects/"},
		{Strategies, "", "v1/acme/strategies/"},
		{Objects, "ab/", "v1/acme/objects/ab%2F"},
		{Strategies, "AAPL", "v1/acme/strategies/AAPL"},
		{Strategies, "AAPL REINV STRATEGY|2022-01-30T0", "v1/acme/strategies/AAPL REINV STRATEGY|2022-01-30T0"},
		{Strategies, "AAPL|", "v1/acme/strategies/AAPL|"},
		{Objects, a[:200], "v1/acme/objects/" + a[:200]},
	} {
		if got, err := PlacePrefix("acme", c.service, c.prefix); err != nil || got != c.want {
			t.Errorf("PlacePrefix(%s, %q) = %q, %v, want %q", c.service, c.prefix, got, err, c.want)
		}
	}
	for _, c := range []struct{ org, service, prefix string }{
		{"", Objects, "a"}, {"acme", "", "a"}, {"acme", Objects, "a\n"}, {"acme", Objects, "\xc3"},
		{"acme", Objects, a + "a"}, {"acme", Objects, strings.Repeat("/", 512)},
	} {
		if got, err := PlacePrefix(c.org, c.service, c.prefix); !errors.Is(err, ErrBadKey) {
			t.Errorf("PlacePrefix(%q, %q, %q) = %q, %v, want ErrBadKey", c.org, c.service, c.prefix, got, err)
		}
	}
}

// checkPlace holds what is promised of one key's place.
func checkPlace(t *testing.T, k Key) {
	t.Helper()
	place := k.Place()
	if got, err := FromPlace(place); err != nil || got != k {
		t.Fatalf("FromPlace(%q) = %v, %v, want %v", place, got, err, k)
	}
	if len(place) > 1024-128 || !utf8.ValidString(place) || path.Clean(place) != place {
		t.Fatalf("place %q of %d bytes is too long, no text or no clean path", place, len(place))
	}
	segments := strings.Split(place, "/")
	for i, s := range segments {
		if s == "" || s[0] == '.' || len(s) > 255 || !utf8.ValidString(s) {
			t.Fatalf("segment %q of %q", s, place)
		}
		if folder := i > 2 && i < len(segments)-1; strings.HasSuffix(s, "~") != folder {
			t.Fatalf("segment %q of %q: folders below the service end in '~', objects do not", s, place)
		}
	}
	for i := range k.Name {
		prefix, err := PlacePrefix(k.Org, k.Service, k.Name[:i])
		if err != nil || !strings.HasPrefix(place, prefix) {
			t.Fatalf("PlacePrefix(%q) = %q, %v does not begin %q", k.Name[:i], prefix, err, place)
		}
	}
}

// checkPlaces holds what is promised of two keys' places.
func checkPlaces(t *testing.T, a, b Key) {
	t.Helper()
	pa, pb := a.Place(), b.Place()
	if (pa == pb) != (a == b) {
		t.Fatalf("%v and %v: places %q and %q", a, b, pa, pb)
	}
	if strings.HasPrefix(pa, pb+"/") {
		t.Fatalf("the object %q needs the object %q as a folder", pa, pb)
	}
	if a.Org == b.Org && a.Service == b.Service && strings.HasPrefix(pa, pb) != strings.HasPrefix(a.Name, b.Name) {
		t.Fatalf("%q lists %q, wrongly or not at all", b.Name, a.Name)
	}
}

func FuzzPlace(f *testing.F) {
	a := strings.Repeat("a", 512)
	for _, s := range []struct{ one, other string }{
		{"DAX 20220104", "DAX"}, {aapl, aapl[:20]}, {"a/b", "a"}, {"~/", "~"}, {"..", "."}, {"%2E", "."},
		{a, a[:200]}, {a[:201], a[:200]}, {a[:200] + "~/b", a[:201]}, {a[:199] + "/.", a[:199] + "%"},
		{strings.Repeat("🚀", 100), strings.Repeat("/", 60)}, {"\u2028" + a[:190] + "\uffff\uffff", "\ufffd"},
		{a[:200] + ".", a[:200] + "%2E"}, {strings.Repeat("\u2028", 30), strings.Repeat(".", 400)},
	} {
		f.Add("acme", s.one, "acme", s.other)
	}
	f.Add("acme", "a", "acme.x", "a")
	f.Fuzz(func(t *testing.T, org, name, otherOrg, otherName string) {
		var good []Key
		for _, c := range []Key{
			{org, Objects, name}, {otherOrg, Objects, otherName}, {org, Objects, otherName}, {org, Strategies, name},
		} {
			k, err := New(c.Org, c.Service, c.Name)
			if err == nil {
				good = append(good, k)
			} else if !errors.Is(err, ErrBadKey) || !utf8.ValidString(err.Error()) {
				t.Fatalf("New(%q, %q, %q) = %v", c.Org, c.Service, c.Name, err)
			}
		}
		for i, k := range good {
			if i < 2 {
				checkPlace(t, k)
			}
			for _, other := range good {
				checkPlaces(t, k, other)
			}
		}
	})
}

func FuzzFromPlace(f *testing.F) {
	f.Add("v1/acme/objects/a%2Fb")
	f.Add("v1/acme/objects/" + strings.Repeat("a", 200) + "~/%2E.")
	f.Add("v1/acme/strategies/" + aapl)
	f.Add("v1/acme/objects/%2f")
	f.Fuzz(func(t *testing.T, place string) {
		k, err := FromPlace(place)
		if err != nil {
			if !errors.Is(err, ErrBadKey) {
				t.Fatalf("FromPlace(%q) = %v", place, err)
			}
			return
		}
		if k.Place() != place {
			t.Fatalf("FromPlace(%q) is the key of %q", place, k.Place())
		}
		checkPlace(t, k)
	})
}
