package auth

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is taken replaces what was good before; what is wrong leaves it as it was.
func TestTake(t *testing.T) {
	tokens := New(anyOrg)
	for _, c := range []struct {
		file string
		bad  bool
		good string // the tokens that are good then
	}{
		{file: "- id: lrd_", bad: true},
		{file: yamlOf("one"), good: "one"},
		{file: "- id: lrd_", bad: true, good: "one"},
		{file: "", bad: true, good: "one"},
		{file: yamlOf("one", "two"), good: "one two"},
		{file: "[", bad: true, good: "one two"},
		{file: yamlOf("two"), good: "two"},
		{file: "[]"},
	} {
		if err := tokens.Take([]byte(c.file)); (err != nil) != c.bad {
			t.Errorf("%q: %v", c.file, err)
		}
		if n := len(strings.Fields(c.good)); tokens.Len() != n {
			t.Errorf("after %q there are %d, want %d", c.file, tokens.Len(), n)
		}
		for _, token := range []string{"one", "two"} {
			if _, err := tokens.authenticate("Bearer " + token); (err == nil) != strings.Contains(c.good, token) {
				t.Errorf("after %q, %s: %v", c.file, token, err)
			}
		}
	}
}

// Who sends a request is found out for each one.
func TestAuthenticateTakesNoMemory(t *testing.T) {
	token := strings.Repeat("t", 48)
	tokens := New(anyOrg)
	if err := tokens.Take([]byte(yamlOf(token))); err != nil {
		t.Fatal(err)
	}
	gate, c := Gate{Tokens: tokens}, Credential{Authorization: "Bearer " + token}
	n := testing.AllocsPerRun(100, func() {
		if p, err := gate.Authenticate(t.Context(), c); err != nil || p.May(Read, "objects", "k") != nil {
			t.Fatal(p, err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// issued knows one token, and would have to ask for another.
type issued struct{}

func (issued) Known(token string) (Principal, bool) {
	return Principal{Org: "acme", User: "sue"}, token == "eyJ.known.x"
}

func (issued) Verify(context.Context, string) (Principal, error) {
	return Principal{Org: "acme", User: "sue"}, nil
}

// Whoever is known without a question is who Authenticate says, and takes no memory.
func TestKnown(t *testing.T) {
	tokens := New(anyOrg)
	file := yamlOf("good") + strings.Replace(yamlOf("old"), "\n  org:", "\n  expires: 2020-01-01T00:00:00Z\n  org:", 1)
	if err := tokens.Take([]byte(file)); err != nil {
		t.Fatal(err)
	}
	for authorization, want := range map[string]bool{
		"Bearer good": true, "bearer good": true, "Basic eDpnb29k": true, "Bearer eyJ.known.x": true,
		"Bearer eyJ.other.x": false, "Bearer old": false, "Bearer none": false, "Bearer": false, "": false, "good": false,
	} {
		gate := Gate{Tokens: tokens, Issued: issued{}}
		p, known := gate.Known(authorization)
		if known != want {
			t.Errorf("%q is known: %v", authorization, known)
		}
		if who, err := gate.Authenticate(t.Context(), Credential{Authorization: authorization}); known && (err != nil || p != who) {
			t.Errorf("%q is %+v, and %+v, %v", authorization, p, who, err)
		}
		if _, known := (Gate{}).Known(authorization); known {
			t.Errorf("%q is known where nobody is", authorization)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Gate{Tokens: tokens}.Known("Bearer good") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// yamlOf is a file of these tokens.
func yamlOf(tokens ...string) string {
	var b strings.Builder
	for _, token := range tokens {
		e := entry(token, token)
		b.WriteString("- id: " + e.ID + "\n  org: acme\n  user: ann\n  role: writer\n  sha256: " + e.SHA256 + "\n")
	}
	return b.String()
}
