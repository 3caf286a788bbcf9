package peer

import (
	"errors"
	"io"
	"time"
)

// ErrTooLong refuses a body that is longer than its reader takes.
var ErrTooLong = errors.New("the body is too long")

// ErrUnreachable says that the member surely did not hear the question, because
// it was never sent or reached another process that refused it.
var ErrUnreachable = errors.New("the member cannot be reached")

// What goes over a connection to the peer port, after the handshake: one
// question at a time, and its answer. Numbers are big-endian, and those in
// brackets the bytes that a number has; lengths are in bytes.
//
//	asker → member  question  length of route (1), of text (4), of body (8), route, text, body
//	member → asker  working   statusWorking (2), 0 (4), 0 (8): a sign of life each second until the answer
//	member → asker  answer    status (2), length of text (4), of body (8), text, body
const (
	statusWorking = 1

	maxText = 1 << 20 // what a write says of itself, which came in the header of an HTTP request, must fit

	questionHead = 1 + 4 + 8
	answerHead   = 2 + 4 + 8

	// silence is how long a member may say nothing before its asker gives it
	// up; one that works says so every beat.
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
	// Arriving has the body of an answer given as it arrives, as Rest instead
	// of Body.
	Arriving bool
	// Within bounds the wait for the last byte of the answer, as a context's
	// deadline does, but costs less. 0 is no bound.
	Within time.Duration
	// Once says that the question must not arrive twice. Any other question may,
	// when a connection that was kept turns out to be dead. A question with Once also
	// waits for a member that is silent until that member is seen dead, since no
	// other node can be asked.
	Once bool
}

// Answer is what a member says to a Question.
type Answer struct {
	Status int // as HTTP has them, from 200 on
	Text   []byte
	Body   []byte
	Sent   func() // called at the server side, unless nil, once nobody needs Body any more

	// Rest is the body, of Size bytes, at an asker who wants it as it arrives,
	// if there is one. It occupies a connection until the asker closes it. Cut
	// short, it ends with an error.
	Rest io.ReadCloser
	Size int64
}
