package usage

import (
	"math"
	"strings"
	"testing"
	"time"

	"larder/keys"
)

func policies(t *testing.T, file string) *Policies {
	t.Helper()
	p := NewPolicies(keys.ValidOrg)
	if err := p.Take([]byte(file)); err != nil {
		t.Fatal(err)
	}
	return p
}

// YAML and JSON say the same, and an entry stands alone.
func TestPolicyFile(t *testing.T) {
	want := Policy{
		MaxBytes: 500 << 30, MaxObjects: 1000, MaxObjectSize: 1 << 20, RequestsPerSecond: 2.5, BytesPerSecond: 10e6,
		ExpiresIn: 24 * time.Hour, MaxExpiresIn: 720 * time.Hour, CostPerHour: 3.5,
	}
	for _, file := range []string{
		"- {org: acme, max_bytes: 500GiB, max_objects: 1000, max_object_size: 1048576, requests_per_second: 2.5,\n" +
			"   bytes_per_second: 10MB, expires_in: 86400, max_expires_in: 720h, cost_per_hour: 3.5}\n- {org: '*', max_objects: 7}\n",
		"[\n\t{\"org\": \"acme\", \"max_bytes\": 536870912000, \"max_objects\": 1000, \"max_object_size\": \"1MiB\", \"requests_per_second\": 2.5,\n" +
			"\t\"bytes_per_second\": 1e7, \"expires_in\": 86400, \"max_expires_in\": \"720h\", \"cost_per_hour\": 3.5},\n\t{\"org\": \"*\", \"max_objects\": 7}\n]",
	} {
		p := policies(t, file)
		if got := p.Of("acme"); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := p.Of("other"); got != (Policy{MaxObjects: 7}) {
			t.Errorf("others have %+v", got)
		}
		if got := p.Orgs(); len(got) != 1 || got[0] != "acme" {
			t.Errorf("the orgs are %v", got)
		}
	}
	if p := policies(t, "[]"); p.Len() != 0 || p.Of("acme") != (Policy{}) {
		t.Error("no entries are no limits")
	}
}

// A wrong file says where and what would be right, and changes nothing.
func TestPolicyFileIsWrong(t *testing.T) {
	p := policies(t, "- {org: acme, max_objects: 3}")
	for file, says := range map[string]string{
		"":                                                   "the file is empty",
		"org: acme":                                          "holds no list",
		`{"org": "acme"}`:                                    "holds no list",
		"- acme":                                             "line 1: there is something that is no entry",
		`["acme"]`:                                           "line 1: the file begins with [ and is no JSON of that form, want one list of {org",
		"[{org: acme":                                        "line 1: the file begins with [ and is no JSON of that form",
		"- org: \"acme\n":                                    "the file is not YAML, want one list of {org",
		"- {org: acme}\n---\n[]":                             "more than one YAML document",
		"- {max_objects: 1}":                                 "line 1: bad key: the org is empty",
		"- {org: Acme}":                                      "is not allowed",
		"- {org: a}\n- {org: a}":                             "line 2: there are two entries",
		"- org: a\n  max_bites: 3":                           `line 2: there is no field "max_bites"; there are org, max_bytes`,
		"- {org: a, org: b}":                                 "line 1: org is there twice",
		"- {org: a, max_bytes: 0}":                           "at least 1 byte",
		"- {org: a, max_bytes: -5}":                          "at least 1 byte",
		"- {org: a, max_bytes: lots}":                        `max_bytes is "lots", want a size`,
		"- {org: a, max_bytes: [1]}":                         "max_bytes is no number and no text",
		"- {org: a, max_bytes: 2030-01-30}":                  `max_bytes is "2030-01-30", want a size`,
		"- {org: a, max_bytes: null}":                        "leave it out for no limit",
		"- {org: a, max_objects: 1.5}":                       "a whole number",
		"- {org: a, max_objects: true}":                      "a whole number",
		"- {org: a, requests_per_second: 0}":                 "above 0",
		"- {org: a, requests_per_second: .nan}":              "above 0",
		"- {org: a, requests_per_second: .inf}":              "above 0",
		"- {org: a, bytes_per_second: 0}":                    "at least 1 byte",
		"- {org: a, cost_per_hour: -1}":                      "above 0",
		"- {org: a, expires_in: 0}":                          "at least 1",
		"- {org: a, expires_in: tomorrow}":                   "such as 720h",
		"- {org: a, expires_in: 1e300}":                      "a hundred years",
		"- {org: a, expires_in: 5, max_expires_in: 4}":       "is more than max_expires_in",
		`[{"org": "a", "Max_objects": 1}]`:                   `no field "Max_objects"`,
		`[{"org": "a", "max_objects": null}]`:                "leave it out for no limit",
		`[{"org": "a", "max_objects": 1, "max_objects": 2}]`: "twice",
	} {
		err := p.Take([]byte(file))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", file, err, says)
		}
		if p.Of("acme") != (Policy{MaxObjects: 3}) {
			t.Fatalf("%q changed the policy", file)
		}
	}
}

// FuzzPolicies: a file is taken whole, with limits that are limits, or refused whole with a word.
func FuzzPolicies(f *testing.F) {
	f.Add([]byte("- {org: acme, max_bytes: 500GiB, max_objects: 1000, requests_per_second: 2.5, expires_in: 86400, max_expires_in: 720h, cost_per_hour: 3.5}"))
	f.Add([]byte(`[{"org": "*", "max_bytes": 1e300, "bytes_per_second": "NaN", "expires_in": "-1s"}]`))
	f.Add([]byte("- {org: acme, requests_per_second: .inf}\n- {org: acme}"))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, file []byte) {
		p := NewPolicies(keys.ValidOrg)
		if err := p.Take([]byte("- {org: before, max_objects: 3}")); err != nil {
			t.Fatal(err)
		}
		if err := p.Take(file); err != nil {
			if err.Error() == "" || p.Len() != 1 || p.Of("before") != (Policy{MaxObjects: 3}) {
				t.Errorf("%q is refused (%v), and the policies are %d", file, err, p.Len())
			}
			return
		}
		for _, org := range append(p.Orgs(), "of all others") {
			q := p.Of(org)
			for _, limit := range []float64{
				float64(q.MaxBytes), float64(q.MaxObjects), float64(q.MaxObjectSize), q.RequestsPerSecond, q.BytesPerSecond, q.CostPerHour,
				q.ExpiresIn.Seconds(), q.MaxExpiresIn.Seconds(),
			} {
				if !(limit >= 0) || math.IsInf(limit, 0) {
					t.Errorf("%q gives %s a limit of %v", file, org, limit)
				}
			}
			if q.MaxExpiresIn > 0 && q.ExpiresIn > q.MaxExpiresIn {
				t.Errorf("%q keeps what is of %s for %s, and at most %s", file, org, q.ExpiresIn, q.MaxExpiresIn)
			}
		}
	})
}
