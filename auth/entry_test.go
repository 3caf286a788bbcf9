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
		{"mapping", "tokens: []", "want one list of {id, org"},
		{"list of texts", "- a", "want one list of {id, org"},
		{"no YAML", "- id: \"lrd_secret\n", "at [line:column] [1:7]"},
		{"a tag and no YAML", "! " + strings.Repeat("0", 103), "the file is not YAML, want one list"},
		{"two documents", good + "---\n" + good, "more than one YAML document"},
		{"field twice", with("org: acme", "org: acme, org: evil"), `"org" already defined`},
		{"unknown field", with("}", ", expire: x}"), `entry 1 (id "a"): there is no field "expire", want id, org`},
		{"second entry", good + with("id: a", "id: b, x: y"), `entry 2 (id "b")`},
		{"a token", with("}", ", token: lrd_secret}"), `there is no field "token"`},
		{"empty entry", "-\n", `entry 1 (id ""): id: it has 0 bytes, want 1 to 128`},
		{"id a number", with("id: a", "id: 7"), `entry 1 (id ""): id is not text, want it in quotes`},
		{"org a number", with("acme", "007"), "org is not text"},
		{"user a list", with("ann", "[ann]"), "user is not text"},
		{"no user", with("ann", `""`), "user: it has 0 bytes"},
		{"user of two lines", with("ann", `"a\nb"`), "user: it holds control characters"},
		{"bad org", with("acme", "evil"), "org: not that one"},
		{"bad role", with("reader", "Reader"), `there is no role "Reader", want reader, writer or admin`},
		{"short digest", with(digestA, digestA[1:]), "sha256 has 63 bytes or capitals, want the 64 lower-case"},
		{"digest in capitals", with(digestA, strings.ToUpper(digestA)), "sha256 has 64 bytes or capitals"},
		{"no digest", with("aaaa", "gggg"), "sha256 is not hexadecimal"},
		{"date only", with("}", ", expires: 2030-01-30}"), `expires is "2030-01-30", want a time in RFC 3339 such as`},
		{"id twice", good + with(digestA, digestB), `entry 2 (id "a"): another entry has the same id`},
		{"digest twice", good + with("id: a", "id: b"), `entry 2 (id "b"): the entry with id "a" has the same sha256`},
	} {
		_, err := parse([]byte(c.text), func(org string) error {
			if org != "acme" {
				return errors.New("not that one")
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
	f.Add([]byte("- &a {id: x}\n- *a\n---\n<<: [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		credentials, err := parse(data, anyOrg)
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
