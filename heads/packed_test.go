package heads

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"larder/keys"
	"larder/store"
)

// usual is an entry as most are.
func usual(n int) entry {
	sum := sha256.Sum256([]byte(fmt.Sprint(n)))
	return entry{Known: Known{Head: store.Head{
		Version: hex.EncodeToString(sum[:16]), Write: store.NewWriteName(), Digest: hex.EncodeToString(sum[:]), Size: int64(n),
		ContentType: "text/plain", Writer: "ada", Modified: time.Unix(1_700_000_000+int64(n), 0).UTC(),
	}}}
}

// What is packed comes back as it was, of whatever form it is.
func TestPackedComesBack(t *testing.T) {
	now := time.Now()
	s := newEntries(base{now})
	r := rand.New(rand.NewPCG(1, 2))
	text := func(usual string) string {
		return []string{usual, usual, "", "x", strings.ToUpper(usual), usual + "-3", strings.Repeat("é", 13)}[r.IntN(7)]
	}
	moment := func() time.Time {
		return []time.Time{{}, now.Add(time.Duration(r.Int64N(int64(time.Hour)))), now.Add(-time.Hour)}[r.IntN(3)]
	}
	kept := map[keys.Key]entry{}
	for n := range 2000 {
		k := keys.Key{Org: "o", Service: keys.Objects, Name: fmt.Sprint(r.IntN(200))}
		e := usual(n)
		e.until, e.used, e.owned = moment(), moment(), r.IntN(2) == 0
		if r.IntN(2) == 0 {
			h := &e.Head
			h.Version, h.Write, h.Digest, h.Claim, h.Writer = text(h.Version), text(h.Write), text(h.Digest), text(""), text(h.Writer)
			h.Modified = []time.Time{{}, h.Modified, h.Modified.Add(time.Millisecond), h.Modified.In(time.FixedZone("", 3600)), time.Unix(-1, 0).UTC()}[r.IntN(5)]
			h.Meta = []map[string]string{nil, {}, {"python": "3.14"}}[r.IntN(3)]
			h.Expires, e.Ends, e.Expired, h.Piece = moment(), moment(), moment(), r.Int64N(2)
			e.Absent, e.Archived = r.IntN(2) == 0, r.IntN(2) == 0
		}
		kept[k] = e
		s.set(k, e)
		for other, want := range kept {
			got := s.unpack(s.get(other))
			if !got.until.Equal(want.until) || got.owned != want.owned || !reflect.DeepEqual(got.Known, want.Known) {
				t.Fatalf("%v:\n%+v, want\n%+v", other, got, want)
			}
			if r.IntN(4) == 0 { // maps are in no order
				break
			}
		}
	}
}

// A usual head takes 128 bytes and no more, and one that is read all the time is not
// written out each time.
func TestPackedIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(packed{}); n > 128 {
		t.Errorf("%d bytes", n)
	}
	table := New(Config{Lease: time.Hour, Revalidate: time.Hour}, &node{id: "a"})
	k := keys.Key{Org: "o", Service: keys.Objects, Name: "n"}
	s := table.of(k)
	e := usual(1)
	e.until = time.Now().Add(time.Minute)
	s.put(k, e)
	if p := s.entries.get(k); p.other != nil || p.unusual {
		t.Errorf("%+v is not as most are", p)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, live, _ := table.Get(k); !live {
			t.Error("it is not live")
		}
	}); n > 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}

// A table that shrinks keeps as many heads as there is memory for, and one that has
// retired stays empty.
func TestHeadsFollowTheirMemory(t *testing.T) {
	const large = 16 << 20
	table := New(Config{Memory: large}, &node{id: "a"})
	fill := func() {
		for i := range headsPerShard(large) * shards {
			k := keys.Key{Org: "o", Service: keys.Objects, Name: fmt.Sprint(i)}
			s := table.of(k)
			s.mu.Lock()
			s.put(k, entry{until: time.Now().Add(time.Hour)})
			s.mu.Unlock()
		}
	}
	fill()
	before := table.Stats().Live
	table.Resize(0)
	if n := table.Stats().Live; n != int64(headsPerShard(0)*shards) || n >= before {
		t.Errorf("%d heads of %d, where %d are allowed", n, before, headsPerShard(0)*shards)
	}
	table.Resize(large)
	fill()
	if n := table.Stats().Live; n < before*9/10 {
		t.Errorf("%d heads, %d before", n, before)
	}
	if err := table.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	table.Resize(large)
	fill()
	if n := table.Stats().Live; n != 0 {
		t.Errorf("%d heads, and the node has retired", n)
	}
}
