package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"larder/httpapi/auth"
	"larder/httpapi/why"
	"larder/keys"
	"larder/store"
)

const (
	whyLists   = 12   // requests to the store for listings, at most
	whyNearest = 5    // keys of an answer
	whyStats   = 8    // keys whose metadata is looked at
	whyNames   = 2000 // names that are compared with the one that was asked for
)

// whyAnswer says why there is nothing under a key.
type whyAnswer struct {
	Service string `json:"service"`
	Key     string `json:"key"`
	Found   bool   `json:"found"`
	// Text says all of it in a sentence or two.
	Text string `json:"text"`
	// Expired is when it expired, if that is why.
	Expired *time.Time `json:"expired"`
	// Building is the build of it that is under way.
	Building *underWay `json:"building"`
	// Settings are those that the key's hash is of, if anything says that.
	Settings map[string]string `json:"settings"`
	// Differs is in what that which is there differs from what was asked for, by its
	// metadata.
	Differs []why.Difference `json:"differs"`
	Nearest []nearKey        `json:"nearest"`
}

// nearKey is a key that is there, and how it differs from what was asked for.
type nearKey struct {
	Service  string           `json:"service"`
	Key      string           `json:"key"`
	Size     int64            `json:"size"`
	Modified time.Time        `json:"modified"`
	Writer   string           `json:"writer"`
	Text     string           `json:"text"`
	Differs  []why.Difference `json:"differs"`

	distance int
}

// search is a search for what is near to a key.
type search struct {
	*call
	api   *API
	asked why.Item
	lists int // to the store, so far
	names map[string]bool
	found map[keys.Key]store.Entry
	err   error // of a listing; what was found before it still counts
}

// why answers why there is nothing under a key: what is nearest, and how it differs.
func (a *API) why(c *call) error {
	made, err := madeOf(c)
	if err != nil {
		return err
	}
	s := &search{call: c, api: a, asked: why.Item{Service: c.service, Key: c.key.Name, Made: made}, names: map[string]bool{}, found: map[keys.Key]store.Entry{}}
	w := whyAnswer{Service: c.service, Key: c.key.Name, Differs: []why.Difference{}, Nearest: []nearKey{}}
	there, err := s.stat(c.key)
	expired, isExpired := errors.AsType[store.Expired](err)
	switch {
	case err == nil:
		w.Found = true
		w.Differs = why.Compare(s.asked, why.Item{Service: c.service, Key: c.key.Name, Made: why.MadeOf(there.Meta)})
	case isExpired:
		w.Expired = &expired.At
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	w.Building = a.building(c)
	if !w.Found {
		s.look()
		s.explainHash()
		w.Settings, w.Nearest = s.asked.Made.Settings, s.nearest()
		if s.err != nil && len(w.Nearest) == 0 {
			return s.err
		}
	}
	w.Text = w.text()
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusOK, w)
}

// madeOf is what the caller would have made the object with, in the form of metadata.
func madeOf(c *call) (why.Made, error) {
	meta := map[string]string{}
	for name, values := range c.query {
		switch {
		case len(values) > 1:
			return why.Made{}, fmt.Errorf("%w: %s is there %d times; give it once", errQuery, name, len(values))
		case slices.Contains([]string{"settings", "libraries", "python", "code"}, name):
			meta[name] = values[0]
		case name != "key":
			return why.Made{}, fmt.Errorf("%w: %q is not known; known are key, settings, libraries, python and code", errQuery, name)
		}
	}
	if _, err := why.SettingsOf(meta["settings"]); err != nil {
		return why.Made{}, fmt.Errorf(`%w: settings is a JSON object of texts, as Larder-Meta-Settings is, for example {"universe":"'DAX'"}: %s`, errQuery, jsonFault(err))
	}
	return why.MadeOf(meta), nil
}

// building is the build of the key that is under way; nil if there is none.
func (a *API) building(c *call) *underWay {
	if a.cfg.Builds == nil {
		return nil
	}
	for _, b := range a.cfg.Builds.List(c.Context(), c.who.Org, c.service, c.key.Name) {
		if b.Key == c.key.Name {
			u := underWayOf(&b.Build, time.Now())
			return &u
		}
	}
	return nil
}

func (s *search) stat(k keys.Key) (store.Head, error) {
	h, _, err := s.api.read.Stat(s.Context(), k, options(s.call))
	return h, err
}

// look finds keys that could have been meant: of the same name; of names that are the
// same but for what is easily mistaken; of the other service; and of names that begin
// alike.
func (s *search) look() {
	parts := why.PartsOf(s.service, s.key.Name)
	end := ""
	if s.service == keys.Strategies {
		end = "|"
	}
	s.list(s.service, parts.Name+end, 3)
	for _, variant := range variants(parts.Name) {
		s.list(s.service, variant+end, 1)
	}
	other := keys.Objects
	if s.service == keys.Objects {
		other = keys.Strategies
	}
	s.list(other, parts.Name, 1)
	first, _ := utf8.DecodeRuneInString(parts.Name)
	for _, beginning := range []string{beginOf(parts.Name, 4), beginOf(parts.Name, 1), string(unicode.ToUpper(first)), string(unicode.ToLower(first)), ""} {
		if len(s.found) >= whyNearest {
			return
		}
		s.list(s.service, beginning, 3)
	}
}

func beginOf(name string, letters int) string {
	at := 0
	for range letters {
		_, size := utf8.DecodeRuneInString(name[at:])
		at += size
	}
	return name[:at]
}

// variants are other writings of a name.
func variants(name string) (all []string) {
	for _, v := range []string{
		strings.TrimSpace(name), strings.Trim(name, "/"), norm.NFC.String(name), norm.NFD.String(name), strings.ToUpper(name), strings.ToLower(name),
	} {
		if v != name && v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// list adds those of a prefix that the caller may see and could have meant, of so many
// pages of the store.
func (s *search) list(service, prefix string, pages int) {
	place, err := keys.PlacePrefix(s.who.Org, service, prefix)
	if err != nil {
		return // there is no such key then
	}
	name := why.PartsOf(s.service, s.key.Name).Name
	after := ""
	for more := true; more && pages > 0 && s.lists < whyLists && s.err == nil; pages, s.lists = pages-1, s.lists+1 {
		var entries []store.Entry
		if entries, more, s.err = s.api.list.List(s.Context(), place, after, storePage); s.err != nil {
			return
		}
		for _, e := range entries {
			after = e.Name
			k, err := keys.FromPlace(e.Name)
			if err == nil && k != s.key && s.who.May(auth.Read, k.Service, k.Name) == nil && s.isAlike(name, why.PartsOf(k.Service, k.Name).Name) {
				s.found[k] = e
			}
		}
	}
}

// isAlike remembers what it found of a name.
func (s *search) isAlike(asked, name string) bool {
	alike, known := s.names[name]
	if !known && len(s.names) < whyNames {
		alike = why.Alike(asked, name)
		s.names[name] = alike
	}
	return alike
}

// explainHash finds out which settings the key's hash is of, if the caller did not say:
// what else was stored under the same hash states them.
func (s *search) explainHash() {
	hash := why.PartsOf(s.service, s.key.Name).Hash
	if s.asked.Made.Settings != nil || hash == "" {
		return
	}
	for k := range s.found {
		if why.PartsOf(k.Service, k.Name).Hash != hash {
			continue
		}
		if h, err := s.stat(k); err == nil {
			if s.asked.Made.Settings = why.MadeOf(h.Meta).Settings; s.asked.Made.Settings != nil {
				return
			}
		}
	}
}

// nearest are the keys that were found, nearest first.
func (s *search) nearest() []nearKey {
	all := []nearKey{}
	for k, e := range s.found {
		n := nearKey{Service: k.Service, Key: k.Name, Size: e.Size, Modified: e.Modified}
		n.compare(s.asked, why.Made{})
		all = append(all, n)
	}
	all = diverse(all)
	kept := all[:0]
	for _, n := range all {
		k, err := keys.New(s.who.Org, n.Service, n.Key)
		if err != nil {
			continue
		}
		h, err := s.stat(k)
		if err != nil { // it went meanwhile, or cannot be read
			continue
		}
		n.Writer = h.Writer
		n.compare(s.asked, why.MadeOf(h.Meta))
		kept = append(kept, n)
	}
	sortNear(kept)
	return kept[:min(len(kept), whyNearest)]
}

func (n *nearKey) compare(asked why.Item, made why.Made) {
	n.Differs = why.Compare(asked, why.Item{Service: n.Service, Key: n.Key, Made: made})
	n.Text = why.Text(n.Differs)
	n.distance = why.Distance(n.Differs)
}

// diverse are the nearest, of which at most two differ in the same things: forty other
// dates say no more than two.
func diverse(all []nearKey) []nearKey {
	sortNear(all)
	alike := map[string]int{}
	kept := all[:0]
	for _, n := range all {
		kinds := ""
		for _, d := range n.Differs {
			kinds += string(d.Kind) + " " + d.Name + "\n"
		}
		if alike[kinds]++; alike[kinds] <= 2 && len(kept) < whyStats {
			kept = append(kept, n)
		}
	}
	return kept
}

// sortNear puts the nearest first, and of equals the newest.
func sortNear(all []nearKey) {
	slices.SortFunc(all, func(x, y nearKey) int {
		return cmp.Or(cmp.Compare(x.distance, y.distance), y.Modified.Compare(x.Modified), cmp.Compare(x.Key, y.Key))
	})
}

// text says why.
func (w whyAnswer) text() string {
	var said []string
	switch {
	case w.Found && len(w.Differs) == 0:
		said = append(said, "It is there.")
	case w.Found:
		said = append(said, "It is there, made otherwise than you would: "+why.Text(w.Differs)+".")
	case w.Expired != nil:
		said = append(said, "It expired at "+w.Expired.UTC().Format(http.TimeFormat)+"; a PUT stores another.")
	}
	if w.Building != nil {
		by := ""
		if w.Building.Builder != nil {
			by = " by " + *w.Building.Builder
		}
		said = append(said, fmt.Sprintf("It is being built%s, for %s so far.", by, time.Duration(w.Building.Elapsed)*time.Second))
	}
	switch {
	case w.Found:
	case len(w.Nearest) > 0:
		said = append(said, fmt.Sprintf("The nearest that is there is %q: %s.", w.Nearest[0].Key, w.Nearest[0].Text))
	default:
		said = append(said, "Nothing that is there has this name, or one that is spelt much like it: nobody has stored it, it was removed, or it is not within what this credential may see.")
	}
	return strings.Join(said, " ")
}
