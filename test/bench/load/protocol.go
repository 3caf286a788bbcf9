package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// protocol is how a server is asked for the bytes of a path, or key.
type protocol struct {
	ask func(to io.Writer, addr, key string) error
	// head reads what comes before the bytes, and says how many there are.
	head func(from *bufio.Reader) (size int64, err error)
	tail string // what comes after the bytes
}

func protocols() map[string]protocol {
	return map[string]protocol{
		"http": {
			ask: func(to io.Writer, addr, path string) error {
				_, err := fmt.Fprintf(to, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr)
				return err
			},
			head: httpHead,
		},
		"redis": {
			ask: func(to io.Writer, _, key string) error {
				_, err := fmt.Fprintf(to, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key)
				return err
			},
			head: func(from *bufio.Reader) (int64, error) { return lastNumber(from, "$") },
			tail: "\r\n",
		},
		"memcached": {
			ask: func(to io.Writer, _, key string) error {
				_, err := fmt.Fprintf(to, "get %s\r\n", key)
				return err
			},
			head: func(from *bufio.Reader) (int64, error) { return lastNumber(from, "VALUE ") },
			tail: "\r\nEND\r\n",
		},
	}
}

// httpHead makes no more of a header than it has to: what the generator spends,
// the server does not get.
func httpHead(from *bufio.Reader) (size int64, err error) {
	status, err := from.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		return 0, fmt.Errorf("status %q", status)
	}
	name := []byte("Content-Length: ")
	for size = -1; ; {
		line, err := from.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) == len("\r\n") {
			return size, nil
		}
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], name) {
			if size, err = strconv.ParseInt(string(bytes.TrimSpace(line[len(name):])), 10, 64); err != nil {
				return 0, err
			}
		}
	}
}

// lastNumber reads a line that begins so and ends with a number.
func lastNumber(from *bufio.Reader, begins string) (int64, error) {
	line, err := from.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(line, []byte(begins)) {
		return 0, fmt.Errorf("%q where %q was expected", line, begins)
	}
	rest := bytes.TrimSpace(line[len(begins):])
	return strconv.ParseInt(string(rest[bytes.LastIndexByte(rest, ' ')+1:]), 10, 64)
}

// take reads one answer, which must be of this size, and drops its body.
func (p protocol) take(from *bufio.Reader, size int64) error {
	n, err := p.head(from)
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%d bytes where %d were expected", n, size)
	}
	if _, err := from.Discard(int(size)); err != nil {
		return err
	}
	tail := make([]byte, len(p.tail))
	if _, err := io.ReadFull(from, tail); err != nil {
		return err
	}
	if string(tail) != p.tail {
		return fmt.Errorf("%q after the bytes, where %q was expected", tail, p.tail)
	}
	return nil
}
