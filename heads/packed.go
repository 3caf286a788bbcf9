package heads

import (
	"encoding/hex"
	"maps"
	"math"
	"time"
	"unique"

	"larder/keys"
	"larder/store"
)

// packed is an entry in the fewest bytes, 128: most objects are small, and what is
// known of one should not take as much as the object. What has no usual form, or
// not every head has, is in other.
type packed struct {
	until          int64  // in nanoseconds since the table was made, by the monotonic clock
	hash           uint64 // the key's place on the ring
	size           int64
	by             unique.Handle[by]
	other          *other // nil if there is nothing
	digest         [32]byte
	etag           [16]byte
	write          [writeLen]byte
	modified       uint32 // in seconds since 1970
	used           int32  // last, in ticks since the table was made
	owned, unusual bool   // unusual: version, names and time are in other
	resting        bool   // trusted again once all members are settled
}

// by is what many heads have in common.
type by struct{ contentType, writer string }

// other is what is known of a key beside that.
type other struct {
	Known // without what is packed, unless that is unusual
}

const (
	writeLen = 26 // of a write's name
	// tick is about a fifteenth of a second, so that four years are counted.
	tick = 1 << 26 * time.Nanosecond
	// ended is the end of a lease that is over, whatever the time.
	ended = math.MinInt64
	// textLen is how long version, write's name and digest are together.
	textLen = 2*16 + writeLen + 2*32
)

// pack packs an entry of a key.
func (b base) pack(k keys.Key, e entry) *packed {
	h := e.Head
	p := &packed{
		until: b.since(e.until), used: b.ticks(e.used), hash: k.Hash(), size: h.Size, owned: e.owned,
		by: unique.Make(by{h.ContentType, h.Writer}),
	}
	p.unusual = !p.packText(h)
	rest := e.Known
	rest.Head.Size, rest.Head.ContentType, rest.Head.Writer = 0, "", ""
	if !p.unusual {
		rest.Head.Version, rest.Head.Write, rest.Head.Digest, rest.Head.Modified = "", "", "", time.Time{}
	}
	if !rest.isNothing() {
		p.other = &other{rest}
	}
	return p
}

// isNothing reports whether there is nothing to be said.
func (is Known) isNothing() bool {
	h := is.Head
	return !is.Absent && !is.Archived && is.Expired.IsZero() && is.Ends.IsZero() &&
		h.Version == "" && h.Write == "" && h.Digest == "" && h.Modified.IsZero() &&
		h.Claim == "" && h.Piece == 0 && h.Expires.IsZero() && h.Meta == nil && h.Sum == nil
}

// packText packs what has a usual form, and reports whether it has that.
func (p *packed) packText(h store.Head) bool {
	seconds := h.Modified.Unix()
	if len(h.Write) != writeLen || seconds < 0 || seconds > math.MaxUint32 || h.Modified != time.Unix(seconds, 0).UTC() {
		return false
	}
	p.modified = uint32(seconds)
	copy(p.write[:], h.Write)
	return unhex(p.etag[:], h.Version) && unhex(p.digest[:], h.Digest)
}

// unhex reads lower-case hex of as many bytes as there is room for.
func unhex(to []byte, text string) bool {
	if len(text) != 2*len(to) {
		return false
	}
	for i := range text {
		if 'A' <= text[i] && text[i] <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(to, []byte(text))
	return err == nil
}

// text is what packText packed, as it was.
func (p *packed) text() string {
	b := make([]byte, 0, textLen)
	b = hex.AppendEncode(b, p.etag[:])
	b = append(b, p.write[:]...)
	return string(hex.AppendEncode(b, p.digest[:]))
}

// entries are the heads of a shard.
type entries struct {
	base
	byKey map[[16]byte]*packed // by keys.Key.Digest
	// texts are those of a few heads that were read lately, so that what is read all
	// the time is not written out again and again.
	texts [8]struct {
		of   *packed
		text string
	}
}

// base is the moment that packed times count from.
type base struct{ time.Time }

func (b base) since(t time.Time) int64 {
	if t.IsZero() {
		return ended
	}
	return int64(t.Sub(b.Time))
}

func (b base) ticks(t time.Time) int32 { return int32(t.Sub(b.Time) / tick) }

func (b base) at(since int64) time.Time {
	if since == ended {
		return time.Time{}
	}
	return b.Add(time.Duration(since))
}

func newEntries(b base) entries { return entries{base: b, byKey: map[[16]byte]*packed{}} }

// get returns what there is of k as it is kept, or nil.
func (s *entries) get(k keys.Key) *packed { return s.byKey[k.Digest()] }

// set keeps an entry.
func (s *entries) set(k keys.Key, e entry) { s.byKey[k.Digest()] = s.pack(k, e) }

// remove forgets an entry.
func (s *entries) remove(k keys.Key) { delete(s.byKey, k.Digest()) }

// clear forgets all entries.
func (s *entries) clear() { *s = newEntries(s.base) }

// shrink makes a map of the size that there are entries for: maps do not shrink.
func (s *entries) shrink() {
	small := make(map[[16]byte]*packed, len(s.byKey))
	maps.Copy(small, s.byKey)
	s.byKey = small
}

// forget ends the lease of an entry.
func (p *packed) forget() { p.until, p.owned, p.resting = ended, false, false }

// unpack is the entry that was packed, but for when it was used.
func (s *entries) unpack(p *packed) entry {
	e := entry{until: s.at(p.until), owned: p.owned}
	if p.other != nil {
		e.Known = p.other.Known
	}
	h, who := &e.Head, p.by.Value()
	h.Size, h.ContentType, h.Writer = p.size, who.contentType, who.writer
	if p.unusual {
		return e
	}
	recent := &s.texts[p.hash>>32%uint64(len(s.texts))]
	if recent.of != p {
		recent.of, recent.text = p, p.text()
	}
	h.Version, h.Write, h.Digest = recent.text[:32], recent.text[32:32+writeLen], recent.text[32+writeLen:]
	h.Modified = time.Unix(int64(p.modified), 0).UTC()
	return e
}
