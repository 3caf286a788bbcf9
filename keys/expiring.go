package keys

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The index of objects that expire. Each write of one has two entries, which are
// named after its key, its moment and the random name of the write:
//
//	v1-expires/hours/HOUR/MOMENT.WRITE/ORG/SERVICE/ENCODED-NAME
//	v1-expires/keys/ORG/SERVICE/ENCODED-NAME~@/MOMENT.WRITE
//
// HOUR is like 2026112921, MOMENT in unix seconds with ten digits, so that a listing
// of the first gives what is due, the oldest first. No encoding of a name has "~@":
// after a '~' there is always a '/'.
const (
	expiresLayout = layout + "-expires"
	hoursRoot     = expiresLayout + "/hours/"
	expiringRoot  = expiresLayout + "/keys/"
	expiringEnd   = "~@/"
	hourLayout    = "2006010215"
	momentDigits  = 10

	// MaxMoment is the last moment at which something may expire, in unix seconds.
	MaxMoment = 9_999_999_999
	// ExpiringRoot is what every entry by hour begins with.
	ExpiringRoot = hoursRoot
)

// Expiring is a write of an object that expires at a moment, in whole seconds.
type Expiring struct {
	Key    Key
	Moment time.Time
	Write  string
}

// Places returns the names of the two entries of the index, or an error that wraps
// ErrBadKey if S3 cannot take one of them.
func (e Expiring) Places() (byHour, byKey string, err error) {
	place := strings.TrimPrefix(e.Key.Place(), Root)
	tail := momentText(e.Moment) + "." + e.Write
	byHour = hoursRoot + e.Moment.UTC().Format(hourLayout) + "/" + tail + "/" + place
	byKey = expiringRoot + place + expiringEnd + tail
	if most := max(len(byHour), len(byKey)); most > maxPlace {
		return "", "", fmt.Errorf("%w: with its expiry it would take %d bytes in the bucket, want at most %d: use a shorter key, or let it not expire",
			ErrBadKey, most, maxPlace)
	}
	return byHour, byKey, nil
}

func momentText(t time.Time) string { return fmt.Sprintf("%0*d", momentDigits, t.Unix()) }

// ExpiringFromHour parses the name of an entry by hour.
func ExpiringFromHour(name string) (e Expiring, err error) {
	rest, _ := strings.CutPrefix(name, hoursRoot)
	_, rest, _ = strings.Cut(rest, "/")
	tail, place, _ := strings.Cut(rest, "/")
	return expiringOf(name, tail, Root+place)
}

// ExpiringFromKey parses the name of an entry by key.
func ExpiringFromKey(name string) (e Expiring, err error) {
	rest, _ := strings.CutPrefix(name, expiringRoot)
	at := max(0, strings.LastIndex(rest, expiringEnd))
	return expiringOf(name, strings.TrimPrefix(rest[at:], expiringEnd), Root+rest[:at])
}

// expiringOf is what an entry's name says, if Places would return it.
func expiringOf(name, tail, place string) (e Expiring, err error) {
	moment, write, _ := strings.Cut(tail, ".")
	seconds, err := strconv.ParseUint(moment, 10, 63)
	if err != nil || seconds > MaxMoment {
		return e, fmt.Errorf("%w: %q is no entry of an object that expires", ErrBadKey, name)
	}
	e = Expiring{Moment: time.Unix(int64(seconds), 0).UTC(), Write: write} //nolint:gosec // of 63 bits
	if e.Key, err = FromPlace(place); err != nil {
		return Expiring{}, err
	}
	if byHour, byKey, err := e.Places(); err != nil || name != byHour && name != byKey {
		return Expiring{}, fmt.Errorf("%w: %q is no entry of an object that expires", ErrBadKey, name)
	}
	return e, nil
}

// ExpiringFrom is where a listing of the entries by hour has to begin to give what expires
// at a time or later: those entries sort after it, and all earlier ones before it.
func ExpiringFrom(t time.Time) string {
	return hoursRoot + t.UTC().Format(hourLayout) + "/" + momentText(t)
}

// ExpiringOrg is what the entries by key of an org begin with.
func ExpiringOrg(org string) string { return expiringRoot + org + "/" }

// ExpiringUnder is what the entries by key begin with whose places begin with prefix.
func ExpiringUnder(prefix string) string { return expiringRoot + strings.TrimPrefix(prefix, Root) }

// ExpiringAt is what the entries by key of exactly this place begin with.
func ExpiringAt(place string) string { return ExpiringUnder(place) + expiringEnd }
