package httpapi

import (
	"slices"
	"testing"

	"larder/httpapi/auth"
	"larder/usage"
)

// Names of what was saved are the beginnings of keys: who may not see the keys is not told
// their names, and who asks at the same time still is.
func TestNamesOfSavings(t *testing.T) {
	all := []usage.Top{{Name: "secret/model"}, {Name: "team/model"}, {Name: "team/prices"}}
	for _, tt := range []struct {
		scope *auth.Scope
		want  []string
	}{
		{&auth.Scope{Prefixes: []string{"team/"}}, []string{"team/model", "team/prices"}},
		{&auth.Scope{Prefixes: []string{"team/model(a"}}, nil},
		{&auth.Scope{Services: []string{"objects"}}, nil},
		{nil, []string{"secret/model", "team/model", "team/prices"}},
	} {
		var got []string
		for _, n := range namesFor(auth.Principal{Org: "acme", User: "eve", Role: auth.Reader, Scope: tt.scope}, all) {
			got = append(got, n.Name)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v sees %q, want %q", tt.scope, got, tt.want)
		}
	}
}
