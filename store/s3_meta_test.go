package store

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

// FuzzMetadata wants every head that can be kept to come back as it was, in
// printable ASCII on the way.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{"", "%", "plain", "100%41", " spaces  ", "Größe", "=?UTF-8?B?w6k=?=", "\xff\x00\n", "a\u0301"} {
		f.Add(seed, "other", "ann")
		f.Add("plain", seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two, writer string) {
		head := Head{Meta: map[string]string{"one": one, "two": two}, Writer: writer, Modified: time.Unix(1643500000, 0).UTC()}
		values, err := toMetadata(head, Traits{})
		if errors.Is(err, ErrMetadata) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range values {
			if !isPlain(value) {
				t.Fatalf("%s is sent as %q", name, value)
			}
		}
		var back Head
		fromMetadata(&back, values)
		if !maps.Equal(back.Meta, head.Meta) || back.Writer != writer || !back.Modified.Equal(head.Modified) {
			t.Fatalf("%+v came back as %+v", head, back)
		}
	})
}

func TestPlainMetadataIsKeptAsItIs(t *testing.T) {
	head := Head{Meta: map[string]string{"note": `100% <of> "it" & more`}, Writer: "ann@example.com", Digest: strings.Repeat("0", 64)}
	values, err := toMetadata(head, Traits{})
	if err != nil {
		t.Fatal(err)
	}
	if values["note"] != head.Meta["note"] || values[ownWriter] != head.Writer || values[ownEncoding] != "" {
		t.Fatalf("sent as %q", values)
	}
}

// FuzzForeignMetadata wants what other tools wrote to make a head that HTTP and
// JSON can state, and its own parts to be what Larder would write or nothing.
func FuzzForeignMetadata(f *testing.F) {
	digest, write := strings.Repeat("0", 64), "abcdefghijklmnopqrstuvwxyz"
	f.Add(digest, write, "1643500000", "8388608", "percent", "ann%41")
	f.Add("not a digest", "short", "99999999999999", "-1", "", "ann\r\nSet-Cookie: a")
	f.Add(strings.ToUpper(strings.Repeat("a", 64)), strings.Repeat("1", 26), "-62135596801", "9223372036854775808", "gzip", "")
	f.Add("", "", "253402300799", "0", "percent", "%")
	f.Add("", "", "253402300800", "1e3", "percent", "%%%")
	f.Fuzz(func(t *testing.T, digest, write, modified, piece, encoding, writer string) {
		s3 := time.Unix(1600000000, 0).UTC()
		head := Head{Modified: s3}
		fromMetadata(&head, map[string]string{ownDigest: digest, ownWrite: write, ownModified: modified, ownPiece: piece, ownEncoding: encoding, ownWriter: writer})
		if year := head.Modified.Year(); year < 1970 || year > 9999 {
			t.Errorf("modified in the year %d", year)
		}
		if _, err := json.Marshal(head); err != nil {
			t.Error(err)
		}
		if _, err := digestBytes(head.Digest); head.Digest != "" && err != nil {
			t.Error(err)
		}
		if head.Write != "" && !IsWriteName(head.Write) || head.Piece < 0 || len(head.Meta) > 0 {
			t.Errorf("%+v", head)
		}
	})
}

func TestTimesThatNoDateCanState(t *testing.T) {
	s3 := time.Unix(1600000000, 0).UTC()
	for value, want := range map[string]time.Time{
		"99999999999999": s3, "-1": s3, "253402300800": s3, "1e9": s3, "": s3, "9223372036854775808": s3,
		"0": time.Unix(0, 0).UTC(), "253402300799": time.Unix(253402300799, 0).UTC(),
	} {
		head := Head{Modified: s3}
		fromMetadata(&head, map[string]string{ownModified: value})
		if !head.Modified.Equal(want) {
			t.Errorf("%s is %s, want %s", value, head.Modified, want)
		}
	}
}

// Each write has a name of its own, and what has none is told apart by all else
// that is known of it.
func TestWriteNames(t *testing.T) {
	one, two := NewWriteName(), NewWriteName()
	if one == two || !IsWriteName(one) || !IsWriteName(two) {
		t.Errorf("%q and %q", one, two)
	}
	at := time.Unix(1600000000, 0)
	heads := []Head{
		{Version: "e", Write: one, Size: 1, Modified: at}, {Version: "e", Write: two, Size: 1, Modified: at}, {Version: "f", Write: one, Size: 1, Modified: at},
		{Version: "e", Size: 2, Modified: at}, {Version: "e", Size: 2, Modified: at.Add(time.Second)}, {Version: "e", Size: 3, Modified: at},
		{Version: "e", Size: 2, Modified: at, Digest: strings.Repeat("0", 64)}, {Version: "f", Size: 2, Modified: at}, {Size: 2, Modified: at},
	}
	for i, a := range heads {
		for j, b := range heads {
			if a.Is(b.Version, b.WriteName()) != (i == j) {
				t.Errorf("%+v is %+v: %v", a, b, i != j)
			}
		}
	}
	old := heads[0]
	old.Write = "" // as a node says that does not know of names
	if !heads[0].Is(old.Version, old.WriteName()) || old.Is(heads[0].Version, heads[0].WriteName()) {
		t.Error("a head of an older node")
	}
}
