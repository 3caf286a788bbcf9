package bench

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/dustin/go-humanize"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// sized is objects of one size, at one node.
type sized struct {
	*meter
	node *testcluster.Node
	sdk  *s3.Client
	of   costs
	size int64
	many int     // of a round
	per  float64 // how many KiB or MiB an object has
	n    int
}

// The costs.
const (
	putSized   = "PUT"
	coldSized  = "GET from S3"
	warmSized  = "GET from memory"
	putSizedS3 = "S3's processor for a PUT"
)

// sizesScale is what a KiB and a MiB cost as objects become larger.
func sizesScale(b *testing.B, s *bench) {
	c := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{"--memory", "2GiB"}})
	m, direct := meterOf(b, c), sdk(c.S3Addr())
	m.rest(idleLasts / 4)
	side := func(size int64, many int, per float64) *sized {
		return &sized{meter: m, node: c.Nodes[0], sdk: direct, of: costsIn("%s", humanize.IBytes(uint64(size))), size: size, many: many, per: per}
	}
	groups := []struct {
		of    string
		sides []*sized
	}{
		{"a KiB", []*sized{side(1<<10, 300, 1), side(64<<10, 200, 64)}},
		{"a MiB", []*sized{side(1<<20, 40, 1), side(16<<20, 4, 16), side(256<<20, 1, 256)}},
	}
	if s.report.Short {
		groups[1].sides = groups[1].sides[:2]
	}
	for _, g := range groups {
		var rounds []func() float64
		var cases []costs
		for _, sz := range g.sides {
			rounds, cases = append(rounds, sz.round), append(cases, sz.of)
		}
		turns(s.rounds, rounds...)
		s.grown("Size of an object, by "+g.of, cases, []unit{{putSized, "µs"}, {coldSized, "µs"}, {warmSized, "µs"}, {putSizedS3, "µs"}})
	}
	s.add(report.Measured("Size of an object, by a MiB", "the node after all that", "MiB of memory", residentNow(b, c.Nodes[0].Pid())/(1<<20)))
}

// round puts objects, reads others that only S3 has, and reads these again.
func (z *sized) round() float64 {
	z.b.Helper()
	content := body(z.size)
	first := z.n
	z.n += z.many
	name := func(kind string, i int) string { return fmt.Sprintf("%s-%d/%d", kind, z.size, first%2*z.many+i) }
	for i := range z.many {
		sdkPut(z.b, z.sdk, fmt.Sprint(name("cold", i), "/", first), content)
	}
	each := func(what string, do func(i int)) (s3 float64) {
		nodes, s3, _ := z.spent(func() {
			for i := range z.many {
				do(i)
			}
		})
		z.of.note(what, 1e6*nodes/float64(z.many)/z.per)
		return s3
	}
	written := each(putSized, func(i int) { store(z.b, z.node.HTTPAddr, "/v1/objects/"+name("put", i), content) })
	z.of.note(putSizedS3, 1e6*written/float64(z.many)/z.per)
	read := func(i int) {
		get(z.b, z.node.HTTPAddr, fmt.Sprint("/v1/objects/", name("cold", i), "/", first), z.size)
	}
	each(coldSized, read)
	each(warmSized, read)
	return 0
}
