package usage

import (
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"larder/usage/entries"
)

// Policy is what one org may use, and how long it keeps things. Zero is no limit.
type Policy struct {
	// MaxBytes and MaxObjects bound what the org has in the store, MaxObjectSize
	// each object, in bytes.
	MaxBytes, MaxObjects, MaxObjectSize int64
	// RequestsPerSecond and BytesPerSecond bound what all nodes together serve;
	// bytes are those of objects, in both directions.
	RequestsPerSecond, BytesPerSecond float64
	// ExpiresIn is how long an object is kept whose writer does not say so, and
	// MaxExpiresIn the longest that a writer may say.
	ExpiresIn, MaxExpiresIn time.Duration
	// CostPerHour is what an hour of building costs, in the org's own currency.
	CostPerHour float64
}

// everyOrg is the org of the entry for all orgs that have none of their own.
const everyOrg = "*"

// Policies are those that are good now. There are none until Take has succeeded.
// Make them with NewPolicies.
type Policies struct {
	validOrg func(org string) error
	// current is replaced whole and never written to.
	current atomic.Pointer[map[string]Policy]
	// rated says that some org has a rate.
	rated atomic.Bool
}

// NewPolicies makes Policies. validOrg says what is wrong with the name of an org,
// if anything.
func NewPolicies(validOrg func(org string) error) *Policies {
	p := &Policies{validOrg: validOrg}
	p.current.Store(&map[string]Policy{})
	return p
}

// Take makes the entries of a policy file those that are good. A file that holds
// anything but good entries is an error, which says what would be right; then all
// stays as it was.
func (p *Policies) Take(file []byte) error {
	list, err := entries.Decode(file, wanted)
	if err != nil {
		return err
	}
	policies := make(map[string]Policy, len(list))
	for _, e := range list {
		org, policy, err := policyOf(e, p.validOrg)
		if err != nil {
			return err
		}
		if _, twice := policies[org]; twice {
			return fmt.Errorf("line %d: there are two entries of the org %q: leave one", e.Line, org)
		}
		policies[org] = policy
	}
	p.current.Store(&policies)
	rated := false
	for _, policy := range policies {
		rated = rated || policy.RequestsPerSecond > 0 || policy.BytesPerSecond > 0
	}
	p.rated.Store(rated)
	return nil
}

// Len returns how many entries there are.
func (p *Policies) Len() int { return len(*p.current.Load()) }

// Of returns the policy of an org: that of its own entry, or else that of "*". An
// entry stands alone: what it leaves out is not taken from "*".
func (p *Policies) Of(org string) Policy {
	policies := *p.current.Load()
	if own, ok := policies[org]; ok {
		return own
	}
	return policies[everyOrg]
}

// Orgs returns the orgs that have an entry of their own.
func (p *Policies) Orgs() []string {
	var orgs []string
	for org := range *p.current.Load() {
		if org != everyOrg {
			orgs = append(orgs, org)
		}
	}
	return orgs
}

// wanted is what a policy file holds.
const wanted = "want one list of {org, max_bytes, max_objects, max_object_size, requests_per_second, bytes_per_second, " +
	"expires_in, max_expires_in, cost_per_hour}, or [] for no limits"

// policyOf checks an entry.
func policyOf(e entries.Entry, validOrg func(string) error) (org string, p Policy, err error) {
	seen := map[string]bool{}
	for _, f := range e.Fields {
		if seen[f.Name] {
			return "", p, fmt.Errorf("line %d: %s is there twice: leave one", f.Line, f.Name)
		}
		seen[f.Name] = true
		if f.Name == "org" {
			org = f.Value
			continue
		}
		if err := p.set(field(f)); err != nil {
			return "", p, fmt.Errorf("line %d: %w", f.Line, err)
		}
	}
	if org != everyOrg {
		if err := validOrg(org); err != nil {
			return "", p, fmt.Errorf("line %d: %w, or \"*\" for all orgs without an entry", e.Line, err)
		}
	}
	if p.MaxExpiresIn > 0 && p.ExpiresIn > p.MaxExpiresIn {
		return "", p, fmt.Errorf("line %d: expires_in (%s) is more than max_expires_in (%s): give less, or the same", e.Line, p.ExpiresIn, p.MaxExpiresIn)
	}
	return org, p, nil
}

// set sets one field of a policy.
func (p *Policy) set(f field) (err error) {
	switch f.Name {
	case "max_bytes":
		p.MaxBytes, err = f.size()
	case "max_object_size":
		p.MaxObjectSize, err = f.size()
	case "bytes_per_second":
		var n int64
		n, err = f.size()
		p.BytesPerSecond = float64(n)
	case "max_objects":
		p.MaxObjects, err = f.count()
	case "requests_per_second":
		p.RequestsPerSecond, err = f.positive("a number above 0, for example 50; leave it out for no limit")
	case "cost_per_hour":
		p.CostPerHour, err = f.positive("a number above 0, for example 3.5; leave it out if there is none")
	case "expires_in":
		p.ExpiresIn, err = f.duration()
	case "max_expires_in":
		p.MaxExpiresIn, err = f.duration()
	default:
		return fmt.Errorf("there is no field %q; there are org, max_bytes, max_objects, max_object_size, requests_per_second, "+
			"bytes_per_second, expires_in, max_expires_in and cost_per_hour", f.Name)
	}
	return err
}

// field is one field of an entry.
type field entries.Field

// plain reports whether it is a number or a text.
func (f field) plain() bool { return f.Kind == entries.Text || f.Kind == entries.Number }

// maxShown bounds what an error shows of a value.
const maxShown = 60

// shown is the value in an error.
func (f field) shown() string {
	if !f.plain() {
		return "no number and no text"
	}
	return strconv.Quote(f.Value[:min(len(f.Value), maxShown)])
}

func (f field) wrong(want string) error {
	return fmt.Errorf("%s is %s, want %s", f.Name, f.shown(), want)
}

// size reads a number of bytes.
func (f field) size() (int64, error) {
	const want = "a size of at least 1 byte, for example 500GiB or 1073741824; leave it out for no limit"
	n, err := humanize.ParseBytes(f.Value)
	if number, isNumber := strconv.ParseFloat(f.Value, 64); isNumber == nil {
		n = uint64(max(0, min(number, math.MaxInt64)))
		err = nil
	}
	if !f.plain() || err != nil || n < 1 || n > math.MaxInt64/4 {
		return 0, f.wrong(want)
	}
	return int64(n), nil
}

func (f field) count() (int64, error) {
	n, err := strconv.ParseInt(f.Value, 10, 64)
	if !f.plain() || err != nil || n < 1 || n > math.MaxInt64/4 {
		return 0, f.wrong("a whole number of at least 1, for example 1000000; leave it out for no limit")
	}
	return n, nil
}

func (f field) positive(want string) (float64, error) {
	n, err := strconv.ParseFloat(f.Value, 64)
	if !f.plain() || err != nil || !(n > 0) || math.IsInf(n, 0) {
		return 0, f.wrong(want)
	}
	return n, nil
}

// maxKept is the longest time of keeping that is taken: a hundred years.
const maxKept = 100 * 365 * 24 * time.Hour

// duration reads seconds, or a length of time.
func (f field) duration() (time.Duration, error) {
	d, err := time.ParseDuration(f.Value)
	if seconds, notSeconds := strconv.ParseFloat(f.Value, 64); notSeconds == nil {
		d, err = time.Duration(min(seconds, 2*maxKept.Seconds())*float64(time.Second)), nil
	}
	if !f.plain() || err != nil || d < time.Second || d > maxKept {
		return 0, f.wrong("seconds, at least 1 and at most a hundred years, or a time such as 720h; leave it out to keep for ever")
	}
	return d, nil
}
