package simulation

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pair is a connection from the host a to the host b.
func pair(t *testing.T, a, b *host) (near, far net.Conn) {
	t.Helper()
	l, err := b.Listen("tcp", b.addr+":0")
	if err != nil {
		t.Fatal(err)
	}
	if near, err = a.DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// took is how long reading one byte took.
func took(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// TestNetwork holds the network to what a kernel and a wire do.
func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(1)
		a, b := n.start("10.0.0.1"), n.start("10.0.0.2")
		near, far := pair(t, a, b)
		_, _ = near.Write([]byte{1})
		if d := took(t, far); d <= 0 || d > time.Millisecond {
			t.Errorf("a byte took %s", d)
		}

		n.change(a.addr, b.addr, func(l *link) { l.cut = true })
		_, _ = near.Write([]byte{1})
		_, _ = far.Write([]byte{1})
		if d := took(t, near); d > time.Millisecond {
			t.Errorf("against the cut, a byte took %s", d)
		}
		time.AfterFunc(time.Minute, n.heal)
		if d := took(t, far); d < time.Minute-time.Second {
			t.Errorf("through a cut of a minute, a byte took %s", d)
		}

		b.hold(true)
		_, _ = near.Write([]byte{1})
		_ = near.Close()
		time.Sleep(time.Second)
		if _, err := far.(*conn).Peek(); !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("a host that is stopped hears: %v", err)
		}
		b.hold(false)
		took(t, far)
		if k, err := far.(*conn).Peek(); k != 0 || err != nil {
			t.Errorf("behind what came while it was stopped there is not the end, but %d, %v", k, err)
		}

		near, _ = pair(t, a, b)
		b.end(true)
		_ = near.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := near.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("a machine that is off says: %v", err)
		}
		b = n.start(b.addr)
		near, _ = pair(t, a, b)
		b.end(false)
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the kernel of a process that was killed says: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := a.DialContext(ctx, "tcp", near.RemoteAddr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens there: %v", err)
		}
	})
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
