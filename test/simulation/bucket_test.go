package simulation

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"larder/store"
)

// bucket is an S3 in memory. What it does, it does at one moment; the way there
// and back is the door's.
type bucket struct {
	mu      sync.Mutex // guards all below
	objects map[string]object
	uploads map[string]*upload
	values  map[string]string // of all objects that ever were, by the names of their writes
	troubled
}

type object struct {
	head  store.Head
	bytes []byte
}

type upload struct {
	store.Upload
	parts map[int][]byte
}

// troubled is what is wrong with the store now.
type troubled struct {
	gone   bool    // it refuses everything
	share  float64 // of the requests that the rest happens to
	slow   time.Duration
	broken bool // the request is lost, and the connection breaks
	lost   bool // the answer is
	late   bool // the connection breaks, and the request is done some time later
	busy   bool // it says that it does nothing now
}

func newBucket() *bucket {
	return &bucket{objects: map[string]object{}, uploads: map[string]*upload{}, values: map[string]string{}}
}

func (b *bucket) trouble(t troubled) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.troubled = t
}

// get is the object of a name.
func (b *bucket) get(name string) (object, error) {
	o, ok := b.objects[name]
	if !ok {
		return object{}, store.ErrNotFound
	}
	return o, nil
}

// hold reports whether the conditions of a write are fulfilled.
func (b *bucket) hold(name string, c store.Conditions) error {
	o, there := b.objects[name]
	if c.IfAbsent && there || c.IfMatch != "" && (!there || o.head.Version != c.IfMatch) {
		return store.ErrPrecondition
	}
	return nil
}

func (b *bucket) put(name string, w store.Write) (store.Head, error) {
	if err := b.hold(name, w.Conditions); err != nil {
		return store.Head{}, err
	}
	sum := sha256.Sum256(w.Body)
	h := filledIn(w.Head)
	h.Size, h.Version = int64(len(w.Body)), etag(w.Body)
	switch digest := hex.EncodeToString(sum[:]); h.Digest {
	case digest:
	case "":
		h.Digest = digest
	default:
		return store.Head{}, fmt.Errorf("%w: not the bytes of the digest", store.ErrUnexpected)
	}
	b.keep(name, h, slices.Clone(w.Body))
	return h, nil
}

func (b *bucket) keep(name string, h store.Head, all []byte) {
	b.objects[name] = object{head: h, bytes: all}
	b.values[h.Write] = h.Meta["value"]
}

// valueOf is the value that a write has put; empty for no write.
func (b *bucket) valueOf(write string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.values[write]
}

// filledIn is the head of a write as far as it does not depend on the bytes.
func filledIn(h store.Head) store.Head {
	if !store.IsWriteName(h.Write) {
		h.Write = strings.ToLower(rand.Text())
	}
	if h.ContentType == "" {
		h.ContentType = "application/octet-stream"
	}
	if h.Modified.IsZero() {
		h.Modified = time.Now()
	}
	h.Modified = h.Modified.UTC().Truncate(time.Second)
	return h
}

func etag(b []byte) string {
	sum := md5.Sum(b) // as S3 does
	return hex.EncodeToString(sum[:])
}

// list is a page of a listing.
func (b *bucket) list(prefix, after string, limit int) (entries []store.Entry, more bool) {
	for name, o := range b.objects {
		if strings.HasPrefix(name, prefix) && name > after {
			entries = append(entries, store.Entry{Name: name, Version: o.head.Version, Size: o.head.Size, Modified: o.head.Modified})
		}
	}
	slices.SortFunc(entries, func(a, b store.Entry) int { return strings.Compare(a.Name, b.Name) })
	if len(entries) > limit {
		return entries[:limit], true
	}
	return entries, false
}

func (b *bucket) begin(name string, h store.Head) store.Upload {
	u := store.Upload{Name: name, ID: rand.Text(), Began: time.Now(), Head: filledIn(h)}
	b.uploads[u.ID] = &upload{Upload: u, parts: map[int][]byte{}}
	return u
}

func (b *bucket) complete(u store.Upload, parts []store.Part, c store.Conditions) (store.Head, error) {
	up := b.uploads[u.ID]
	if up == nil {
		return store.Head{}, store.ErrNotFound
	}
	if err := b.hold(u.Name, c); err != nil {
		return store.Head{}, err
	}
	var all []byte
	for _, p := range parts {
		all = append(all, up.parts[p.Number]...)
	}
	h := up.Head
	h.Size, h.Version = int64(len(all)), fmt.Sprintf("%s-%d", etag(all), len(parts))
	b.keep(u.Name, h, all)
	delete(b.uploads, u.ID)
	return h, nil
}

// silence is the wait for an answer that does not come.
const silence = 2 * time.Second

// A door is the way of one node to the bucket.
type door struct {
	bucket *bucket
	host   *host
	late   func(asked time.Time) // hears that a write was done later than its answer
	chance chance
}

// draw is chance, for one request.
func (d *door) draw(asked time.Time) (way, back, late time.Duration, share float64) {
	const least, most = 2 * time.Millisecond, 10 * time.Millisecond
	return d.chance.between(asked, 0, least, most), d.chance.between(asked, 1, least, most),
		d.chance.between(asked, 2, 100*time.Millisecond, 4*time.Second), d.chance.share(asked, 3)
}

// request has the bucket do something at one moment, on the way there and back
// of a node whose store may be in trouble.
func (d *door) request(ctx context.Context, writes bool, do func() error) error {
	asked := time.Now()
	way, back, after, share := d.draw(asked)
	d.bucket.mu.Lock()
	t := d.bucket.troubled
	d.bucket.mu.Unlock()
	if share >= t.share {
		t = troubled{gone: t.gone}
	}
	refused := fmt.Errorf("%w: %w: no connection", store.ErrUnavailable, store.ErrNotWritten)
	unknown := fmt.Errorf("%w: no answer", store.ErrUnavailable)
	switch {
	case !sleep(ctx, way+t.slow/2), !d.host.runs(ctx):
		return unknown // it was never sent
	case t.gone, t.busy:
		return refused
	case t.broken:
		return unknown
	case t.late && writes:
		go d.later(after, asked, do)
		return unknown
	}
	d.bucket.mu.Lock()
	err := do()
	d.bucket.mu.Unlock()
	if t.lost {
		sleep(ctx, silence)
		return unknown
	}
	if !sleep(ctx, back+t.slow/2) || !d.host.runs(ctx) {
		return unknown
	}
	return err
}

// later does a write some time after its answer, also while its node stands still, but not if
// that is gone by then.
func (d *door) later(after time.Duration, asked time.Time, do func() error) {
	time.Sleep(after)
	if d.host.isGone() {
		return
	}
	d.bucket.mu.Lock()
	defer d.bucket.mu.Unlock()
	_ = do() // nobody hears of it
	d.late(asked)
}
