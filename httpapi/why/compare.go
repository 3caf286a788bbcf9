package why

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/agnivade/levenshtein"
	"golang.org/x/text/unicode/norm"
)

// Item is something that was looked for, or is there.
type Item struct {
	Service, Key string
	Made         Made
}

// Kind says in what two items differ.
type Kind string

// The kinds. Those from Case to Slash are names that are the same but for that.
const (
	Service  Kind = "service"
	Name     Kind = "name"
	Case     Kind = "case"
	Space    Kind = "space"
	Unicode  Kind = "unicode"
	Escaped  Kind = "escaped"
	Slash    Kind = "slash"
	Argument Kind = "argument"
	Date     Kind = "date"
	DateForm Kind = "date_form" // the same moment, written otherwise
	Hash     Kind = "hash"
	Setting  Kind = "setting"
	Library  Kind = "library"
	Python   Kind = "python"
	Code     Kind = "code"
)

// Difference is one thing in which an item differs from what was looked for.
type Difference struct {
	Kind Kind `json:"kind"`
	// Name is of the setting, argument or library; else empty.
	Name string `json:"name,omitempty"`
	// Asked and There are the two values; nil is none.
	Asked *string `json:"asked"`
	There *string `json:"there"`
}

func differ(kind Kind, asked, there string) Difference {
	return Difference{Kind: kind, Asked: &asked, There: &there}
}

// Compare returns in what an item that is there differs from what was asked for.
func Compare(asked, there Item) []Difference {
	all := []Difference{}
	if asked.Service != there.Service {
		all = append(all, differ(Service, asked.Service, there.Service))
	}
	a, b := PartsOf(asked.Service, asked.Key), PartsOf(there.Service, there.Key)
	if a.Name != b.Name {
		all = append(all, differ(kindOfName(a.Name, b.Name), a.Name, b.Name))
	}
	all = append(all, byName(Argument, asMap(a.Arguments), asMap(b.Arguments))...)
	if a.Date != b.Date {
		all = append(all, date(a.Date, b.Date))
	}
	if a.Hash != b.Hash {
		all = append(all, differ(Hash, a.Hash, b.Hash))
	}
	return append(all, made(asked.Made, there.Made)...)
}

// made compares what both of them state.
func made(asked, there Made) (all []Difference) {
	if asked.Settings != nil && there.Settings != nil {
		all = slices.DeleteFunc(byName(Setting, asked.Settings, there.Settings), incomparable)
	}
	for _, d := range byName(Library, asked.Libraries, there.Libraries) {
		if d.Asked != nil && d.There != nil { // not every library is stated
			all = append(all, d)
		}
	}
	if asked.Python != "" && there.Python != "" && asked.Python != there.Python {
		all = append(all, differ(Python, asked.Python, there.Python))
	}
	if codeDiffers(asked.Code, there.Code) {
		all = append(all, differ(Code, asked.Code, there.Code))
	}
	return all
}

// incomparable reports whether one value is a digest and the other is not: they may be
// the same.
func incomparable(d Difference) bool {
	return d.Asked != nil && d.There != nil && strings.HasPrefix(*d.Asked, "#") != strings.HasPrefix(*d.There, "#")
}

// codeDiffers is of the bytecode of one version of Python alone: other versions make
// other bytecode of the same code.
func codeDiffers(asked, there string) bool {
	a, x, _ := strings.Cut(asked, ":")
	b, y, _ := strings.Cut(there, ":")
	return x != "" && y != "" && a == b && x != y
}

// byName compares two sets of named values, in the order of names.
func byName(kind Kind, asked, there map[string]string) (all []Difference) {
	names := maps.Clone(asked)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, there)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d := Difference{Kind: kind, Name: name}
		if v, ok := asked[name]; ok {
			d.Asked = &v
		}
		if v, ok := there[name]; ok {
			d.There = &v
		}
		if d.Asked == nil || d.There == nil || *d.Asked != *d.There {
			all = append(all, d)
		}
	}
	return all
}

func asMap(pairs [][2]string) map[string]string {
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[p[0]] = p[1]
	}
	return m
}

func date(asked, there string) Difference {
	x, known := moment(asked)
	y, also := moment(there)
	if known && also && x.Equal(y) {
		return differ(DateForm, asked, there)
	}
	return differ(Date, asked, there)
}

// moment reads a date of a key. One without a zone is in UTC.
func moment(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly, "20060102"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// kindOfName says in what two names differ.
func kindOfName(a, b string) Kind {
	for _, same := range []struct {
		kind Kind
		of   func(string) string
	}{
		{Unicode, norm.NFKC.String}, {Space, withoutSpace}, {Case, strings.ToLower}, {Escaped, unescaped}, {Slash, withoutSlashes},
	} {
		if same.of(a) == same.of(b) {
			return same.kind
		}
	}
	return Name
}

func withoutSpace(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) { // or it is not seen at all
			return -1
		}
		return r
	}, s)
}

func unescaped(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

func withoutSlashes(s string) string { return strings.Trim(strings.ReplaceAll(s, "//", "/"), "/") }

// compared bounds how much of a name is compared letter by letter.
const compared = 128

// plain is a name without anything in which names are easily mistaken.
func plain(name string) string {
	name = withoutSlashes(strings.ToLower(withoutSpace(norm.NFKC.String(unescaped(name)))))
	return name[:min(len(name), compared)]
}

// Alike reports whether two names could be meant to be the same.
func Alike(a, b string) bool {
	a, b = plain(a), plain(b)
	if a == b {
		return true
	}
	shorter := min(len(a), len(b))
	if shorter >= 3 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
		return true
	}
	return levenshtein.ComputeDistance(a, b) <= max(1, shorter/4)
}

// Distance is how far an item is from what was asked for, by their differences: the
// nearest is that which one is most likely to have meant.
func Distance(differences []Difference) int {
	weights := map[Kind]int{
		Service: 6, Case: 3, Space: 3, Unicode: 3, Escaped: 3, Slash: 3, Argument: 20, DateForm: 1, Hash: 25, Setting: 2, Library: 1, Python: 1, Code: 1,
	}
	sum := 0
	for _, d := range differences {
		switch d.Kind {
		case Name:
			sum += 40 + 10*levenshtein.ComputeDistance(plain(*d.Asked), plain(*d.There))
		case Date:
			sum += 20 + daysBetween(*d.Asked, *d.There)
		default:
			sum += weights[d.Kind]
		}
	}
	return sum
}

// daysBetween is at most nine: of dates that are far away none is nearer.
func daysBetween(a, b string) int {
	x, known := moment(a)
	y, also := moment(b)
	if !known || !also {
		return 9
	}
	return min(int(x.Sub(y).Abs()/(24*time.Hour)), 9)
}
