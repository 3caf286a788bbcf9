package store

import (
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
		values, err := toMetadata(head)
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
	values, err := toMetadata(head)
	if err != nil {
		t.Fatal(err)
	}
	if values["note"] != head.Meta["note"] || values[ownWriter] != head.Writer || values[ownEncoding] != "" {
		t.Fatalf("sent as %q", values)
	}
}
