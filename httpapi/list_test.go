package httpapi

import "testing"

// The store is asked for as many places as there are keys missing, and for a full page where
// some may be left out.
func TestWanted(t *testing.T) {
	for _, tt := range []struct {
		listing
		found, want int
	}{
		{listing{}, 0, storePage},
		{listing{limit: 100}, 0, 100},
		{listing{limit: 100}, 40, 60},
		{listing{limit: maxLimit}, 0, storePage},
		{listing{limit: 100, look: true}, 0, storePage},
		{listing{limit: 100, filter: strategyParts{EnvHash: "ab"}}, 0, storePage},
	} {
		if got := tt.wanted(tt.found); got != tt.want {
			t.Errorf("%+v with %d found: %d, want %d", tt.listing, tt.found, got, tt.want)
		}
	}
}
