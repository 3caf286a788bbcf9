package budget

import "cmp"

// Plan says how many bytes are for what.
//
//	          of the tier  at least
//	Heads     1/16                        what is known of keys, a quarter of a kilobyte each
//	Digests   1/256                       lists of the digests of large objects
//	Resident  1/8          4 chunks       chunks of the tier on their way to callers: the
//	                                      tier may let go of them meanwhile
//	Streams   1/16         8 small chunks other chunks on their way to callers
//	Serving   1/32         4 small chunks chunks on their way to peers
//	Loads     1/32         4 small chunks chunks on their way from the store
//	Bodies    1/32         2 chunks       bodies of writes, of one chunk at most, as they arrive
//	Forwarded 1/32         2 chunks       the same, as other nodes forward them
//	Parts     1/16         2 parts        parts of large objects on their way to the store
//	Kept      1/32         64 MiB         written parts that wait to be put into the tier
//	Index     1/16         1 MiB          where chunks are on the disk, if there is one
//	Behind    1/32         64 MiB         chunks that wait to be written to it
//
// A small chunk has 8 MiB at most. Together that is not quite half of the tier, with a
// disk little more, or what the least of each comes to beside a small one. Where the memory
// limit leaves less, each gives way in proportion, down to two chunks or two parts.
type Plan struct {
	Tier int64 // the memory tier: own chunks and hot copies

	Heads, Digests, Resident, Streams, Serving, Loads, Bodies, Forwarded, Parts, Kept, Index, Behind int64

	// Heap is how far the heap may grow: what GOMEMLIMIT is set to.
	Heap int64
	// Limit is what the process may use, as the plan was told.
	Limit int64
}

// Sizes are what a Plan is made of, in bytes.
type Sizes struct {
	// Tier is --memory; 0 takes Share of the limit, or less where that would leave too
	// little beside it.
	Tier int64
	// Share of the limit that the tier has, above 0 and at most 1; 0 is half of it.
	Share float64
	// Limit is the memory that the process may use.
	Limit int64
	// Chunk is --chunk-size, and Part what large objects are cut into on their
	// way to the store.
	Chunk, Part int64
	// Disk is --disk-size; 0 is no disk.
	Disk int64
	// Ballast is counted as heap, and takes no memory.
	Ballast int64
}

const (
	// base is what the process takes before it serves anything: code, stacks,
	// connections.
	base = 32 << 20
	// outside is what the heap's limit leaves of the process's at least: memory
	// that the heap's limit does not count.
	outside = 48 << 20
	// smallChunk bounds what counts as a chunk in the least of a share.
	smallChunk = 8 << 20
	// leastIndex is what the index of a disk has beside a small tier.
	leastIndex = 1 << 20
)

// share is one line of the plan.
type share struct {
	of          *int64
	parts       int64 // of the tier, in 256ths
	least, tiny int64 // bytes beside a small tier; and where memory is scarce
}

func (p *Plan) shares(s Sizes) []share {
	c, small := s.Chunk, min(s.Chunk, smallChunk)
	shares := []share{
		{&p.Heads, 16, 0, 0},
		{&p.Digests, 1, 0, 0},
		{&p.Resident, 32, 4 * c, 2 * c},
		{&p.Streams, 16, max(8*small, 2*c), 2 * c},
		{&p.Serving, 8, max(4*small, 2*c), 2 * c},
		{&p.Loads, 8, max(4*small, 2*c), 2 * c},
		{&p.Bodies, 8, 2 * c, 2 * c},
		{&p.Forwarded, 8, 2 * c, 2 * c},
		{&p.Parts, 16, 2 * s.Part, 2 * s.Part},
		{&p.Kept, 8, min(8*smallChunk, p.Tier/4), 0},
	}
	if s.Disk > 0 {
		shares = append(shares, share{&p.Index, 16, leastIndex, leastIndex}, share{&p.Behind, 8, min(8*smallChunk, p.Tier/4), 2 * c})
	}
	return shares
}

// New plans the memory of a node. If the limit is too small for the chunks even
// so, the plan is the least that works, and Fits reports that.
func New(s Sizes) Plan {
	p := Plan{Limit: s.Limit}
	room := s.Limit - max(s.Limit/10, outside) - base
	switch {
	case s.Tier > 0:
		p.Tier = s.Tier
	default:
		share := int64(cmp.Or(s.Share, 0.5) * float64(s.Limit))
		p.Tier = max(min(share, room-p.tiny(s)), 4*s.Chunk)
	}
	wanted := p.fill(s, 1, 1)
	if scarce := room - p.Tier; wanted > scarce {
		if tiny := p.tiny(s); scarce > tiny {
			p.fill(s, scarce-tiny, wanted-tiny)
		} else {
			p.fill(s, 0, 1)
		}
	}
	p.Heap = p.Tier + p.Beside() + base + s.Ballast
	return p
}

// fill gives each share its tiny part, and of what it wants beyond that n parts
// of d. It returns the sum.
func (p *Plan) fill(s Sizes, n, d int64) (sum int64) {
	for _, sh := range p.shares(s) {
		wants := max(p.Tier/256*sh.parts, sh.least)
		tiny := min(sh.tiny, wants)
		*sh.of = tiny + int64(float64(wants-tiny)*float64(n)/float64(d))
		sum += *sh.of
	}
	return sum
}

// tiny is the sum of what each share has where memory is scarce.
func (p *Plan) tiny(s Sizes) (sum int64) {
	for _, sh := range p.shares(s) {
		sum += sh.tiny
	}
	return sum
}

// Beside is what the plan has beside the tier.
func (p Plan) Beside() int64 {
	return p.Heads + p.Digests + p.Resident + p.Streams + p.Serving + p.Loads + p.Bodies + p.Forwarded + p.Parts + p.Kept + p.Index + p.Behind
}

// Fits reports whether the plan is within a memory limit.
func (p Plan) Fits(s Sizes) bool {
	return p.Tier+p.Beside()+base+max(s.Limit/10, outside) <= s.Limit
}
