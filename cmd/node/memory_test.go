package main

import (
	"errors"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"larder/budget"
)

func TestMemoryIsASizeOrAShare(t *testing.T) {
	for text, want := range map[string]memorySize{
		"4GiB": {bytes: 4 << 30}, "512MB": {bytes: 512e6}, "50%": {share: 0.5}, "12.5%": {share: 0.125},
	} {
		var m memorySize
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want {
			t.Errorf("%s is %+v, %v; want %+v", text, m, err, want)
		}
	}
	for _, text := range []string{"", "lots", "0%", "100%", "-5%", "%", "NaN%", "Inf%", "50 percent", "50%%"} {
		var m memorySize
		if err := m.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "write it like") {
			t.Errorf("%q is %+v, %v", text, m, err)
		}
	}
}

// Every change of the limit makes a plan of it, and the heap's limit follows; while the
// limit is not known the last one stands.
func TestMemoryFollowsItsLimit(t *testing.T) {
	t.Setenv(heapLimit, "")
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	limit, unknown := int64(1<<30), error(nil)
	c := &serveCmd{Memory: memorySize{share: 0.4}, ChunkSize: 1 << 20, MaxObjectSize: 1 << 30}
	if err := c.planMemory(func() (int64, error) { return limit, unknown }); err != nil {
		t.Fatal(err)
	}
	c.memory.begin(zerolog.Nop())
	var plans []budget.Plan
	for _, step := range []struct {
		limit   int64
		unknown error
		plans   int
		tier    int64
	}{
		{1 << 30, nil, 0, 4 << 30 / 10},
		{2 << 30, nil, 1, 8 << 30 / 10},
		{2 << 30, nil, 1, 8 << 30 / 10},
		{1 << 20, errors.New("no answer"), 1, 8 << 30 / 10},
		{1 << 29, nil, 2, 2 << 30 / 10},
	} {
		limit, unknown = step.limit, step.unknown
		c.memory.follow(func(p budget.Plan) { plans = append(plans, p) })
		if len(plans) != step.plans || c.memory.tier() != step.tier {
			t.Errorf("%+v: %d plans, a tier of %d bytes", step, len(plans), c.memory.tier())
		}
		if heap := debug.SetMemoryLimit(-1); heap != c.memory.plan.Load().Heap {
			t.Errorf("%+v: the heap may grow to %d bytes, want %d", step, heap, c.memory.plan.Load().Heap)
		}
	}
}

// An operator's own limit of the heap stands, and is a limit of the memory as well.
func TestGivenHeapStands(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(300 << 20))
	t.Setenv(heapLimit, "300MiB")
	if limit, err := memoryLimit(); err != nil || limit != 300<<20 {
		t.Errorf("the limit is %d, %v", limit, err)
	}
	c := &serveCmd{ChunkSize: 1 << 20, MaxObjectSize: 1 << 30}
	if err := c.planMemory(memoryLimit); err != nil {
		t.Fatal(err)
	}
	c.memory.begin(zerolog.Nop())
	if heap := debug.SetMemoryLimit(-1); heap != 300<<20 {
		t.Errorf("the heap may grow to %d bytes", heap)
	}
}

func TestUnknownLimitNeedsASize(t *testing.T) {
	c := &serveCmd{Memory: memorySize{share: 0.5}, ChunkSize: 1 << 20}
	if err := c.planMemory(func() (int64, error) { return noLimit, nil }); err == nil || !strings.Contains(err.Error(), "--memory") {
		t.Errorf("%v", err)
	}
}
