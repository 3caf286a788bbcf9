package main

import (
	"bytes"
	"fmt"
	"larder/budget"
	"larder/writepath"
	"math"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// memoryLimit is the least of the machine's memory and the limits of the
// control groups, of version 1 or 2, that the process is in, in bytes.
func memoryLimit() (uint64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("sysinfo: %w", err)
	}
	limit := info.Totalram * uint64(info.Unit)
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return limit, nil //nolint:nilerr // no control groups here
	}
	for line := range strings.Lines(string(groups)) {
		_, group, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(group, ":")
		switch {
		case controllers == "": // version 2
			limit = min(limit, groupLimit("/sys/fs/cgroup", group, "memory.max"))
		case slices.Contains(strings.Split(controllers, ","), "memory"):
			limit = min(limit, groupLimit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
		}
	}
	return limit, nil
}

// groupLimit is the least limit of a control group and those that it is in. In
// a container the root is often the group itself.
func groupLimit(root, group, file string) uint64 {
	limit := uint64(math.MaxUint64)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		if most, err := os.ReadFile(path.Join(root, group, file)); err == nil {
			if n, err := strconv.ParseUint(string(bytes.TrimSpace(most)), 10, 64); err == nil {
				limit = min(limit, n)
			}
		}
		if group == "/" {
			return limit
		}
	}
}

// ballastSize is memory that nobody touches, so that none of it is resident, and
// that the collector takes for live. Beside a small tier it would otherwise run a
// hundred times a second under load.
const ballastSize = 32 << 20

// planMemory divides the memory that the process may use.
func (c *serveCmd) planMemory() error {
	limit, err := memoryLimit()
	if err != nil && c.Memory == 0 {
		return fmt.Errorf("memory limit not known; give --memory: %w", err)
	}
	if err != nil {
		limit = math.MaxInt64 / 2
	}
	c.sizes = budget.Sizes{
		Tier: int64(c.Memory), Limit: int64(min(limit, math.MaxInt64/2)), Chunk: int64(c.ChunkSize),
		Part: writepath.PartSize(int64(c.ChunkSize), int64(c.MaxObjectSize)), Ballast: ballastSize,
		Disk: int64(c.DiskSize),
	}
	c.plan = budget.New(c.sizes)
	c.Memory = byteSize(c.plan.Tier)
	return nil
}

// limitHeap tells the garbage collector how far the heap may grow, and returns a
// ballast to be kept alive. An operator's own GOMEMLIMIT stands.
func (c *serveCmd) limitHeap(log zerolog.Logger) (ballast []byte) {
	if !c.plan.Fits(c.sizes) {
		log.Warn().Int64("memory", c.plan.Tier).Int64("beside", c.plan.Beside()).Int64("limit", c.sizes.Limit).
			Msg("memory limit too small for --memory and --chunk-size: under load the kernel may kill this node; give it more, or less to --memory, or smaller chunks")
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(c.plan.Heap)
	}
	return make([]byte, ballastSize)
}
