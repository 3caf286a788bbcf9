package keys

import (
	"errors"
	"strings"
	"testing"
)

func TestParseStrategy(t *testing.T) {
	const date, hash = "2022-01-30T00:00:00+00:00", "41160d054edf7f0960015019d902b27e"
	for _, s := range []Strategy{
		{"AAPL REINV STRATEGY", date, hash},
		{"a|b", date, hash},
		{"a||b", date, hash},
		{"|", date, hash},
		{"||", date, hash},
		{"a|", date, hash},
		{"a|" + date + "||" + hash, date, hash},
		{"a", "2022-01-30T00:00:00Z", "0"},
		{"a", "2022-01-30T00:00:00.123456-05:30", hash},
		{"a", "2024-02-29T23:59:59-23:59", hash},
		{"a", date, strings.Repeat("f", 128)},
	} {
		if got, err := ParseStrategy(s.String()); err != nil || got != s {
			t.Errorf("ParseStrategy(%q) = %+v, %v", s, got, err)
		}
	}
	for _, c := range []struct{ name, wrong string }{
		{"", `no "||"`},
		{"a", `no "||"`},
		{"a|" + date + "|" + hash, `no "||"`},
		{"a||" + hash, "no '|' between"},
		{date + "||" + hash, "no '|' between"},
		{"|" + date + "||" + hash, "NAME is empty"},
		{"a|" + date + "|||" + hash, `ENV_DATE "" is not`},
		{"a|||" + hash, `ENV_DATE "" is not`},
		{"a|2022-01-30||" + hash, `ENV_DATE "2022-01-30" is not`},
		{"a|2022-01-30T00:00:00||" + hash, "ENV_DATE"},
		{"a|2022-01-30 00:00:00+00:00||" + hash, "ENV_DATE"},
		{"a|2022-01-30T0:00:00+00:00||" + hash, "ENV_DATE"},
		{"a|2022-01-30T00:00:00,5+00:00||" + hash, "ENV_DATE"},
		{"a|2022-01-30T00:00:00+24:00||" + hash, "ENV_DATE"},
		{"a|2022-01-30T00:00:00+05:60||" + hash, "ENV_DATE"},
		{"a|2022-01-30T00:00:00+0530||" + hash, "ENV_DATE"},
		{"a|2022-01-30t00:00:00z||" + hash, "ENV_DATE"},
		{"a|2022-02-30T00:00:00+00:00||" + hash, "ENV_DATE"},
		{"a|" + date + "||", `ENV_HASH "" is not`},
		{"a|" + date + "||4116X", `ENV_HASH "4116X" is not 1 to 128 lower-case`},
		{"a|" + date + "||ABC", "ENV_HASH"},
		{"a|" + date + "|| ab", "ENV_HASH"},
		{"a|" + date + "||" + strings.Repeat("f", 129), "ENV_HASH"},
	} {
		s, err := ParseStrategy(c.name)
		if !errors.Is(err, ErrBadKey) || !strings.Contains(err.Error(), c.wrong) || !strings.HasSuffix(err.Error(), aapl) {
			t.Errorf("ParseStrategy(%q) = %+v, %v, want ErrBadKey with %q and an example", c.name, s, err, c.wrong)
		}
	}
}

func FuzzParseStrategy(f *testing.F) {
	f.Add(aapl)
	f.Add("a||b|2022-01-30T00:00:00Z||0f")
	f.Add("|2022-01-30T00:00:00.1-00:00||0f")
	f.Fuzz(func(t *testing.T, name string) {
		s, err := ParseStrategy(name)
		if err != nil {
			return
		}
		if s.String() != name {
			t.Fatalf("%q is taken apart to %+v", name, s)
		}
		if s.Name == "" || s.EnvHash == "" || strings.Contains(s.EnvDate, "|") {
			t.Fatalf("%q has the parts %+v", name, s)
		}
	})
}

// FuzzFormatStrategy puts any name before a good date and hash.
func FuzzFormatStrategy(f *testing.F) {
	f.Add("a|b", "2022-01-30T00:00:00Z", "0f")
	f.Add("||", "2022-01-30T00:00:00.5+05:30", "41160d054edf7f0960015019d902b27e")
	f.Fuzz(func(t *testing.T, name, date, hash string) {
		s := Strategy{name, date, hash}
		got, err := ParseStrategy(s.String())
		good := name != "" && validDate(date) && validHash(hash)
		if good && (err != nil || got != s) {
			t.Fatalf("%+v is parsed to %+v, %v", s, got, err)
		}
	})
}
