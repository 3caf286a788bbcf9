package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// The loop over bare TCP: a question is a length and a number, of 4 bytes each,
// its answer as many bytes. The relay takes questions as HTTP, just enough of it
// that the same load generators can ask, holds one buffer for each connection,
// reads all of an answer and then writes it, as a node does that must know it
// whole.

// runTCP is the process that has the bytes: those of each object for
// themselves, as a cache has them, which the processor's own caches do not hold.
func runTCP(addr string, s source) error {
	var objects sync.Map // question → bytes
	return accept(addr, func(c net.Conn) error {
		var question [8]byte
		for {
			if _, err := io.ReadFull(c, question[:]); err != nil {
				return err
			}
			object, ok := objects.Load(question)
			if !ok {
				object, _ = objects.LoadOrStore(question, bytes.Clone(s.bytes[:binary.BigEndian.Uint32(question[:])]))
			}
			if _, err := c.Write(object.([]byte)); err != nil {
				return err
			}
		}
	})
}

// runRelay is the process that asks the other one.
func runRelay(o options) error {
	return accept(o.addr, func(c net.Conn) error {
		other, err := net.Dial("tcp", o.peer)
		if err != nil {
			return err
		}
		defer func() { _ = other.Close() }() // nobody asks any more
		return relay(c, other)
	})
}

func relay(caller, other net.Conn) error {
	lines := bufio.NewReader(caller)
	var buf []byte
	for {
		path, err := readRequest(lines)
		if err != nil {
			return err
		}
		n, err := length(path)
		if err != nil {
			return err
		}
		buf = fmt.Appendf(buf[:0], "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n)
		head := len(buf)
		if cap(buf) < head+n {
			buf = append(make([]byte, 0, head+n), buf...)
		}
		buf = buf[:head+n]
		number, err := strconv.ParseUint(path[strings.LastIndexByte(path, '/')+1:], 10, 32)
		if err != nil {
			return fmt.Errorf("%q has no number: %w", path, err)
		}
		var question [8]byte
		binary.BigEndian.PutUint32(question[:], uint32(n))
		binary.BigEndian.PutUint32(question[4:], uint32(number))
		if _, err := other.Write(question[:]); err != nil {
			return err
		}
		if _, err := io.ReadFull(other, buf[head:]); err != nil {
			return err
		}
		if _, err := caller.Write(buf); err != nil {
			return err
		}
	}
}

// readRequest reads one request without a body, and returns its path.
func readRequest(lines *bufio.Reader) (string, error) {
	first, err := lines.ReadString('\n')
	if err != nil {
		return "", err
	}
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if len(line) <= len("\r\n") {
			break
		}
	}
	_, rest, _ := strings.Cut(first, " ")
	path, _, ok := strings.Cut(rest, " ")
	if !ok {
		return "", fmt.Errorf("%q is no request", first)
	}
	return path, nil
}

// accept serves each connection until it ends.
func accept(addr string, serve func(net.Conn) error) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() { // ends with its connection, at the latest with the process
			_ = serve(c) // until the caller has left
			_ = c.Close()
		}()
	}
}
