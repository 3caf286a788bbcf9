package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memoryLimit is the least of the machine's memory and the limits of the
// control groups (version 2) that the process is in, in bytes.
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
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for ; ok && group != "."; group = path.Dir(group) {
			if max, err := os.ReadFile(path.Join("/sys/fs/cgroup", group, "memory.max")); err == nil {
				if n, err := strconv.ParseUint(string(bytes.TrimSpace(max)), 10, 64); err == nil {
					limit = min(limit, n)
				}
			}
			if group == "/" {
				break
			}
		}
	}
	return limit, nil
}

// limitHeap tells the garbage collector how far the heap may grow: the memory
// tier, a quarter more for what surrounds it, and what requests need. An
// operator's own GOMEMLIMIT stands.
func limitHeap(tier int64) {
	const requests = 256 << 20
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(tier + tier/4 + requests)
	}
}
