package auth

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestScope(t *testing.T) {
	ann := Principal{Org: "acme", User: "ann", Role: Writer}
	of := func(s Scope) Principal {
		p := ann
		p.Scope = &s
		return p
	}
	for _, c := range []struct {
		who          Principal
		service, key string
		may          bool
	}{
		{ann, "objects", "k", true},
		{of(Scope{Services: []string{"objects"}}), "objects", "k", true},
		{of(Scope{Services: []string{"objects"}}), "strategies", "k", false},
		{of(Scope{Prefixes: []string{"a/", "b/"}}), "objects", "b/k", true},
		{of(Scope{Prefixes: []string{"a/", "b/"}}), "strategies", "a/", true},
		{of(Scope{Prefixes: []string{"a/", "b/"}}), "objects", "a", false},
		{of(Scope{Prefixes: []string{"a/"}}), "objects", "", false},
		{of(Scope{Prefixes: []string{"a/"}}), "objects", "A/k", false},
		{of(Scope{Prefixes: []string{"a/"}}), "objects", "x/a/k", false},
		{of(Scope{Services: []string{"strategies"}, Prefixes: []string{"a/"}}), "objects", "a/k", false},
	} {
		for _, a := range []Action{Read, Write, Delete} {
			if err := c.who.May(a, c.service, c.key); (err == nil) != c.may || err != nil && !errors.Is(err, ErrScope) {
				t.Errorf("%+v may %d %s %q: %v", c.who.Scope, a, c.service, c.key, err)
			}
		}
	}
}

// A listing asks for each of many keys, most of which may be outside.
func TestOutsideTakesNoMemory(t *testing.T) {
	p := Principal{Role: Reader, Scope: &Scope{Prefixes: []string{"a/", "b/"}}}
	if n := testing.AllocsPerRun(100, func() { _ = p.May(Read, "objects", "c/k") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	err := p.May(Read, "objects", "c/k")
	if want := `not within what this credential is for: it is for keys that begin with ["a/" "b/"]`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestListed(t *testing.T) {
	for _, c := range []struct {
		scope           *Scope
		service, prefix string
		narrowed        string
		look, refused   bool
	}{
		{nil, "objects", "", "", false, false},
		{nil, "objects", "x", "x", false, false},
		{&Scope{Prefixes: []string{"a/"}}, "objects", "", "a/", false, false},
		{&Scope{Prefixes: []string{"a/"}}, "objects", "a/b", "a/b", false, false},
		{&Scope{Prefixes: []string{"a/"}}, "objects", "a", "a/", false, false},
		{&Scope{Prefixes: []string{"a/"}}, "objects", "b", "", false, true},
		{&Scope{Prefixes: []string{"a/x", "a/y", "b"}}, "objects", "a", "a/", true, false},
		{&Scope{Prefixes: []string{"a/x", "b"}}, "objects", "", "", true, false},
		{&Scope{Prefixes: []string{"ä", "ö"}}, "objects", "", "", true, false}, // of the same first byte
		{&Scope{Services: []string{"objects"}}, "strategies", "", "", false, true},
		{&Scope{Services: []string{"objects"}}, "objects", "", "", false, false},
		{&Scope{Services: []string{"objects"}, Prefixes: []string{"a/"}}, "strategies", "a/", "", false, true},
	} {
		p := Principal{Role: Reader, Scope: c.scope}
		narrowed, look, err := p.Listed(c.service, c.prefix)
		if narrowed != c.narrowed || look != c.look || errors.Is(err, ErrScope) != c.refused || (err != nil) != c.refused {
			t.Errorf("%+v %s %q: %q %v %v", c.scope, c.service, c.prefix, narrowed, look, err)
		}
	}
}

// What a listing shows is what may be read, and what may be read is in the listing.
func FuzzListed(f *testing.F) {
	f.Add("a/", "b/", "", "a/k")
	f.Add("ä", "ö", "", "äx")
	f.Add("ab", "a", "a", "abc")
	f.Fuzz(func(t *testing.T, one, other, prefix, key string) {
		scope, err := Scope{Prefixes: []string{one, other}}.checked()
		if err != nil || !strings.HasPrefix(key, prefix) {
			return
		}
		p := Principal{Role: Reader, Scope: scope}
		narrowed, look, err := p.Listed("objects", prefix)
		shown := err == nil && strings.HasPrefix(key, narrowed) && (!look || p.May(Read, "objects", key) == nil)
		if may := p.May(Read, "objects", key) == nil; shown != may {
			t.Fatalf("prefixes %q, listing of %q: %q is shown %v, may be read %v", scope.Prefixes, prefix, key, shown, may)
		}
	})
}

func TestScopesInFiles(t *testing.T) {
	const begin = "- {id: a, org: acme, user: ann, role: reader, sha256: " + digestA
	for _, c := range []struct{ text, wrong string }{
		{`, prefixes: [a/, "b"], services: [objects]}`, ""},
		{`, prefixes: []}`, "prefixes is no list of texts, or an empty one"},
		{`, prefixes: null}`, "prefixes is no list"},
		{`, prefixes: a/}`, "prefixes is no list"},
		{`, prefixes: [7]}`, "prefixes is no list"},
		{`, prefixes: [[a]]}`, "prefixes is no list"},
		{`, prefixes: [""]}`, "prefixes holds an empty"},
		{`, services: [object]}`, "services holds what is none"},
		{`, services: [objects], services: [strategies]}`, "services twice"},
		{`, prefix: [a/]}`, "it has a field that is none of"},
		{`, prefixes: [` + strings.Repeat("a,", 70) + `b]}`, "more than 64"},
	} {
		credentials, err := parse([]byte(begin+c.text), anyOrg)
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.text, err, c.wrong)
		}
		for _, have := range credentials {
			if s := have.principal.Scope; s == nil || !slices.Equal(s.Prefixes, []string{"a/", "b"}) || !slices.Equal(s.Services, []string{"objects"}) {
				t.Errorf("%s: %+v", c.text, s)
			}
		}
	}
	credentials, err := parse([]byte(`[{"id":"a","org":"acme","user":"ann","role":"reader","sha256":"`+digestA+`","prefixes":["a/"]}]`), anyOrg)
	if err != nil || len(credentials) != 1 {
		t.Error(err)
	}
	for _, text := range []string{`[{"prefixes":[7]}]`, `[{"prefixes":[["a"]]}]`, `[{"prefixes":["a"}]`, `[{"prefixes":{}}]`} {
		if _, err := parse([]byte(text), anyOrg); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func FuzzMapping(f *testing.F) {
	f.Add([]byte(`- {id: a, value: "system:serviceaccount:*", org: acme, role: writer, prefixes: [a/]}`), "system:serviceaccount:x:y")
	f.Add([]byte(`[{"id":"a","claim":"groups","value":"g","org":"acme","role":"reader"}]`), "g")
	f.Add([]byte("- {id: a, claim: a.b, value: x, org: acme, user: u, role: admin, services: [objects]}"), "x")
	f.Fuzz(func(t *testing.T, file []byte, text string) {
		m := NewMapping(anyOrg)
		if err := m.Take(file); err != nil {
			if m.Len() != 0 {
				t.Fatalf("%q: %v, and %d entries", file, err, m.Len())
			}
			return
		}
		for _, c := range []Claims{{"sub": text}, {"sub": text, "groups": []any{text, 7}}, {"a": map[string]any{"b": text}, "sub": "s"}} {
			p, err := m.Principal(c)
			if err == nil && (p.Org == "" || p.User == "" || !p.Role.valid()) {
				t.Fatalf("%q: %v are %+v", file, c, p)
			}
			if err != nil && (p.Org != "" || p.Role != "") {
				t.Fatalf("%q: %+v, %v", file, p, err)
			}
		}
	})
}

func TestMapFiles(t *testing.T) {
	const begin = "- {id: a, value: x, org: acme, role: reader"
	for _, c := range []struct{ text, wrong string }{
		{begin + "}", ""},
		{begin + ", user: u, claim: groups}", ""},
		{"", "the file is empty, want one list of {id, claim"},
		{"- {id: a, org: acme, role: reader}", "value is empty"},
		{strings.Replace(begin, "x", `"*"`, 1) + "}", "value is empty"},
		{strings.Replace(begin, "x", `"a*b"`, 1) + "}", "a * before its end"},
		{strings.Replace(begin, "reader", "root", 1) + "}", "role is none"},
		{strings.Replace(begin, "acme", `""`, 1) + "}", "org is not the name"},
		{strings.Replace(begin, "id: a, ", "", 1) + "}", "id: it has 0 bytes"},
		{begin + "}\n" + begin + "}", "entry 2, at line 2: an entry before it has the same id"},
		{begin + ", sub: x}", "it has a field that is none of"},
	} {
		err := NewMapping(anyOrg).Take([]byte(c.text))
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.text, err, c.wrong)
		}
	}
}
