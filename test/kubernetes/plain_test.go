//go:build kubernetes

package kubernetes

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// plain is a client of one kept connection, or of a connection for each request,
// that tries nothing again. The one of net/http would repeat what a kept connection lost.
type plain struct {
	addr, token string
	fresh       bool

	conn net.Conn
	r    *bufio.Reader
}

// do sends a request and returns the body of its answer, which has to be of a status below 300.
func (c *plain) do(method, path string, body []byte) ([]byte, error) {
	kept := c.conn != nil
	data, status, err := c.exchange(method, path, body)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s (connection kept: %t): %w", method, kept, err)
	}
	if status >= 300 {
		return nil, fmt.Errorf("%s: %d %.200s", method, status, data)
	}
	return data, nil
}

func (c *plain) exchange(method, path string, body []byte) (data []byte, status int, err error) {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.addr, 10*time.Second)
		if err != nil {
			return nil, 0, err
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequest(method, "http://"+c.addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Close = c.fresh
	if err := req.Write(c.conn); err != nil {
		return nil, 0, err
	}
	resp, err := http.ReadResponse(c.r, req)
	if err != nil {
		return nil, 0, err
	}
	data, err = io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0, err
	}
	if resp.Close {
		c.close()
	}
	return data, resp.StatusCode, nil
}

func (c *plain) close() {
	if c.conn != nil {
		_ = c.conn.Close() // what was to be said on it was
		c.conn = nil
	}
}
