package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larder/store"
)

// oddNames are safe for every store: no empty segment, none of dots alone,
// none over 255 bytes, and no name that is another's folder.
func oddNames() []string {
	return []string{
		"AAPL REINV STRATEGY|2022-01-30T00:00:00+00:00||41160d054edf7f0960015019d902b27e",
		"AAPL REINV STRATEGY|2022-01-30T00:00:00+00:00||51160d05",
		"AAPL", "AAPL ", "AAPL+", "AAPL+REINV", "AAPL%20REINV", "AAPL%2BREINV", "AAPL%", "%", "%%41",
		"a&b=c", "a=b", `quote"and'quote`, "back\\slash", "hash#tag?query=1&b", "semi;colon", "comma,", "star*", "til~de", "at@", "dollar$",
		"<tag>", "[bracket]", "{brace}", "^caret", "`tick`", "!bang", "(paren)", "...", "..a", ".hidden", "a..b",
		"Größe", "日経平均", "🥫", "e\u0301", "\u00e9", "trailing ", " leading", "two  spaces",
		"dir-a", "dir/a", "dir.a", "dir/b c/d+e", "dir0",
		strings.Repeat("n", 255), strings.Repeat("é", 127), "long/" + strings.Repeat("s", 255) + "/" + strings.Repeat("t", 255),
	}
}

func (s suite) names(t *testing.T) {
	b := s.bench(t)
	for _, odd := range oddNames() {
		name := b.name(odd)
		b.mustPut(name, []byte("first"))
		head := b.mustPut(name, []byte(odd))
		b.wantHead(b.mustGet(name, []byte(odd)), head)
		if _, _, err := b.GetRange(b.Context(), name, head.Version, 0, 1); err != nil {
			t.Errorf("%q: %v", odd, err)
		}
	}
	want := oddNames()
	slices.Sort(want)
	if got := b.listAll("", 1000); !slices.Equal(got, want) {
		t.Fatalf("listed %q\n  want %q", got, want)
	}
	for _, odd := range want {
		runes := []rune(odd)
		for _, prefix := range []string{odd, string(runes[:1]), string(runes[:(len(runes)+1)/2])} {
			b.wantListed(prefix, withPrefix(want, prefix), 1000)
		}
	}
	for _, odd := range want {
		if err := b.Delete(b.Context(), b.name(odd)); err != nil {
			t.Errorf("%q: %v", odd, err)
		}
	}
	b.wantListed("", []string{}, 10)
}

func (s suite) list(t *testing.T) {
	t.Run("Entries", func(t *testing.T) {
		b := s.bench(t)
		head := b.mustPut(b.name("a"), []byte("some"))
		entries, more, err := b.List(b.Context(), b.folder, "", 10)
		if err != nil || more || len(entries) != 1 {
			t.Fatalf("%v, %v, %v", entries, more, err)
		}
		got := entries[0]
		if got.Name != b.name("a") || got.Version != head.Version || got.Size != 4 || time.Since(got.Modified).Abs() > time.Minute {
			t.Fatalf("the entry is %+v", got)
		}
	})
	t.Run("Empty", func(t *testing.T) {
		b := s.bench(t)
		entries, more, err := b.List(b.Context(), b.folder, "", 10)
		if err != nil || more || len(entries) != 0 {
			t.Fatalf("%v, %v, %v", entries, more, err)
		}
	})
	t.Run("Paging", s.paging)
	t.Run("Limits", func(t *testing.T) {
		b := s.bench(t)
		for _, limit := range []int{-1, 0, 1001} {
			_, _, err := b.List(b.Context(), b.folder, "", limit)
			b.wantError(err, store.ErrUnexpected)
		}
	})
}

func (s suite) paging(t *testing.T) {
	b := s.bench(t)
	names := []string{"a", "a b", "a+b", "a-b", "a/b", "a/c/d", "a/c/e", "a0", "b%2F", "b&c", "b|c|d", "bé", "c"}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "a" })
	slices.Sort(names)
	for _, name := range names {
		b.mustPut(b.name(name), []byte(name))
	}
	for _, prefix := range []string{"", "a", "a ", "a+", "a/", "a/c", "a/c/", "b", "b%", "b%2F", "b&", "b|c|", "bé", "c", "d", "A"} {
		want := withPrefix(names, prefix)
		for limit := 1; limit <= len(want)+1; limit++ {
			b.wantListed(prefix, want, limit)
		}
	}
	// After need not be a name that is there, nor begin with the prefix.
	for _, after := range []string{"", "a", "a!", "a/", "a/b", "a/bb", "a/c", "a/c/d", "b|", "b|c|d", "zzz", " "} {
		for _, prefix := range []string{"", "a", "a/", "b"} {
			want := withPrefix(names, prefix)
			want = slices.DeleteFunc(want, func(n string) bool { return n <= after })
			full := ""
			if after != "" {
				full = b.name(after)
			}
			entries, more, err := b.List(b.Context(), b.name(prefix), full, 1000)
			if err != nil || more {
				t.Fatalf("after %q: %v, %v", after, more, err)
			}
			if got := b.shortNames(entries); !slices.Equal(got, want) {
				t.Errorf("prefix %q after %q: listed %q, want %q", prefix, after, got, want)
			}
		}
	}
	if entries, _, err := b.List(b.Context(), b.folder, "a", 1000); err != nil || len(entries) != len(names) {
		t.Errorf("after a name before the prefix: %d entries, %v", len(entries), err)
	}
}

// wantListed pages through a prefix and wants more to be exact on every page.
func (b bench) wantListed(prefix string, want []string, limit int) {
	b.Helper()
	got := []string{}
	after := ""
	for pages := 0; ; pages++ {
		entries, more, err := b.List(b.Context(), b.name(prefix), after, limit)
		if err != nil {
			b.Fatal(err)
		}
		got = append(got, b.shortNames(entries)...)
		if len(entries) > limit || more != (len(got) < len(want)) || pages > len(want) {
			b.Fatalf("prefix %q limit %d: page of %d after %q, more %v, %d of %d", prefix, limit, len(entries), after, more, len(got), len(want))
		}
		if !more {
			break
		}
		after = entries[len(entries)-1].Name
	}
	if !slices.Equal(got, want) {
		b.Fatalf("prefix %q limit %d: listed %q, want %q", prefix, limit, got, want)
	}
}

func (b bench) listAll(prefix string, limit int) []string {
	b.Helper()
	entries, more, err := b.List(b.Context(), b.name(prefix), "", limit)
	if err != nil || more {
		b.Fatalf("list: more %v, %v", more, err)
	}
	return b.shortNames(entries)
}

func (b bench) shortNames(entries []store.Entry) []string {
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		short, ok := strings.CutPrefix(entry.Name, b.folder)
		if !ok {
			b.Fatal(fmt.Errorf("%q was listed under %q", entry.Name, b.folder))
		}
		names = append(names, short)
	}
	return names
}

func withPrefix(names []string, prefix string) []string {
	out := []string{}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	return out
}
