package budget

import "testing"

const mib = 1 << 20

func sizes(tier, limit, chunk int64) Sizes {
	return Sizes{Tier: tier, Limit: limit, Chunk: chunk, Part: max(chunk, 5*mib), Ballast: 32 * mib}
}

// In every container that can hold the chunks at all, what the plan lets the
// node take stays below the container's limit.
func TestPlanFitsItsLimit(t *testing.T) {
	for _, limit := range []int64{256, 300, 384, 512, 576, 768, 1024, 2048, 4096, 65536} {
		p := New(sizes(0, limit*mib, 8*mib))
		if total := p.Tier + p.Beside() + base + outside; total > limit*mib {
			t.Errorf("limit %d MiB: the plan takes %d MiB", limit, total/mib)
		}
		if !p.Fits(sizes(0, limit*mib, 8*mib)) {
			t.Errorf("limit %d MiB: the plan does not fit", limit)
		}
		if p.Tier < 4*8*mib {
			t.Errorf("limit %d MiB: a tier of %d MiB", limit, p.Tier/mib)
		}
	}
}

func TestDefaultTierIsHalfTheLimit(t *testing.T) {
	for _, limit := range []int64{1024, 4096, 65536} {
		if p := New(sizes(0, limit*mib, 8*mib)); p.Tier != limit*mib/2 {
			t.Errorf("limit %d MiB: a tier of %d MiB", limit, p.Tier/mib)
		}
	}
}

// A share that leaves too little beside it is less, as the default is; one that does not
// is what it says.
func TestAShareFitsItsLimit(t *testing.T) {
	for _, c := range []struct {
		limit int64
		share float64
		want  int64 // of the limit, in percent at most
	}{{256, 0.8, 25}, {256, 0.6, 25}, {256, 0.2, 20}, {512, 0.8, 62}, {1024, 0.8, 76}, {4096, 0.8, 80}, {4096, 0.6, 60}} {
		s := sizes(0, c.limit*mib, 8*mib)
		s.Share = c.share
		p := New(s)
		if !p.Fits(s) {
			t.Errorf("%.0f%% of %d MiB: a tier of %d MiB and %d MiB beside it do not fit", 100*c.share, c.limit, p.Tier/mib, p.Beside()/mib)
		}
		if percent := 100 * p.Tier / (c.limit * mib); percent < c.want-1 || percent > c.want {
			t.Errorf("%.0f%% of %d MiB: a tier of %d %%, want %d", 100*c.share, c.limit, percent, c.want)
		}
	}
}

func TestScarceMemoryIsSaidToBe(t *testing.T) {
	if s := sizes(0, 128*mib, 8*mib); New(s).Fits(s) {
		t.Error("chunks of 8 MiB do not fit into 128 MiB")
	}
	if s := sizes(400*mib, 512*mib, 8*mib); New(s).Fits(s) {
		t.Error("a tier of 400 MiB leaves too little of 512 MiB")
	}
}

func TestADiskHasItsShares(t *testing.T) {
	with := sizes(32<<30, 128<<30, 8*mib)
	with.Disk = 1 << 40
	p, without := New(with), New(sizes(32<<30, 128<<30, 8*mib))
	if p.Index != p.Tier/16 || p.Behind != p.Tier/32 || without.Index+without.Behind != 0 {
		t.Errorf("with a disk %+v, without %+v", p, without)
	}
	if p.Beside() != without.Beside()+p.Index+p.Behind || p.Heap != without.Heap+p.Index+p.Behind {
		t.Errorf("the shares of the disk are not in the sum: %+v", p)
	}
	small := sizes(0, 300*mib, 8*mib)
	small.Disk = 1 << 30
	if p := New(small); !p.Fits(small) || p.Index < mib || p.Behind < 16*mib {
		t.Errorf("beside a small tier: %+v", p)
	}
}

// README says which part of --memory requests hold beside the tier.
func TestSharesOfALargeTier(t *testing.T) {
	p := New(sizes(32<<30, 128<<30, 8*mib))
	if got, want := p.Beside(), p.Tier/256*121; got != want {
		t.Errorf("beside a large tier there are %d bytes, want 121/256 of it, %d", got, want)
	}
	if p.Heap != p.Tier+p.Beside()+base+32*mib {
		t.Errorf("the heap's limit is %d", p.Heap)
	}
}
