package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"larder/heads"
)

// A log is the trace of one node's starts, on a machine whose processes share one
// monotonic clock: by that clock the events of all nodes are in one order. What a process
// has logged stays if it is killed.

// logged is an event as a line of a log. Its times are nanoseconds of the machine's clock.
type logged struct {
	Node string
	heads.Event
	At, Asked, Until int64
}

// Log returns what logs the events of a node to the end of a file, and makes the file if
// there is none. It panics where it cannot: a trace with a gap proves nothing.
func Log(path, node string) (func(heads.Event), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	c := NewClock()
	return func(e heads.Event) { // under the lock of what it changes, so that its time is that of the change
		l := logged{Node: node, Event: e, At: c.Of(time.Now()), Asked: c.Of(e.Asked), Until: c.Of(e.Until)}
		line, err := json.Marshal(l)
		if err == nil {
			_, err = f.Write(append(line, '\n'))
		}
		if err != nil {
			panic(fmt.Errorf("trace %s: %w", e.Kind, err))
		}
	}, nil
}

// Read reads a log, but for a last line that is not whole: its process was killed. The
// times of its events are those of the machine's clock, since the beginning of 1970.
func Read(path string) (events []Event, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	for {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			return events, nil
		}
		var l logged
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, fmt.Errorf("trace: a line of %s: %w", path, err)
		}
		e := Event{At: At(l.At), Node: l.Node, Event: l.Event}
		e.Asked, e.Until = At(l.Asked), At(l.Until)
		events, b = append(events, e), rest
	}
}

// At is a moment of the machine's clock as a time of an event; 0 is none.
func At(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// Clock tells the times of this process by the machine's monotonic clock.
type Clock struct {
	at time.Time
	ns int64
}

// NewClock compares the clocks a few times, and takes the time at which the process was
// disturbed least.
func NewClock() (c Clock) {
	least := int64(math.MaxInt64)
	for range 100 {
		before := monotonic()
		at := time.Now()
		if gap := monotonic() - before; gap < least {
			c, least = Clock{at: at, ns: before + gap/2}, gap
		}
	}
	return c
}

// Of is a time of this process in nanoseconds of the machine's clock; 0 for the zero time.
func (c Clock) Of(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return c.ns + int64(t.Sub(c.at))
}

func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has it
	}
	return t.Nano()
}
