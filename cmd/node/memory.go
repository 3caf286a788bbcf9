package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/rs/zerolog"

	"larder/budget"
	"larder/writepath"
)

const (
	// ballastSize is memory that nobody touches, so that none of it is resident, and
	// that the collector takes for live. Beside a small tier it would otherwise run a
	// hundred times a second under load.
	ballastSize = 32 << 20
	// followEvery is how often a node looks whether its memory limit has changed.
	followEvery = 5 * time.Second
	// noLimit is a limit that is not known.
	noLimit = math.MaxInt64 / 2
	// heapLimit is the variable by which an operator limits the heap.
	heapLimit = "GOMEMLIMIT"
)

// memorySize is a number of bytes, or a share of the memory limit; neither is the
// node's own choice.
type memorySize struct {
	bytes byteSize
	share float64
}

// UnmarshalText reads 4GiB or 50%.
func (m *memorySize) UnmarshalText(text []byte) error {
	percent, isShare := strings.CutSuffix(string(text), "%")
	if !isShare {
		if err := m.bytes.UnmarshalText(text); err != nil {
			return fmt.Errorf("%q is neither a size nor a share; write it like 4GiB or 50%%", text)
		}
		return nil
	}
	n, err := strconv.ParseFloat(percent, 64)
	if err != nil || !(n > 0 && n < 100) {
		return fmt.Errorf("%q is not a share of the memory limit; write it like 50%%, above 0%% and below 100%%", text)
	}
	m.share = n / 100
	return nil
}

// memoryLimit is what the process may use, in bytes: the least of the machine's
// memory, the limits of the control groups that it is in, and GOMEMLIMIT if an
// operator gave that. An error says which of these is not known.
func memoryLimit() (int64, error) {
	limit, err := uint64(noLimit), error(nil)
	for _, source := range []memlimit.Provider{memlimit.FromSystem, memlimit.FromCgroup, givenHeap} {
		n, why := source()
		switch {
		case why == nil:
			limit = min(limit, n)
		case errors.Is(why, memlimit.ErrNoLimit), errors.Is(why, memlimit.ErrNoCgroup),
			errors.Is(why, memlimit.ErrCgroupsNotSupported), errors.Is(why, fs.ErrNotExist):
		default:
			err = errors.Join(err, why)
		}
	}
	return int64(limit), err
}

// givenHeap is the limit that an operator gave the heap.
func givenHeap() (uint64, error) {
	if os.Getenv(heapLimit) == "" {
		return 0, memlimit.ErrNoLimit
	}
	return uint64(debug.SetMemoryLimit(-1)), nil
}

// memory divides the memory that the process may use, and divides it anew when that
// changes.
type memory struct {
	limit func() (int64, error)
	sizes budget.Sizes // what plan is made of; run's alone
	plan  atomic.Pointer[budget.Plan]
	// ballast is kept alive; see ballastSize.
	ballast []byte
	unknown string // why the limit was not known last
	log     zerolog.Logger
}

// planMemory divides the memory.
func (c *serveCmd) planMemory(limit func() (int64, error)) error {
	c.memory = &memory{limit: limit, sizes: budget.Sizes{
		Tier: int64(c.Memory.bytes), Share: c.Memory.share, Chunk: int64(c.ChunkSize),
		Part: writepath.PartSize(int64(c.ChunkSize), int64(c.MaxObjectSize)), Ballast: ballastSize,
		Disk: int64(c.DiskSize),
	}}
	most, err := limit()
	if most == noLimit && c.Memory.bytes == 0 {
		return errors.New("memory limit not known; give --memory a size, for example 4GiB")
	}
	if err != nil {
		c.memory.unknown = err.Error()
	}
	c.memory.sizes.Limit = most
	plan := budget.New(c.memory.sizes)
	c.memory.plan.Store(&plan)
	return nil
}

// tier is how many bytes the memory tier has now.
func (m *memory) tier() int64 { return m.plan.Load().Tier }

// most is how many bytes the process may use now, as far as that is known.
func (m *memory) most() int64 { return m.plan.Load().Limit }

// begin limits the heap, and says what is odd about the memory.
func (m *memory) begin(log zerolog.Logger) {
	m.log = log.With().Str("component", "memory").Logger()
	m.ballast = make([]byte, ballastSize)
	if m.unknown != "" {
		m.log.Warn().Str("err", m.unknown).Int64("limit", m.sizes.Limit).Msg("not every memory limit is known, going by the others")
	}
	m.limitHeap()
}

// limitHeap tells the garbage collector how far the heap may grow. An operator's own
// GOMEMLIMIT stands.
func (m *memory) limitHeap() {
	plan := m.plan.Load()
	if !plan.Fits(m.sizes) {
		m.log.Warn().Int64("memory", plan.Tier).Int64("beside", plan.Beside()).Int64("limit", m.sizes.Limit).
			Msg("memory limit too small for --memory and --chunk-size: under load the kernel may kill this node; give it more, or less to --memory, or smaller chunks")
	}
	if os.Getenv(heapLimit) == "" {
		debug.SetMemoryLimit(plan.Heap)
	}
}

// run follows the limit until ctx ends: resize hears of each plan that is made.
func (m *memory) run(ctx context.Context, resize func(budget.Plan)) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			m.follow(resize)
		}
	}
}

// follow looks once whether the limit has changed. While it is not known the last one
// stands.
func (m *memory) follow(resize func(budget.Plan)) {
	limit, err := m.limit()
	if err != nil {
		if m.unknown != err.Error() {
			m.log.Warn().Err(err).Int64("limit", m.sizes.Limit).Msg("memory limit not known, going by the last one")
			m.unknown = err.Error()
		}
		return
	}
	m.unknown = ""
	if limit == m.sizes.Limit {
		return
	}
	before := m.plan.Load()
	m.sizes.Limit = limit
	plan := budget.New(m.sizes)
	m.plan.Store(&plan)
	resize(plan)
	m.limitHeap()
	m.log.Info().Int64("limit", limit).Int64("memory", plan.Tier).Int64("heap", plan.Heap).Msg("memory limit has changed, following it")
	if plan.Heap < before.Heap {
		debug.FreeOSMemory() // before somebody else needs it
	}
}
