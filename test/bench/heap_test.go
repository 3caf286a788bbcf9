package bench

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// heapRow is how far a node's heap goes beyond its budget when its memory is
// full and 200 transfers of 1 KiB to the largest are under way at once, half of
// them PUTs and half GETs of what was put before.
func heapRow(b *testing.B, s *bench) {
	const memory, transfers = 1 << 30, 200
	largest := int64(256 << 20)
	if s.report.Short {
		largest = 32 << 20
	}
	node := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{"--memory", fmt.Sprint(memory)}}).Nodes[0]
	fill(b, node.HTTPAddr, memory/(8<<20)+8, 8<<20)
	m := mixed{node: node, blob: body(largest), sizes: sizes(transfers/2, largest)}
	for i := range 4 { // something to read
		if err := m.put(m.read(i), "read"); err != nil {
			b.Fatal(err)
		}
	}
	stop, peak := make(chan struct{}), make(chan float64)
	go func() { peak <- peakHeap(b, node, stop) }()
	err := inParallel(transfers, transfers, func(i int) error {
		if i%2 == 0 {
			return m.put(i/2, "write")
		}
		return m.get(m.read(i / 2))
	})
	close(stop)
	most := <-peak
	if err != nil {
		b.Fatal(err)
	}
	s.add(report.Measured("Heap beyond --memory under load", fmt.Sprintf("--memory 1GiB, 200 transfers of 1 KiB to %d MiB", largest>>20),
		"of --memory", most/memory-1).Judged(atMost(0.25)).
		Noted(fmt.Sprintf("garbage included; resident at most %s; %d answered 503", resident(b, node.Pid()), m.busy.Load())))
}

// peakHeap is the most bytes of heap objects, garbage included, that a node had
// at one of many looks.
func peakHeap(b *testing.B, n *testcluster.Node, stop <-chan struct{}) (most float64) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := n.Metric("go_memstats_heap_alloc_bytes", nil)
		if err != nil {
			b.Error(err)
			return 0
		}
		most = max(most, v)
		select {
		case <-stop:
			return most
		case <-tick.C:
		}
	}
}

// sizes are n lengths, spread evenly by their logarithm from 1 KiB to largest.
func sizes(n int, largest int64) []int64 {
	all := make([]int64, n)
	for i := range all {
		doublings := float64(i) / float64(n-1) * math.Log2(float64(largest)/1024)
		all[i] = int64(math.Round(1024 * math.Exp2(doublings)))
	}
	return all
}

// mixed are transfers of objects of many sizes.
type mixed struct {
	node  *testcluster.Node
	blob  []byte
	sizes []int64
	busy  atomic.Int64 // answers of 503
}

// read is the object that the i-th GET is for: one of four.
func (m *mixed) read(i int) int { return len(m.sizes) - 1 - i%4*len(m.sizes)/4 }

func (m *mixed) url(i int, kind string) string {
	return fmt.Sprint(m.node.URL(), "/v1/objects/", kind, "-", i)
}

func (m *mixed) put(i int, kind string) error {
	req, err := http.NewRequest(http.MethodPut, m.url(i, kind), bytes.NewReader(m.blob[:m.sizes[i]]))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return m.judge(resp, http.StatusOK, http.StatusCreated)
}

func (m *mixed) get(i int) error {
	resp, err := http.Get(m.url(i, "read"))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := m.judge(resp, http.StatusOK); err != nil || resp.StatusCode != http.StatusOK {
		return err
	}
	left := m.blob[:m.sizes[i]]
	piece := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(piece)
		if n > len(left) || !bytes.Equal(piece[:n], left[:n]) {
			return fmt.Errorf("get %s: other bytes", m.url(i, "read"))
		}
		left = left[n:]
		if err == io.EOF && len(left) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("get %s: %d bytes missing: %w", m.url(i, "read"), len(left), err)
		}
	}
}

// judge counts a refusal for want of memory, and takes anything else that is
// not good as an error.
func (m *mixed) judge(resp *http.Response, good ...int) error {
	if resp.StatusCode == http.StatusServiceUnavailable {
		m.busy.Add(1)
		return nil
	}
	if !slices.Contains(good, resp.StatusCode) {
		return fmt.Errorf("%s %s: %s", resp.Request.Method, resp.Request.URL, resp.Status)
	}
	return nil
}

// resident is the most memory that a process has had resident.
func resident(b *testing.B, pid int) string {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(peak, "\n")
	return strings.TrimSpace(peak)
}

func TestSizes(t *testing.T) {
	got := sizes(11, 1<<20)
	for i, n := range got {
		if n != 1<<(10+i) {
			t.Errorf("sizes %v", got)
			break
		}
	}
}
