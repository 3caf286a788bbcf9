package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// storesRow is a GET from memory beside what keeps bytes in memory and speaks a
// protocol of its own, for the record: the same load generator asks all.
func storesRow(b *testing.B, s *bench) {
	const row = "GET from memory beside Redis and memcached"
	node := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{"--memory", "512MiB"}}).Nodes[0].HTTPAddr
	redis, memcached := testcluster.FreeAddr(b), testcluster.FreeAddr(b)
	_, port, _ := strings.Cut(redis, ":")
	server(b, "redis", redis, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
	_, port, _ = strings.Cut(memcached, ":")
	server(b, "memcached", memcached, "memcached", "-u", "root", "-l", "127.0.0.1", "-p", port, "-m", "512", "-I", "64m")
	for _, c := range []struct {
		what  string
		size  int64
		conns int
	}{{"1 KiB", 1 << 10, 64}, {"64 KiB", 64 << 10, 64}, {"1 MiB", 1 << 20, 64}, {"16 MiB", 16 << 20, 8}} {
		key := path(c.size, 0)
		store(b, node, key, body(c.size))
		tell(b, redis, "+OK\r\n", fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, c.size, body(c.size)))
		tell(b, memcached, "STORED\r\n", fmt.Sprintf("set %s 0 0 %d\r\n%s\r\n", key, c.size, body(c.size)))
		d := demand{size: c.size, paths: []string{key}, conns: c.conns}
		m := turns(s.rounds,
			func() float64 { return s.loadWith(b, node, "http", d, s.lasts) },
			func() float64 { return s.loadWith(b, redis, "redis", d, s.lasts) },
			func() float64 { return s.loadWith(b, memcached, "memcached", d, s.lasts) })
		s.add(report.Compared(row, c.what, "Redis", "req/s", m[0], m[1]), report.Compared(row, c.what, "memcached", "req/s", m[0], m[2]))
	}
}

// tell says something to a server and waits for the answer.
func tell(b *testing.B, addr, answer, text string) {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		b.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); err != nil || got != answer {
		b.Fatalf("%s says %q, %v; want %q", addr, got, err, answer)
	}
}
