package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// askConn is a connection for questions to one start of a member. It is used by
// one asker at a time.
type askConn struct {
	net.Conn
	in       *bufio.Reader
	out      []byte    // the head of what is sent: at first a greeting, which goes out with the first question
	delivery delivery  // of the last question
	broken   bool      // it cannot be used again
	since    time.Time // it is idle
}

// delivery is what became of a question.
type delivery struct {
	sent     bool // something of it has left this node
	answered bool // something of its answer has arrived
}

// again reports whether a question that failed on a connection that was kept
// can be asked on a new one.
func (f delivery) again(q Question, err error) bool {
	switch {
	case timedOut(err): // the member is silent, and will be
		return false
	case f.answered: // the member was there, and ended it
		return false
	}
	return !f.sent || !q.Once
}

func newAskConn(conn net.Conn) *askConn {
	return &askConn{Conn: conn, in: bufio.NewReaderSize(conn, askBuffer), out: make([]byte, 0, askBuffer)}
}

// ask sends a question, which is being asked since began, and reads its answer,
// but not a body that is wanted as it arrives. After an error the connection is
// broken.
func (c *askConn) ask(ctx context.Context, q Question, began time.Time) (a Answer, err error) {
	c.delivery = delivery{}
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() { _ = c.Close() })
	}
	if err = c.send(q, began); err == nil {
		a, err = c.receive(q, began)
	}
	c.broken = !stop() || err != nil
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return a, err
}

func (c *askConn) send(q Question, began time.Time) error {
	if len(q.Text) > maxText {
		return fmt.Errorf("a question of %d bytes, at most %d are heard", len(q.Text), maxText)
	}
	out := append(c.out, byte(len(q.Route)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(q.Text)))
	out = binary.BigEndian.AppendUint64(out, uint64(len(q.Body)))
	out = append(append(out, q.Route...), q.Text...)
	if len(out)+len(q.Body) > askBuffer { // what is shorter, the system takes at once
		if err := c.SetWriteDeadline(q.until(began, bodyTimeout)); err != nil {
			return err
		}
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }() // if that fails, so will what is written next
	}
	n, err := writeAll(c.Conn, out, q.Body)
	c.delivery.sent = n > 0
	return err
}

// writeAll writes a head and a body in one call: a body that the head's memory
// has room for is copied there, which takes less than to describe two pieces to
// the system.
func writeAll(conn net.Conn, head, body []byte) (int64, error) {
	if len(head)+len(body) <= cap(head) {
		n, err := conn.Write(append(head, body...))
		return int64(n), err
	}
	return (&net.Buffers{head, body}).WriteTo(conn)
}

func (c *askConn) receive(q Question, began time.Time) (a Answer, err error) {
	patience := silence
	if q.Once {
		patience = 0
	}
	var head [answerHead]byte
	for {
		if err := c.SetReadDeadline(q.until(began, patience)); err != nil {
			return Answer{}, err
		}
		if _, err := io.ReadFull(c.in, head[:]); err != nil {
			return Answer{}, fmt.Errorf("no answer: %w", err)
		}
		c.delivery.answered = true
		a.Status = int(binary.BigEndian.Uint16(head[:]))
		if a.Status != statusWorking {
			break
		}
	}
	text, body := binary.BigEndian.Uint32(head[2:]), binary.BigEndian.Uint64(head[6:])
	if text > maxText || body > uint64(max(q.Room, 0)) {
		return Answer{}, fmt.Errorf("an answer of %d and %d bytes, where there is room for %d and %d", text, body, maxText, q.Room)
	}
	if uint64(c.in.Buffered()) < uint64(text)+body {
		if err := c.SetReadDeadline(q.until(began, bodyTimeout)); err != nil {
			return Answer{}, err
		}
	}
	if a.Text, err = readAll(c.in, int64(text)); err != nil {
		return Answer{}, fmt.Errorf("an answer cut short: %w", err)
	}
	if a.Size = int64(body); !q.Arriving {
		a.Body, err = c.read(int(body))
	}
	return a, err
}

// until is when the next step of a question that was asked at began is given
// up, if the step itself may take so long; 0 is for ever.
func (q Question) until(began time.Time, step time.Duration) (end time.Time) {
	if step > 0 {
		end = time.Now().Add(step)
	}
	if last := began.Add(q.Within); q.Within > 0 && (end.IsZero() || last.Before(end)) {
		end = last
	}
	return end
}

// alive reports whether nothing has arrived on an idle connection: not its end
// either.
func (c *askConn) alive() bool {
	_, err := peek(c.Conn)
	return errors.Is(err, syscall.EAGAIN)
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// read reads so many bytes into memory of exactly their size.
func (c *askConn) read(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b := uncleared(n)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return nil, fmt.Errorf("an answer cut short: %w", err)
	}
	return b, nil
}

// uncleared is memory, of one byte or more, whose user writes all of it before
// anybody reads it. make would clear it first, which took a sixth of the
// asker's time where answers have megabytes. A Builder does not, and what it
// has grown to is behind the one byte that it is told to hold.
func uncleared(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	_ = b.WriteByte(0) // never fails
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}
