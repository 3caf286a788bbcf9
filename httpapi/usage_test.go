package httpapi

import (
	"testing"

	"larder/auth"
)

// Names of what was saved are the beginnings of keys: who may not see the keys is not told
// their names.
func TestNamesOfSavings(t *testing.T) {
	scoped := func(s auth.Scope) auth.Principal {
		return auth.Principal{Org: "acme", User: "eve", Role: auth.Writer, Scope: &s}
	}
	for _, tt := range []struct {
		who  auth.Principal
		name string
		want bool
	}{
		{auth.Principal{Org: "acme", User: "ada", Role: auth.Reader}, "secret/model", true},
		{scoped(auth.Scope{Prefixes: []string{"team/"}}), "team/model", true},
		{scoped(auth.Scope{Prefixes: []string{"team/"}}), "secret/model", false},
		{scoped(auth.Scope{Prefixes: []string{"team/model(a"}}), "team/model", false},
		{scoped(auth.Scope{Services: []string{"objects"}}), "secret/model", false},
	} {
		if got := mayName(tt.who, tt.name); got != tt.want {
			t.Errorf("%+v sees %s: %t", tt.who.Scope, tt.name, got)
		}
	}
}
