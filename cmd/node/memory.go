package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

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

// limitHeap tells the garbage collector how far the heap may grow: the memory
// tier and a quarter more, or 256 MiB if that is more, for requests and for what
// surrounds the tier. An operator's own GOMEMLIMIT stands.
//
// It returns a ballast, to be kept alive: memory that nobody touches, so that
// none of it is resident, and that the collector takes for live. Beside a small
// tier it would otherwise run a hundred times a second under load.
func limitHeap(tier int64) (ballast []byte) {
	const least = 256 << 20
	ballast = make([]byte, 32<<20)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(tier + max(tier/4, least) + int64(len(ballast)))
	}
	return ballast
}
