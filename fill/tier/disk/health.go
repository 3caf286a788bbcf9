package disk

import (
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	// failuresInARow is after how many failures a disk is left alone, for rest.
	failuresInARow = 8
	rest           = 10 * time.Second
)

// health is how a disk does lately: one that fails again and again is left alone for a
// while, so that nobody waits for it.
type health struct {
	log      zerolog.Logger // one line a minute
	failures atomic.Int64   // in a row
	until    atomic.Int64   // it is left alone, in Unix nanoseconds
}

// rests reports whether the disk is left alone now.
func (h *health) rests() bool {
	until := h.until.Load()
	return until != 0 && time.Now().UnixNano() < until
}

func (h *health) failed(err error, message string) {
	h.log.Error().Err(err).Msg(message)
	if h.failures.Add(1) >= failuresInARow {
		h.until.Store(time.Now().Add(rest).UnixNano())
	}
}

func (h *health) isWell() {
	if h.failures.Load() != 0 {
		h.failures.Store(0)
	}
}
