package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRole(t *testing.T) {
	for r, want := range map[Role]int{Reader: 1, Writer: 2, Admin: 3, "": 0, "Writer": 0} {
		for _, a := range []Action{Read, Write, Delete, Administer} {
			needs := map[Action]int{Read: 1, Write: 2, Delete: 2, Administer: 3}[a]
			if err := (Principal{Role: r}).May(a, "objects", "k"); (err == nil) != (want >= needs) || err != nil && !errors.Is(err, ErrRole) {
				t.Errorf("%q may %d: %v", r, a, err)
			}
		}
	}
}

// authenticate is what a gate with these tokens says.
func (t *Tokens) authenticate(authorization string) (Principal, error) {
	return Gate{Tokens: t}.Authenticate(context.Background(), Credential{Authorization: authorization})
}

// entry returns the entry of a token of the tests' choosing.
func entry(id, token string) Entry {
	d := sha256.Sum256([]byte(token))
	return Entry{ID: id, Org: "acme", User: "ann", Role: Writer, SHA256: hex.EncodeToString(d[:])}
}

func basic(pair string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// open takes a file of these entries.
func open(tb testing.TB, entries ...Entry) *Tokens {
	tb.Helper()
	data, err := json.Marshal(append([]Entry{}, entries...))
	if err != nil {
		tb.Fatal(err)
	}
	tokens := New(anyOrg)
	if err := tokens.Take(data); err != nil {
		tb.Fatal(err)
	}
	return tokens
}

func TestAuthenticate(t *testing.T) {
	tokens := open(t, entry("a", "secret"), entry("b", "with:colon and space"))
	ann := func(id string) Principal { return Principal{Org: "acme", User: "ann", Role: Writer, TokenID: id} }
	for _, c := range []struct {
		authorization string
		want          Principal
		err           error
	}{
		{"Bearer secret", ann("a"), nil},
		{"bearer secret", ann("a"), nil},
		{"BEARER   secret ", ann("a"), nil},
		{basic("ann:secret"), ann("a"), nil},
		{basic(":secret"), ann("a"), nil},
		{basic("anyone:secret"), ann("a"), nil},
		{"bAsIc " + basic("x:secret")[6:], ann("a"), nil},
		{basic("ann:with:colon and space"), ann("b"), nil},

		{"", Principal{}, ErrNoCredential},
		{" ", Principal{}, ErrBadCredential},
		{"Bearer", Principal{}, ErrBadCredential},
		{"Bearer ", Principal{}, ErrBadCredential},
		{"Bearer secre", Principal{}, ErrBadCredential},
		{"Bearer Secret", Principal{}, ErrBadCredential},
		{"Bearersecret", Principal{}, ErrBadCredential},
		{"secret", Principal{}, ErrBadCredential},
		{"Bearer " + entry("a", "secret").SHA256, Principal{}, ErrBadCredential},
		{"Basic", Principal{}, ErrBadCredential},
		{"Basic secret", Principal{}, ErrBadCredential},
		{basic("secret"), Principal{}, ErrBadCredential},
		{basic("secret:"), Principal{}, ErrBadCredential},
		{basic("secret:ann"), Principal{}, ErrBadCredential},
		{"Digest secret", Principal{}, ErrBadCredential},
		{"Bearer " + strings.Repeat("s", maxCredential), Principal{}, ErrBadCredential},
	} {
		p, err := tokens.authenticate(c.authorization)
		if p != c.want || !errors.Is(err, c.err) {
			t.Errorf("Authenticate(%q) = %+v, %v, want %+v, %v", c.authorization, p, err, c.want, c.err)
		}
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "secret") {
			t.Errorf("the error %q tells the token", err)
		}
	}
}

func TestAuthenticateExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := entry("a", "secret")
		e.Expires = time.Now().Add(time.Minute).Format(time.RFC3339)
		tokens := open(t, e)
		if _, err := tokens.authenticate("Bearer secret"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute - 1)
		if _, err := tokens.authenticate("Bearer secret"); err != nil {
			t.Errorf("just before the time: %v", err)
		}
		time.Sleep(time.Nanosecond)
		p, err := tokens.authenticate("Bearer secret")
		if !errors.Is(err, ErrExpired) || p != (Principal{}) || !strings.Contains(err.Error(), e.Expires) {
			t.Errorf("at the time: %+v, %v, want ErrExpired", p, err)
		}
		if _, err := tokens.authenticate("Bearer other"); !errors.Is(err, ErrBadCredential) {
			t.Errorf("a token that never was: %v, want ErrBadCredential", err)
		}
	})
}

func FuzzAuthenticate(f *testing.F) {
	for _, s := range []string{"", "Bearer secret", "bearer  secret", basic("ann:secret"), "Basic !", "Basic " + strings.Repeat("A", 8)} {
		f.Add(s)
	}
	tokens := open(f, entry("a", "secret"))
	f.Fuzz(func(t *testing.T, authorization string) {
		p, err := tokens.authenticate(authorization)
		if err == nil {
			token, _ := parseAuthorization(authorization)
			if token != "secret" || p.TokenID != "a" {
				t.Fatalf("Authenticate(%q) = %+v", authorization, p)
			}
			return
		}
		if p != (Principal{}) || !errors.Is(err, ErrBadCredential) && !errors.Is(err, ErrNoCredential) {
			t.Fatalf("Authenticate(%q) = %+v, %v", authorization, p, err)
		}
		if errors.Is(err, ErrNoCredential) != (authorization == "") {
			t.Fatalf("Authenticate(%q) = %v", authorization, err)
		}
	})
}

func TestMint(t *testing.T) {
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	token, e, err := Mint(Entry{Org: "acme", User: "ann", Role: Admin}, expires)
	if err != nil {
		t.Fatal(err)
	}
	if len(token) != len("lrd_")+43 || !strings.HasPrefix(token, "lrd_") || strings.ContainsAny(token, " :/+=") {
		t.Errorf("the token has an unexpected form of %d bytes", len(token))
	}
	second, e2, err := Mint(Entry{Org: "acme", User: "bob", Role: Reader}, time.Time{})
	if err != nil || second == token || e2.ID == e.ID || e2.Expires != "" {
		t.Errorf("a second token: %+v, %v", e2, err)
	}
	tokens := open(t, e, e2)
	want := Principal{Org: "acme", User: "ann", Role: Admin, TokenID: e.ID}
	for _, authorization := range []string{"Bearer " + token, basic("ann:" + token)} {
		if p, err := tokens.authenticate(authorization); err != nil || p != want {
			t.Errorf("a minted token is %+v, %v, want %+v", p, err, want)
		}
	}
	text, err := json.Marshal(e)
	if err != nil || strings.Contains(string(text), token) {
		t.Errorf("the entry holds the token: %v", err)
	}

	for _, c := range []struct {
		org, user string
		role      Role
		expires   time.Time
		wrong     string
	}{
		{"", "ann", Reader, time.Time{}, "org is not the name of one"},
		{"acme", "", Reader, time.Time{}, "user: it has 0 bytes"},
		{"acme", "a\nb", Reader, time.Time{}, "user: it holds control characters"},
		{"acme", "ann", "root", time.Time{}, "role is none that there is, want reader, writer or admin"},
		{"acme", "ann", Reader, time.Now(), "want a time to come"},
	} {
		token, e, err := Mint(Entry{Org: c.org, User: c.user, Role: c.role}, c.expires)
		if err == nil || !strings.Contains(err.Error(), c.wrong) || token != "" || e.ID != "" {
			t.Errorf("Mint(%q, %q, %q) = %+v, %v, want %q", c.org, c.user, c.role, e, err, c.wrong)
		}
	}
}
