// Command load asks a server for the same few paths again and again over a
// fixed number of connections, and prints how many answers it got: the load
// generator for large bodies, which it reads in pieces of half a megabyte, and
// for servers that do not speak HTTP. No two connections ask for the same path,
// if there are enough. It ends with an error at the first answer that is not the
// bytes, or not as many as it should be.
//
//	load -addr HOST:PORT -paths FILE -size BYTES [-conns 8] [-for 2s] [-protocol http|redis|memcached]
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// piece is how much is read at once.
const piece = 512 << 10

// answerLimit bounds one answer.
const answerLimit = 30 * time.Second

func main() {
	var l load
	flag.StringVar(&l.addr, "addr", "", "the server's host:port")
	file := flag.String("paths", "", "a file with what to ask for, a path a line")
	flag.Int64Var(&l.size, "size", 0, "bytes of each body")
	flag.IntVar(&l.conns, "conns", 8, "connections, each with one request at a time")
	flag.DurationVar(&l.lasts, "for", 2*time.Second, "how long to begin requests; those under way are finished")
	flag.StringVar(&l.speaks, "protocol", "http", "http, redis or memcached")
	flag.Parse()
	if err := l.run(*file); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

type load struct {
	addr  string
	paths []string
	conns int
	size  int64
	lasts time.Duration

	speaks string
}

// outcome is what is printed.
type outcome struct {
	Requests int     `json:"requests"`
	Seconds  float64 `json:"seconds"`
}

func (l load) run(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if l.paths = strings.Fields(string(text)); len(l.paths) == 0 {
		return fmt.Errorf("%s names no path", file)
	}
	if _, ok := protocols()[l.speaks]; !ok {
		return fmt.Errorf("there is no protocol %q", l.speaks)
	}
	var g errgroup.Group
	counts := make([]int, l.conns)
	began := time.Now()
	for i := range l.conns {
		g.Go(func() (err error) {
			counts[i], err = l.loop(i, began.Add(l.lasts))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	o := outcome{Seconds: time.Since(began).Seconds()}
	for _, n := range counts {
		o.Requests += n
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

// loop asks over one connection until the time has come.
func (l load) loop(conn int, end time.Time) (answers int, err error) {
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // all answers have been read
	from := bufio.NewReaderSize(c, piece)
	speaks := protocols()[l.speaks]
	for next := conn; time.Now().Before(end); next += l.conns {
		if next >= len(l.paths) {
			next = conn % len(l.paths)
		}
		path := l.paths[next]
		if err := c.SetDeadline(time.Now().Add(answerLimit)); err != nil {
			return answers, err
		}
		if err := speaks.ask(c, l.addr, path); err != nil {
			return answers, err
		}
		if err := speaks.take(from, l.size); err != nil {
			return answers, fmt.Errorf("get %s: %w", path, err)
		}
		answers++
	}
	return answers, nil
}
