package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// putRow is a PUT beside the SDK's PutObject to the same S3, with S3 on this
// machine, and behind a proxy that holds each answer back as a network does.
func putRow(b *testing.B, s *bench) {
	for _, nodes := range []int{1, 3, 10} {
		for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
			b.Run(fmt.Sprint(nodes, "-", delay), func(b *testing.B) { s.put(b, nodes, delay) })
		}
	}
}

func (s *bench) put(b *testing.B, nodes int, delay time.Duration) {
	p := puts{b: b}
	addr := ""
	p.cluster = testcluster.New(b, testcluster.Options{Nodes: nodes, S3Via: func(direct string) string {
		if addr = direct; delay > 0 {
			proxy := testcluster.NewProxy(b, direct)
			proxy.Set(testcluster.Fault{Delay: delay})
			addr = proxy.Addr
		}
		return addr
	}})
	p.sdk = sdk(addr)
	time.Sleep(6 * time.Second) // for as long as a lease after a change every write tells all members
	for _, size := range []struct {
		what   string
		size   int64
		each   int // requests in a round
		target float64
	}{{"1 KiB", 1 << 10, 40, 1.5}, {"1 MiB", 1 << 20, 15, 1.25}} {
		what := fmt.Sprintf("%s, nodes: %d", size.what, nodes)
		if delay > 0 {
			what, size.each, size.target = what+", 20 ms added", 10, 1.1
		}
		p.body = body(size.size)
		const row = "PUT"
		m := batches(s.rounds, size.each, p.atOwner, p.anywhere, p.direct)
		s.add(
			report.Compared(row, what+", at its owner", "SDK PutObject", "ms", m[0], m[2]).Judged(atMost(size.target)),
			report.Compared(row, what+", at any node", "SDK PutObject", "ms", m[1], m[2]).Judged(atMost(size.target)),
		)
	}
}

// puts are the ways to put a new object.
type puts struct {
	b       *testing.B
	cluster *testcluster.Cluster
	sdk     *s3.Client
	body    []byte
	n       int
}

func (p *puts) next() string {
	p.n++
	return fmt.Sprint("put/", len(p.body), "/", p.n)
}

func (p *puts) direct() float64 {
	return milliseconds(sdkPut(p.b, p.sdk, p.next(), p.body))
}

func (p *puts) atOwner() float64 {
	name := p.next()
	return p.through(ownerOf(p.cluster, name), name)
}

func (p *puts) anywhere() float64 {
	name := p.next()
	return p.through(p.cluster.Nodes[p.n%len(p.cluster.Nodes)], name)
}

func (p *puts) through(n *testcluster.Node, name string) float64 {
	began := time.Now()
	store(p.b, n.HTTPAddr, "/v1/objects/"+name, p.body)
	return milliseconds(time.Since(began))
}
