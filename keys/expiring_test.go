package keys

import (
	"strings"
	"testing"
	"time"
)

const aWrite = "abcdefghijklmnopqrstuvwxyz"

func TestExpiringParsesBack(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "a/b", "~@/1767225600." + aWrite, ".x", "DAX 20220104", strings.Repeat("long ", 100), "é%"} {
		k, err := New("acme", Objects, name)
		if err != nil {
			t.Fatal(err)
		}
		e := Expiring{Key: k, Moment: time.Unix(1767225600, 0).UTC(), Write: aWrite}
		byHour, byKey, err := e.Places()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ExpiringFromHour(byHour); err != nil || got != e {
			t.Errorf("%q: by hour %v, %v", byHour, got, err)
		}
		if got, err := ExpiringFromKey(byKey); err != nil || got != e {
			t.Errorf("%q: by key %v, %v", byKey, got, err)
		}
		if !strings.HasPrefix(byKey, ExpiringAt(k.Place())) || !strings.HasPrefix(byKey, ExpiringOrg("acme")) {
			t.Errorf("%q is not where a listing looks for it", byKey)
		}
		for _, place := range []string{byHour, byKey} {
			if k, err := FromPlace(place); err == nil {
				t.Errorf("%q is the place of %v", place, k)
			}
			for segment := range strings.SplitSeq(place, "/") {
				if len(segment) > 255 {
					t.Errorf("%q: a segment of %d bytes", place, len(segment))
				}
			}
		}
	}
}

func TestNoExpiring(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", ExpiringRoot, ExpiringRoot + "2026010100/1767225600", "v1/acme/objects/a",
		ExpiringRoot + "2026010101/1767225600." + aWrite + "/acme/objects/a", // of another hour
		ExpiringRoot + "2026010100/01767225600." + aWrite + "/acme/objects/a",
		ExpiringRoot + "2026010100/1767225600." + aWrite + "/acme/nothing/a",
		expiringRoot + "acme/objects/a~@/x." + aWrite,
		expiringRoot + "acme/objects/a~@/99999999999." + aWrite,
	} {
		if e, err := ExpiringFromHour(name); err == nil {
			t.Errorf("by hour, %q is %v", name, e)
		}
		if e, err := ExpiringFromKey(name); err == nil {
			t.Errorf("by key, %q is %v", name, e)
		}
	}
}
