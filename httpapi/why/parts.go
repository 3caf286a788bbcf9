package why

import (
	"regexp"
	"strings"

	"larder/keys"
)

// Parts are what a key is made of, as the Python client makes it. Of other keys all that
// is not a date or a hash at their end is the name.
type Parts struct {
	Name string
	// Arguments are those of a call, name and value, in their order.
	Arguments [][2]string
	// Date and Hash are of the environment; empty without.
	Date, Hash string
}

// objectForm is NAME(ARGUMENTS)_DATE_HASH, of which only the name must be there.
var objectForm = regexp.MustCompile(`^([^(]*?)(?:\((.*)\))?(?:[_ ./-](\d{4}-?\d{2}-?\d{2}(?:T[0-9:.]+(?:Z|[+-][0-9:]+)?)?))?(?:_([0-9a-f]{32}))?$`)

// PartsOf takes a key apart.
func PartsOf(service, key string) Parts {
	if s, err := keys.ParseStrategy(key); err == nil { // a strategy's key can be in the wrong service
		return Parts{Name: s.Name, Date: s.EnvDate, Hash: s.EnvHash}
	}
	if service == keys.Strategies {
		return Parts{Name: key}
	}
	m := objectForm.FindStringSubmatch(key)
	if m == nil || m[1] == "" {
		return Parts{Name: key}
	}
	return Parts{Name: m[1], Arguments: argumentsOf(m[2]), Date: m[3], Hash: m[4]}
}

// argumentsOf splits "a='x, y', b=[1, 2]" at the commas that are within nothing.
func argumentsOf(text string) (all [][2]string) {
	depth, quote, from := 0, byte(0), 0
	take := func(part string) {
		if name, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
			all = append(all, [2]string{name, value})
		} else if part = strings.TrimSpace(part); part != "" {
			all = append(all, [2]string{"", part})
		}
	}
	for i := range len(text) {
		switch c := text[i]; {
		case quote != 0:
			if c == quote && text[i-1] != '\\' {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case c == ',' && depth == 0:
			take(text[from:i])
			from = i + 1
		}
	}
	take(text[from:])
	return all
}
