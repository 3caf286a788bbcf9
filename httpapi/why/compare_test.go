package why

import (
	"strings"
	"testing"
)

// describe is a list of differences as text: kind name asked→there.
func describe(all []Difference) string {
	var parts []string
	value := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	for _, d := range all {
		parts = append(parts, strings.TrimSpace(string(d.Kind)+" "+d.Name)+" "+value(d.Asked)+"→"+value(d.There))
	}
	return strings.Join(parts, "; ")
}

// Of each cause of a miss, what is said.
func TestCompare(t *testing.T) {
	const dax = "DAX|2022-01-30T00:00:00Z||ab"
	settings := func(text string) map[string]string {
		s, err := SettingsOf(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	with := func(m Made) Item { return Item{Service: "strategies", Key: dax, Made: m} }
	strategy := func(key string) Item { return Item{Service: "strategies", Key: key} }
	object := func(key string) Item { return Item{Service: "objects", Key: key} }
	for _, tt := range []struct {
		name         string
		asked, there Item
		want         string
	}{
		{"the same", strategy(dax), strategy(dax), ""},
		{"date", strategy(dax), strategy("DAX|2022-01-31T00:00:00Z||ab"), "date 2022-01-30T00:00:00Z→2022-01-31T00:00:00Z"},
		{"form of the date", strategy(dax), strategy("DAX|2022-01-30T01:00:00+01:00||ab"), "date_form 2022-01-30T00:00:00Z→2022-01-30T01:00:00+01:00"},
		{"hash", strategy(dax), strategy("DAX|2022-01-30T00:00:00Z||cd"), "hash ab→cd"},
		{"name", strategy(dax), strategy("DOW|2022-01-30T00:00:00Z||ab"), "name DAX→DOW"},
		{"capitals", strategy(dax), strategy("Dax|2022-01-30T00:00:00Z||ab"), "case DAX→Dax"},
		{"spaces", object("DAX  prices"), object("DAX prices "), "space DAX  prices→DAX prices "},
		{"a space that is not seen", object("DAX"), object("DAX\u200b"), "space DAX→DAX\u200b"},
		{"Unicode", object("Größe"), object("Gro\u0308ße"), "unicode Größe→Gro\u0308ße"},
		{"escapes", object("a b"), object("a%20b"), "escaped a b→a%20b"},
		{"slashes", object("/prices/a"), object("prices//a"), "slash /prices/a→prices//a"},
		{"service", object("DAX"), strategy("DAX"), "service objects→strategies"},
		{"argument", object("f(ticker='SAP', window=20)_2022-01-30"), object("f(ticker='SIE', window=20)_2022-01-30"), "argument ticker 'SAP'→'SIE'"},
		{"argument that is there only once", object("f(a=1)_2022-01-30"), object("f(a=1, b=[1, 'x, y'])_2022-01-30"), "argument b -→[1, 'x, y']"},
		{"no date", object("DAX_2022-01-30"), object("DAX"), "date 2022-01-30→"},
		{"date with other separators", object("DAX 20220130"), object("DAX 20220131"), "date 20220130→20220131"},
		{"hash of an object", object("f_2022-01-30_" + strings.Repeat("a", 32)), object("f_2022-01-30_" + strings.Repeat("b", 32)), "hash " + strings.Repeat("a", 32) + "→" + strings.Repeat("b", 32)},
		{"setting", with(Made{Settings: settings(`{"universe":"'DAX'","costs":"0.1"}`)}), with(Made{Settings: settings(`{"universe":"'SPX'","costs":"0.1"}`)}), "setting universe 'DAX'→'SPX'"},
		{"setting that is missing there", with(Made{Settings: settings(`{"costs":"0.1"}`)}), with(Made{Settings: settings(`{}`)}), "setting costs 0.1→-"},
		{"setting that is missing here", with(Made{Settings: settings(`{}`)}), with(Made{Settings: settings(`{"costs":"0.1"}`)}), "setting costs -→0.1"},
		{"digests of a setting", with(Made{Settings: settings(`{"a":"#1"}`)}), with(Made{Settings: settings(`{"a":"#2"}`)}), "setting a #1→#2"},
		{"a digest and a value, which may be the same", with(Made{Settings: settings(`{"a":"#1"}`)}), with(Made{Settings: settings(`{"a":"1"}`)}), ""},
		{"settings that are not known", with(Made{Settings: settings(`{"a":"1"}`)}), with(Made{}), ""},
		{"library", with(Made{Libraries: LibrariesOf("pandas=2.2 numpy=2")}), with(Made{Libraries: LibrariesOf("pandas=2.3 scipy=1")}), "library pandas 2.2→2.3"},
		{"Python", with(Made{Python: "3.11.4"}), with(Made{Python: "3.12.1"}), "python 3.11.4→3.12.1"},
		{"code", with(Made{Code: "3.12:aa"}), with(Made{Code: "3.12:bb"}), "code 3.12:aa→3.12:bb"},
		{"code of another Python, which may be the same", with(Made{Code: "3.11:aa"}), with(Made{Code: "3.12:bb"}), ""},
	} {
		if got := describe(Compare(tt.asked, tt.there)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The nearest is what one is most likely to have meant.
func TestDistance(t *testing.T) {
	asked := Item{Service: "strategies", Key: "DAX|2022-01-30T00:00:00Z||ab"}
	before := -1
	for _, key := range []string{
		"DAX|2022-01-30T00:00:00Z||ab", "DAX|2022-01-30T00:00:00+00:00||ab", "dax|2022-01-30T00:00:00Z||ab", "DAX|2022-01-31T00:00:00Z||ab",
		"DAX|2022-02-05T00:00:00Z||ab", "DAX|2022-01-31T00:00:00Z||cd", "DAY|2022-01-30T00:00:00Z||ab", "DOW|2022-01-30T00:00:00Z||ab",
	} {
		d := Distance(Compare(asked, Item{Service: "strategies", Key: key}))
		if d < before || d == before && d > 0 {
			t.Errorf("%s is %d away, and that before it %d", key, d, before)
		}
		before = d
	}
}

func TestAlike(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"AAPL REINV STRATEGY", "AAPL REINV STRATEGIE", true}, {"AAPL REINV STRATEGY", "aapl reinv strategy ", true}, {"prices", "prices.parquet", true},
		{"AAPL REINV STRATEGY", "MSFT REINV STRATEGY", true}, {"DAX", "SPX", false}, {"a", "b", true}, {"", "x", true}, {"universe", "prices", false},
	} {
		if got := Alike(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %v", tt.a, tt.b, got)
		}
	}
}

// FuzzPartsOf takes any key apart: it never fails, and says the same of the same key.
func FuzzPartsOf(f *testing.F) {
	for _, key := range []string{"f(a='x, y', b=[1])_2022-01-30", "f(((", "DAX|2022-01-30T00:00:00Z||ab", "_2022-01-30", "()", "f('\\", "a)b(c"} {
		f.Add(key, key)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, service := range []string{"objects", "strategies"} {
			if d := Compare(Item{Service: service, Key: a}, Item{Service: service, Key: a}); len(d) > 0 {
				t.Errorf("%q differs from itself: %s", a, describe(d))
			}
			if d := Distance(Compare(Item{Service: service, Key: a}, Item{Service: service, Key: b})); d < 0 {
				t.Errorf("%q and %q: %d", a, b, d)
			}
		}
	})
}
