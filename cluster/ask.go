package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// What goes over a connection to the peer port, after the handshake: one question at a time, and its answer. Numbers are
// big-endian, and those in brackets the bytes that a number has; lengths are in bytes.
//
//	asker → member  greeting  length of to (1), length of from (1), to, from: the IDs of the two
//	asker → member  question  length of route (1), of text (4), of body (8), route, text, body
//	member → asker  working   statusWorking (2), 0 (4), 0 (8): a sign of life each second until the answer
//	member → asker  answer    status (2), length of text (4), of body (8), text, body
//
// The greeting says which start of which node is meant. After a restart another process may listen where the other
// members still believe the old one to be. Were it to answer their questions, it would acknowledge a revocation on
// behalf of a process that has never heard of it and may be alive at another address. So it says statusOther in place
// of its first answer.
const (
	statusWorking = 1
	statusOther   = 2

	maxText = 1 << 20 // what a write says of itself, which came in the header of an HTTP request, must fit

	questionHead = 1 + 4 + 8
	answerHead   = 2 + 4 + 8

	// silence is how long a member may say nothing before its asker gives it up; one that works says so every beat.
	silence = 3 * time.Second
	beat    = silence / 3

	// bodyTimeout bounds the sending of a body, whoever reads it.
	bodyTimeout = 2 * time.Minute
	askBuffer   = 4 << 10
)

// Question is what a node asks a member.
type Question struct {
	Route string
	Text  string // at most 1 MiB
	Body  []byte
	Room  int64 // the longest body of an answer that the asker takes
	// Arriving has the body of an answer given as it arrives, as Rest instead of Body.
	Arriving bool
	// Within bounds the waiting for the answer, and for the last byte of it, as a context's deadline does, for less; 0 does
	// not.
	Within time.Duration
	// Once says that the question must not arrive twice; any other may, when a connection that was kept turns out dead.
	// And it waits for a member that is silent, since nobody else can be asked: until the member is seen dead.
	Once bool
}

// Answer is what a member says to a Question.
type Answer struct {
	Status int // as HTTP has them, from 200 on
	Text   []byte
	Body   []byte
	Sent   func() // called at the answering side, unless nil, once nobody needs Body any more

	// Rest is the body, of Size bytes, at an asker who wants it as it arrives, if there is one. It occupies a connection
	// until the asker closes it. Cut short, it ends with an error.
	Rest io.ReadCloser
	Size int64
}

// Refused is the answer of a member that was reached and did not acknowledge.
type Refused struct {
	Status int
	Detail string
}

// Error says what the member answered.
func (r *Refused) Error() string {
	return fmt.Sprintf("answered %d %s: %s", r.Status, http.StatusText(r.Status), r.Detail)
}

// Ask asks m a question and waits for the answer: as long as ctx allows, and no longer than the member shows that it is
// at work. It ends with ErrMemberGone when m is seen dead; a member that said goodbye before is left to finish.
//
// An error that is ErrUnreachable says that m surely did not hear the question. After any other it may have.
func (c *Cluster) Ask(ctx context.Context, m Member, q Question) (Answer, error) {
	pool := c.poolOf(m.ID)
	if pool == nil {
		return Answer{}, fmt.Errorf("ask %s: %w: %w", m.Name, ErrUnreachable, ErrMemberGone)
	}
	a, err := pool.ask(ctx, q)
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", m.Name, err)
	}
	return a, nil
}

func (c *Cluster) poolOf(id string) *askPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec, ok := c.records[id]; ok {
		return rec.pool
	}
	return nil
}

// askConn is a connection for questions to one start of a member. It is used by one asker at a time.
type askConn struct {
	net.Conn
	in     *bufio.Reader
	out    []byte    // the head of what is sent: at first a greeting, which goes out with the first question
	fate   fate      // of the last question
	broken bool      // it cannot be used again
	since  time.Time // it is idle
}

// fate is what became of a question.
type fate struct {
	sent     bool // something of it has left this node
	answered bool // something of its answer has arrived
}

// again reports whether a question that failed on a connection that was kept can be asked on a new one.
func (f fate) again(q Question, err error) bool {
	switch {
	case timedOut(err): // the member is silent, and will be
		return false
	case f.answered: // the member was there, and ended it
		return false
	}
	return !f.sent || !q.Once
}

func newAskConn(conn net.Conn, to, from string) *askConn {
	out := append(make([]byte, 0, askBuffer), byte(len(to)), byte(len(from)))
	out = append(append(out, to...), from...)
	return &askConn{Conn: conn, in: bufio.NewReaderSize(conn, askBuffer), out: out}
}

// ask sends a question, which is being asked since began, and reads its answer, but not a body that is wanted as it
// arrives. After an error the connection is broken.
func (c *askConn) ask(ctx context.Context, q Question, began time.Time) (a Answer, err error) {
	c.fate = fate{}
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
	c.out = c.out[:0]                     // the greeting has been said
	if len(out)+len(q.Body) > askBuffer { // what is shorter, the system takes at once
		if err := c.SetWriteDeadline(q.until(began, bodyTimeout)); err != nil {
			return err
		}
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }() // if that fails, so will what is written next
	}
	n, err := writeAll(c.Conn, out, q.Body)
	c.fate.sent = n > 0
	return err
}

// writeAll writes a head and a body in one call: a body that the head's memory has room for is copied there, which takes
// less than to describe two pieces to the system.
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
		c.fate.answered = true
		a.Status = int(binary.BigEndian.Uint16(head[:]))
		if a.Status != statusWorking {
			break
		}
	}
	if a.Status == statusOther {
		c.fate.sent = false
		return Answer{}, errors.New("another process listens there")
	}
	text, body := binary.BigEndian.Uint32(head[2:]), binary.BigEndian.Uint64(head[6:])
	if text > maxText || body > uint64(q.Room) {
		return Answer{}, fmt.Errorf("an answer of %d and %d bytes, where there is room for %d and %d", text, body, maxText, q.Room)
	}
	if uint64(c.in.Buffered()) < uint64(text)+body {
		if err := c.SetReadDeadline(q.until(began, bodyTimeout)); err != nil {
			return Answer{}, err
		}
	}
	if a.Text, err = c.read(int(text)); err != nil {
		return Answer{}, err
	}
	if a.Size = int64(body); !q.Arriving {
		a.Body, err = c.read(int(body))
	}
	return a, err
}

// until is when the next step of a question that was asked at began is given up, if the step itself may take so long; 0
// is for ever.
func (q Question) until(began time.Time, step time.Duration) (end time.Time) {
	if step > 0 {
		end = time.Now().Add(step)
	}
	if last := began.Add(q.Within); q.Within > 0 && (end.IsZero() || last.Before(end)) {
		end = last
	}
	return end
}

// alive reports whether nothing has arrived on an idle connection: not its end either. raw.Read would fail once the
// deadline of the last answer has passed, raw.Control does not mind it.
func (c *askConn) alive() bool {
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	var arrived error
	err = raw.Control(func(fd uintptr) {
		_, _, arrived = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && errors.Is(arrived, syscall.EAGAIN)
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

// uncleared is memory, of one byte or more, whose user writes all of it before anybody reads it. make would clear it
// first, which took a sixth of the asker's time where answers have megabytes. A Builder does not, and what it has grown
// to is behind the one byte that it is told to hold.
func uncleared(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	_ = b.WriteByte(0) // never fails
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}
