// Command runtime writes an overlay of Go's own runtime under which a simulated cluster
// does the same each time: to goroutines of a bubble of testing/synctest, chance (of
// select, of map iteration, of timers that are due at once, of math/rand/v2) is one
// stream that begins the same in every process, and no goroutine is stopped because it
// ran for long by the machine's clock. It prints the file that -overlay takes.
//
// It changes Go 1.26's runtime, and fails if that has moved on; then build without.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"larder/test/overlay"
)

func changes() []overlay.Change {
	const rand, proc = "runtime/rand.go", "runtime/proc.go"
	return []overlay.Change{
		{rand, "var readRandomFailed bool\n", "var readRandomFailed bool\n\nvar bubbleRand chacha8rand.State\nvar bubbleCheap uint64\n"},
		// Hashes, and where the heap begins, are the same in every process.
		{rand, "	if len(startupRand) >= 16 &&\n", "	if startupRand = nil; len(startupRand) >= 16 &&\n"},
		{rand, "		if readRandom(seed[:]) != len(seed) || allZero(seed[:]) {", "		if seed[0] = 1; false {"},
		{rand, "	globalRand.init = true\n", "	globalRand.init = true\n	bubbleRand.Init([32]byte{})\n"},
		{rand, "	c := &mp.chacha8\n", "	c := &mp.chacha8\n	if mp.curg != nil && mp.curg.bubble != nil {\n		c = &bubbleRand\n	}\n"},
		{
			rand, "func cheaprand() uint32 {\n	mp := getg().m\n",
			"func cheaprand() uint32 {\n	mp := getg().m\n	if mp.curg != nil && mp.curg.bubble != nil {\n" +
				"		bubbleCheap += 0xa0761d6478bd642f\n		hi, lo := math.Mul64(bubbleCheap, bubbleCheap^0xe7037ed1a0b428db)\n		return uint32(hi ^ lo)\n	}\n",
		},
		{proc, "const forcePreemptNS = 10 * 1000 * 1000 // 10ms", "const forcePreemptNS = 1 << 60"},
		// What follows only saves time: goroutines are many and short, and most need a stack of
		// some size, which would grow step by step; memory that is never freed comes in large pages.
		{"runtime/stack.go", "var startingStackSize uint32 = fixedStack\n", "var startingStackSize uint32 = 16 << 10\n"},
		{
			"runtime/mheap.go", "	sysMap(unsafe.Pointer(v), nBase-v, &gcController.heapReleased, \"heap\")\n",
			"	sysMap(unsafe.Pointer(v), nBase-v, &gcController.heapReleased, \"heap\")\n	sysHugePage(unsafe.Pointer(v), nBase-v)\n",
		},
	}
}

func run(dir string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	list, err := overlay.Write(dir, filepath.Join(strings.TrimSpace(string(root)), "src"), changes())
	if err != nil {
		return err
	}
	fmt.Println(list)
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "give the directory to write into")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
