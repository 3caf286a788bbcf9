package peer

import (
	"net"
	"sync"
)

const (
	// batchSize is how much is written at once below TLS, whose records have 16 KiB: a
	// call of the system for each took as long as encrypting it.
	batchSize = 256 << 10
	// smallWrite is what is written as it comes.
	smallWrite = 16 << 10
)

// batches are buffers of that size.
var batches = sync.Pool{New: func() any { return new([batchSize]byte) }} //nolint:gochecknoglobals // as useful to one connection as to another

// batched gathers what TLS writes in records. A connection holds a buffer while it
// writes, and none while it is idle.
type batched struct {
	net.Conn

	mu      sync.Mutex // guards the fields below
	out     *[batchSize]byte
	pending int // bytes in out
}

// hold makes Write gather until flush.
func (c *batched) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = batches.Get().(*[batchSize]byte)
}

// flush writes what was gathered.
func (c *batched) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.send()
	batches.Put(c.out)
	c.out = nil
	return err
}

func (c *batched) send() error {
	n := c.pending
	c.pending = 0
	_, err := c.Conn.Write(c.out[:n])
	return err
}

func (c *batched) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		return c.Conn.Write(b)
	}
	if c.pending+len(b) > batchSize {
		if err := c.send(); err != nil {
			return 0, err
		}
	}
	c.pending += copy(c.out[c.pending:], b) // a record is shorter than a batch
	return len(b), nil
}
