package keys

import (
	"fmt"
	"strings"
	"time"
)

// maxEnvHash is the longest ENV_HASH, in digits: that of SHA-512.
const maxEnvHash = 128

const strategyForm = "want NAME|ENV_DATE||ENV_HASH, for example " +
	"AAPL REINV STRATEGY|2022-01-30T00:00:00+00:00||41160d054edf7f0960015019d902b27e"

// Strategy is a strategy key taken apart.
type Strategy struct {
	// Name is not empty and may itself hold '|'.
	Name string
	// EnvDate is the environment's date in RFC 3339, kept as it was written:
	// two texts of the same instant are two keys.
	EnvDate string
	// EnvHash is the environment's hash: 1 to 128 lower-case hexadecimal
	// digits.
	EnvHash string
}

// ParseStrategy takes a strategy key apart, from the right: neither a hash nor
// a date holds '|', so what is left of them is the name, whatever it holds.
// Formatting the outcome gives the same text, byte for byte.
func ParseStrategy(name string) (Strategy, error) {
	bar := strings.LastIndex(name, "||")
	if bar < 0 {
		return Strategy{}, badStrategy(`it has no "||" before an ENV_HASH`)
	}
	head, hash := name[:bar], name[bar+len("||"):]
	bar = strings.LastIndexByte(head, '|')
	if bar < 0 {
		return Strategy{}, badStrategy("it has no '|' between a NAME and an ENV_DATE")
	}
	s := Strategy{Name: head[:bar], EnvDate: head[bar+1:], EnvHash: hash}
	if s.Name == "" {
		return Strategy{}, badStrategy("its NAME is empty")
	}
	if !validDate(s.EnvDate) {
		return Strategy{}, badStrategy(fmt.Sprintf("its ENV_DATE %q is not a date and time with an offset (RFC 3339)", s.EnvDate))
	}
	if !validHash(s.EnvHash) {
		return Strategy{}, badStrategy(fmt.Sprintf("its ENV_HASH %q is not 1 to %d lower-case hexadecimal digits", s.EnvHash, maxEnvHash))
	}
	return s, nil
}

// String returns the strategy key: NAME|ENV_DATE||ENV_HASH.
func (s Strategy) String() string {
	return s.Name + "|" + s.EnvDate + "||" + s.EnvHash
}

func badStrategy(what string) error {
	return fmt.Errorf("%w: not a strategy key: %s, %s", ErrBadKey, what, strategyForm)
}

// validDate reports whether s is an RFC 3339 date-time. time.Parse takes more than
// that: an hour of one digit, a comma for the point, an offset of 24:60.
func validDate(s string) bool {
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return false
	}
	if s[len("2006-01-02T15")] != ':' || strings.IndexByte(s, ',') >= 0 {
		return false
	}
	if strings.HasSuffix(s, "Z") {
		return true
	}
	zone := s[len(s)-len("+07:00"):]
	return zone[1:3] <= "23" && zone[4:6] <= "59"
}

func validHash(s string) bool {
	if s == "" || len(s) > maxEnvHash {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
