package auth

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const (
	digestA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "1234567890123456789012345678901234567890123456789012345678901234"
	good    = "- {id: a, org: acme, user: ann, role: reader, sha256: " + digestA + "}\n"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		what, text string
		tokens     int
	}{
		{"no tokens", "[]", 0},
		{"YAML", good + "# and without braces\n- id: b\n  org: acme\n  user: \"007\"\n  role: admin\n  sha256: " + digestB + "\n  expires: 2030-01-30T00:00:00Z\n", 2},
		{"JSON", `[{"id":"a","org":"acme","user":"ann","role":"writer","sha256":"` + digestA + `","expires":""}]`, 1},
		{"no expiry", "- {id: a, org: acme, user: ann, role: reader, sha256: " + digestA + ", expires: null}", 1},
		{"a token that expired", "- {id: a, org: acme, user: ann, role: reader, sha256: " + digestA + `, expires: "2001-01-01T00:00:00+01:00"}`, 1},
	} {
		if credentials, err := parse([]byte(c.text), anyOrg); err != nil || len(credentials) != c.tokens {
			t.Errorf("%s: %d tokens, %v, want %d", c.what, len(credentials), err, c.tokens)
		}
	}
	text, err := json.Marshal(entry("b", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if credentials, err := parse([]byte(good+"- "+string(text)+"\n"), anyOrg); err != nil || len(credentials) != 2 {
		t.Errorf("an entry in JSON at the end of YAML: %d tokens, %v", len(credentials), err)
	}
}

func TestParseRefuses(t *testing.T) {
	// with replaces a part of the good entry.
	with := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for _, c := range []struct{ what, text, wrong string }{
		{"empty", "", "the file is empty, want one list"},
		{"comment", "# none\n", "the file is empty, want one list"},
		{"null", "null", "the file holds no list"},
		{"mapping", "tokens: []", "the file holds no list, want one list of {id, org"},
		{"list of texts", "- a", "line 1: there is something that is no entry, want one list of {id, org"},
		{"no YAML", "- id: \"lrd_secret\n", "the file is not YAML, want one list"},
		{"a tag and no YAML", "! " + strings.Repeat("0", 103), "the file holds no list, want one list"},
		{"two documents", good + "---\n" + good, "more than one YAML document"},
		{"field twice", with("org: acme", "org: acme, org: evil"), "entry 1, at line 1: it has org twice"},
		{"unknown field", with("}", ", expire: x}"), "entry 1, at line 1: it has a field that is none of expires, id, org, prefixes, role, services, sha256, user"},
		{"second entry", good + with("id: a", "id: b, x: y"), "entry 2, at line 2: it has a field"},
		{"a token", with("}", ", token: lrd_secret}"), "it has a field that is none of"},
		{"empty entry", "-\n", "entry 1, at line 1: id: it has 0 bytes, want 1 to 128"},
		{"id a number", with("id: a", "id: 7"), "entry 1, at line 1: id is not text, want it in quotes"},
		{"org a number", with("acme", "007"), "org is not text"},
		{"user a list", with("ann", "[ann]"), "user is not text"},
		{"no user", with("ann", `""`), "user: it has 0 bytes"},
		{"user of two lines", with("ann", `"a\nb"`), "user: it holds control characters"},
		{"bad org", with("acme", "evil"), "org is not the name of one, want 1 to 63"},
		{"bad role", with("reader", "Reader"), "role is none that there is, want reader, writer or admin"},
		{"short digest", with(digestA, digestA[1:]), "sha256 has 63 bytes or capitals, want the 64 lower-case"},
		{"digest in capitals", with(digestA, strings.ToUpper(digestA)), "sha256 has 64 bytes or capitals"},
		{"no digest", with("aaaa", "gggg"), "sha256 is not hexadecimal"},
		{"date only", with("}", ", expires: 2030-01-30}"), "expires is no time in RFC 3339, want one such as"},
		{"id twice", good + with(digestA, digestB), "entry 2, at line 2: an entry before it has the same id"},
		{"JSON cut short", `[{"id":"lrd_secret"`, "line 1: the file begins with [ and is no JSON"},
		{"JSON with more", `[] []`, "line 1: the file begins with [ and is no JSON"},
		{"JSON with a comma missing", "[\n{}\n{}]", "the file begins with [ and is no JSON"},
		{"flow YAML", "[" + strings.TrimPrefix(strings.TrimSpace(good), "- ") + "]", "the file begins with [ and is no JSON"},
		{"a JSON list of texts", `["lrd_secret"]`, "line 1: the file begins with [ and is no JSON"},
		{"JSON field twice", `[{"id":"a","id":"b"}]`, "entry 1, at line 1: it has id twice"},
		{"JSON field in capitals", "[\n{\"ID\":\"lrd_a\"}]", "entry 1, at line 2: it has a field that is none of"},
		{"JSON number", `[{"org":7}]`, "entry 1, at line 1: org is not text"},
		{"JSON in JSON", `[{"org":{"lrd_a":1}}]`, "line 1: the file begins with [ and is no JSON"},
		{"an alias", "- &lrd_x {id: a}\n- *lrd_x\n", "line 2: there is something that is no entry"},
		{"an alias alone", "- *lrd_x\n", "the file is not YAML, want one list"},
		{"a token as role", with("reader", "lrd_secret"), "role is none that there is"},
		{"a token as date", with("}", ", expires: lrd_secret}"), "expires is no time"},
		{"a token as org", with("acme", "LRD_lrd_secret"), "org is not the name of one"},
		{"much", strings.Repeat("#", 1<<20+1), "the file has 1048577 bytes, at most 1048576 are read"},
		{"deep", strings.Repeat("- ", 20_000) + "a", "want one list"},
		{"deep JSON", strings.Repeat("[", 400_000), "line 1: the file begins with [ and is no JSON"},
		{"digest twice", good + with("id: a", "id: b"), "entry 2, at line 2: an entry before it has the same sha256"},
	} {
		_, err := parse([]byte(c.text), func(org string) error {
			if org != "acme" {
				return errors.New("not that one: " + org)
			}
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.what, err, c.wrong)
		} else if strings.Contains(err.Error(), "lrd_") {
			t.Errorf("%s: the error %q tells a token", c.what, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`[{"id":"a","org":"acme","user":"ann","role":"writer","sha256":"` + digestA + `","expires":"2030-01-30T00:00:00Z"}]`))
	f.Add([]byte("[{\"id\":\"a\",\"expires\":null}]"))
	f.Add([]byte("- &a {id: x}\n- *a\n---\n<<: [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		credentials, err := parse(data, anyOrg)
		if err != nil && (strings.Contains(err.Error(), "lrd_") || len(err.Error()) > 300) {
			t.Fatalf("%q quotes the file", err)
		}
		if err != nil {
			return
		}
		for _, c := range credentials {
			if p := c.principal; p.Org == "" || p.User == "" || p.TokenID == "" || !p.Role.valid() {
				t.Fatalf("%q holds the principal %+v", data, p)
			}
		}
	})
}
