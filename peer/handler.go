package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// shutdownPoll is how often a node that stops looks whether all answers have
// been given.
const shutdownPoll = 5 * time.Millisecond

// Asked is a Question as it arrives.
type Asked struct {
	From string // the ID of the member that asks
	Text string
	Body io.Reader // what follows the text, of Size bytes; cut short, it ends with an error
	Size int64

	conn  *answerConn // that it came on
	since time.Time   // when this node began to wait for it
}

// Abandoned reports whether nobody is known to wait for the answer: the asker
// has closed the connection, or this process was stopped since it began to wait
// for the question, so that nobody can say how old it is. All of the body must
// have been read before.
func (a Asked) Abandoned() bool {
	return a.conn != nil && (a.conn.wakeful.stoppedSince(a.since) || a.conn.closed())
}

// ReadBody reads the body, of at most so many bytes. A longer one is ErrTooLong,
// before any memory is taken for it.
func (a Asked) ReadBody(most int64) ([]byte, error) {
	if a.Size > most {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are taken", ErrTooLong, a.Size, most)
	}
	b, err := readAll(a.Body, a.Size)
	if err != nil {
		return nil, fmt.Errorf("read %d bytes: %w", a.Size, err)
	}
	return b, nil
}

// firstPiece is how much memory is taken for bytes that are only announced.
const firstPiece = 64 << 10

// readAll reads n bytes. Until an eighth of them has come, it takes no more
// memory than that, or than a piece: the other side may announce what it likes.
func readAll(r io.Reader, n int64) ([]byte, error) {
	b := make([]byte, min(n, max(firstPiece, n/8)))
	if _, err := io.ReadFull(r, b); err != nil || int64(len(b)) == n {
		return b, err
	}
	all := uncleared(int(n))
	_, err := io.ReadFull(r, all[copy(all, b):])
	return all, err
}

// A Handler answers questions. Its context ends when nobody waits for the
// answer any more, as far as that is known, and when this node stops. It is
// called by many goroutines at once.
type Handler func(context.Context, Asked) Answer

// server answers the questions of members on connections that have been
// authenticated.
type server struct {
	handlers map[string]Handler
	wakeful  *wakeful
	log      zerolog.Logger

	mu    sync.Mutex // guards the fields below; taken before an answerConn's
	conns map[*answerConn]struct{}
	ended bool
}

// answerConn is one connection on which a member asks.
type answerConn struct {
	net.Conn
	in     *bufio.Reader
	out    []byte // memory for the head of an answer
	from   string
	giveUp context.CancelFunc

	wakeful *wakeful

	mu    sync.Mutex // guards the fields below, and what is written while an answer is worked out
	state answerState
	life  *time.Timer // says that an answer is being worked out
}

// answerState is what is being done on a connection.
type answerState int

const (
	waiting answerState = iota // for a question
	working                    // on the answer
	saying                     // it
)

// serve answers the questions of the process with the ID from on conn, until it
// ends or nothing is asked any more.
func (a *server) serve(ctx context.Context, conn net.Conn, from string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &answerConn{Conn: conn, in: bufio.NewReaderSize(conn, askBuffer), out: make([]byte, 0, askBuffer), giveUp: cancel, from: from, wakeful: a.wakeful}
	defer func() { _ = conn.Close() }()
	if !a.enter(c) {
		return
	}
	defer a.leave(c)
	err := a.answerAll(ctx, c)
	a.log.Debug().Err(err).Str("addr", conn.RemoteAddr().String()).Msg("a connection for questions ended")
}

// answerAll answers one question after the other, and returns why it ends. A
// connection that its asker closed ends with io.EOF.
func (a *server) answerAll(ctx context.Context, c *answerConn) error {
	for {
		since := time.Now()
		if err := c.SetReadDeadline(since.Add(answerIdleTimeout)); err != nil {
			return err
		}
		route, asked, err := c.readQuestion()
		if err != nil {
			return err
		}
		asked.conn, asked.since = c, since
		err = a.answer(ctx, c, route, asked)
		c.become(waiting)
		if err != nil {
			return err
		}
	}
}

// answer answers one question.
func (a *server) answer(ctx context.Context, c *answerConn, route string, asked Asked) error {
	handler, ok := a.handlers[route]
	if !ok {
		return fmt.Errorf("unknown route %s", strconv.Quote(route))
	}
	said, err := a.workOut(ctx, c, handler, asked)
	if said.Sent != nil {
		defer said.Sent()
	}
	if err != nil {
		return err
	}
	return c.finish(asked, said)
}

// finish says the answer and reads what is left of the question: its asker
// reads the answer when all is sent, and a connection that is closed before
// takes the answer with it.
func (c *answerConn) finish(asked Asked, said Answer) error {
	if err := c.say(said); err != nil || asked.Size == 0 {
		return err
	}
	_, err := io.Copy(io.Discard, asked.Body)
	return err
}

// workOut runs the handler, and meanwhile sends a sign of life each beat.
func (a *server) workOut(ctx context.Context, c *answerConn, handler Handler, asked Asked) (said Answer, err error) {
	c.become(working)
	defer c.become(saying)
	defer func() {
		if p := recover(); p != nil {
			a.log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Msg("panic in an answer to a member")
			err = fmt.Errorf("panic in an answer: %v", p)
		}
	}()
	return handler(ctx, asked), nil
}

// become notes what is being done from now on.
func (c *answerConn) become(state answerState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
	if c.life == nil {
		c.life = time.AfterFunc(beat, c.sayAlive)
	}
	if state == working {
		c.life.Reset(beat)
	} else {
		c.life.Stop()
	}
}

// sayAlive sends a sign of life. If it cannot be sent, nobody waits for the answer;
// and since half of it may have been sent, nothing else can be sent either.
func (c *answerConn) sayAlive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != working {
		return
	}
	_ = c.SetWriteDeadline(time.Now().Add(beat)) // if there is none, the write fails
	if _, err := c.Write(appendHead(nil, Answer{Status: statusWorking})); err != nil {
		c.giveUp()
		_ = c.Close()
		return
	}
	c.life.Reset(beat)
}

func appendHead(b []byte, a Answer) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(a.Status))
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.Text)))
	return binary.BigEndian.AppendUint64(b, uint64(len(a.Body)))
}

// say sends an answer.
func (c *answerConn) say(a Answer) error {
	if len(a.Text) > maxText {
		return fmt.Errorf("an answer's text of %d bytes, at most %d are taken", len(a.Text), maxText)
	}
	if err := c.SetWriteDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return err
	}
	_, err := writeAll(c.Conn, append(appendHead(c.out, a), a.Text...), a.Body)
	return err
}

func (c *answerConn) readQuestion() (route string, asked Asked, err error) {
	var head [questionHead]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return "", Asked{}, err
	}
	routeLen, textLen, size := int(head[0]), binary.BigEndian.Uint32(head[1:]), int64(binary.BigEndian.Uint64(head[5:]))
	if textLen > maxText || size < 0 {
		return "", Asked{}, fmt.Errorf("a question of %d and %d bytes", textLen, size)
	}
	words, err := c.readString(routeLen + int(textLen))
	if err != nil {
		return "", Asked{}, err
	}
	if size > 0 {
		if err := c.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
			return "", Asked{}, err
		}
	}
	body := &wholeReader{LimitedReader: io.LimitedReader{R: c.in, N: size}}
	return words[:routeLen], Asked{From: c.from, Text: words[routeLen:], Body: body, Size: size}, nil
}

// wholeReader ends with io.EOF after all of its bytes, and not before.
type wholeReader struct{ io.LimitedReader }

// Read reads what is left.
func (r *wholeReader) Read(p []byte) (int, error) {
	n, err := r.LimitedReader.Read(p)
	if errors.Is(err, io.EOF) && r.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *answerConn) readString(n int) (string, error) {
	b, err := readAll(c.in, int64(n))
	return string(b), err
}

func (a *server) enter(c *answerConn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return false
	}
	a.conns[c] = struct{}{}
	return true
}

func (a *server) leave(c *answerConn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, c)
}

// end closes the connections that wait for a question, or all of them, lets
// nobody in any more, and returns how many there still were.
func (a *server) end(all bool) (left int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for c := range a.conns {
		c.mu.Lock()
		if all || c.state == waiting {
			_ = c.Close()
		}
		c.mu.Unlock()
	}
	return len(a.conns)
}

// shutdown waits until the answers that are under way have been sent, or until ctx
// ends.
func (a *server) shutdown(ctx context.Context) {
	for a.end(false) > 0 {
		select {
		case <-time.After(shutdownPoll):
		case <-ctx.Done():
			a.end(true)
			return
		}
	}
}
