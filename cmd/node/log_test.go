package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

// A text of a caller's choosing stays within its line, for every program that reads
// lines, and is what it was once the JSON is read.
func FuzzOneLine(f *testing.F) {
	for _, s := range []string{"plain", "ärger", "a\u2028b\u2029c\u0085d\x7fe", "\u202egpj.exe", "\x1b[2J", "\U000e0001", "a\nb\r\x00", "\xff\xfe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var written bytes.Buffer
		log := zerolog.New(oneLine{&written})
		log.Log().Str("key", s).Msg("")
		line := strings.TrimSuffix(written.String(), "\n")
		for _, r := range line {
			if !strconv.IsPrint(r) && r != utf8.RuneError {
				t.Fatalf("%q holds %q", line, r)
			}
		}
		var read struct{ Key string }
		if err := json.Unmarshal([]byte(line), &read); err != nil || read.Key != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q is read as %q, %v", s, read.Key, err)
		}
	})
}
