package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"larder/test/testcluster"
)

// An answer that does not want the question's body leaves the connection as
// good as before.
func TestUnreadBodies(t *testing.T) {
	nodes := startAll(t, 2)
	for range 3 {
		a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "refuse", Body: make([]byte, 9<<20), Once: true})
		if err != nil || a.Status != http.StatusTeapot {
			t.Errorf("status %d, %v", a.Status, err)
		}
	}
	if n := len(nodes[0].poolOf(nodes[1].self).open); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Who works long on an answer is waited for; who asks and leaves is not worked
// for.
func TestSignsOfLife(t *testing.T) {
	nodes := startAll(t, 2)
	began := time.Now()
	if a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "slow", Text: (silence + 2*beat).String()}); err != nil || string(a.Text) != "done" {
		t.Errorf("after %s: %q, %v", time.Since(began), a.Text, err)
	}
	ctx, leave := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := ask(ctx, nodes[0], nodes[1].self, Question{Route: "hang"})
		failed <- err
	}()
	is := func(text string) {
		t.Helper()
		testcluster.Soon(t, func() error {
			if a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "hanging"}); err != nil || string(a.Text) != text {
				return fmt.Errorf("%s are asked, %w", a.Text, err)
			}
			return nil
		})
	}
	is("1")
	leave()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	is("0")
}

// Where a sign of life did not go out in whole, no answer follows: it would be
// taken for the rest of the sign. Nor does another question, whose answer would
// be given up before it is begun.
func TestNothingFollowsHalfASign(t *testing.T) {
	gaveUp := make(chan struct{})
	a := &server{wakeful: newWakeful(), log: testcluster.Logger(), conns: map[*answerConn]struct{}{}, handlers: map[string]Handler{
		"hang": func(ctx context.Context, _ Asked) Answer {
			<-ctx.Done()
			close(gaveUp)
			return Answer{Status: http.StatusOK}
		},
	}}
	ours, theirs := net.Pipe() // which holds nothing that is not being read
	if err := ours.SetReadDeadline(time.Now().Add(2 * silence)); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		a.serve(t.Context(), theirs, "asker")
	}()
	question := append([]byte(nil), 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'h', 'a', 'n', 'g')
	if _, err := ours.Write(question); err != nil {
		t.Fatal(err)
	}
	<-gaveUp
	if said, err := io.ReadAll(ours); err != nil || len(said) > 0 {
		t.Errorf("said %q, %v", said, err)
	}
	_ = ours.Close()
	<-served
}

// A panic in an answer is one question's, and no answer.
func TestPanicIsNoAnswer(t *testing.T) {
	nodes := startAll(t, 2)
	if a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "panic"}); err == nil {
		t.Errorf("answered %d", a.Status)
	}
	if a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "no such route"}); err == nil {
		t.Errorf("answered %d", a.Status)
	}
	post(t, nodes[0], nodes[1].self)
}

// FuzzQuestions holds that nothing that a member can send makes a node panic,
// or answer what it was not asked.
func FuzzQuestions(f *testing.F) {
	question := []byte{2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 'o', 'k', 't', 'b'}
	f.Add(question)
	f.Add(append(question, 0xff, 0xff, 0xff))
	f.Add([]byte{2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 'o', 'k'}) // a text of 4 GiB
	f.Add([]byte{2, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'o', 'k'})          // the longest text, not sent
	f.Add([]byte{2, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 'o', 'k'})          // a body of a negative size
	f.Add([]byte{2, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'o', 'k'})
	f.Add([]byte{255, 255})
	f.Fuzz(func(t *testing.T, sent []byte) {
		a := &server{wakeful: newWakeful(), log: testcluster.Logger(), conns: map[*answerConn]struct{}{}, handlers: map[string]Handler{
			"ok": func(_ context.Context, asked Asked) Answer {
				body, err := io.ReadAll(asked.Body)
				if err == nil && int64(len(body)) != asked.Size {
					t.Errorf("%d of %d bytes of a body", len(body), asked.Size)
				}
				return Answer{Status: http.StatusNoContent}
			},
		}}
		ours, theirs := net.Pipe()
		said := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(ours)
			said <- all
		}()
		go func() {
			_, _ = ours.Write(sent)
			_ = ours.Close()
		}()
		a.serve(t.Context(), theirs, "asker")
		if all := <-said; len(all)%answerHead != 0 {
			t.Errorf("said %q", all)
		}
		if len(a.conns) > 0 {
			t.Error("a connection is left")
		}
	})
}

// A node that stops waits for answers, and not for ever.
func TestEnded(t *testing.T) {
	var wg sync.WaitGroup
	resume := make(chan struct{})
	wg.Go(func() { <-resume })
	if ended(&wg, time.Millisecond) {
		t.Error("ended before it had")
	}
	close(resume)
	if !ended(&wg, 10*time.Second) {
		t.Error("had not ended")
	}
}
